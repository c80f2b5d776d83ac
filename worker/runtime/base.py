"""What the PoP needs from a container engine.

Every method is idempotent: making what is there, or removing what is not, is success.
Only what carries this PoP's ownership labels is ever seen or touched. Errors of the
engine are translated: `TemporaryError` when waiting may help (engine restarting),
`PermanentError` when it may not (image missing, option refused).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.topology import Container, LiveVnf, Vnf


@dataclass(frozen=True)
class ExecResult:
    """What a command run in a container left behind. `output` is stdout, then stderr, decoded with replacement."""

    status: int
    output: str


@dataclass(frozen=True)
class Usage:
    """What a container uses: `cpu` in seconds since it started, `memory` in bytes. `container` is the engine's id."""

    instance: str
    vnf: str
    container: str
    cpu: float
    memory: int


class Runtime(Protocol):
    def instances(self) -> frozenset[str]:
        """Every instance that has a holder or container at this PoP."""

    def list(self, instance: str) -> tuple[LiveVnf, ...]:
        """The instance's VNFs as the engine and /proc tell them, sorted by name."""

    def usage(self) -> tuple[Usage, ...]:
        """What every container that runs here uses, holders left out. No container is asked."""

    def add_vnf(self, instance: str, vnf: Vnf) -> None:
        """Make the VNF's network namespace (its holder container) with its sysctls."""

    def start(self, instance: str, vnf: str, container: Container) -> None:
        """Write the files, make the volumes, create the container in the VNF's namespace, start it, note the digest.

        A stopped container of the same identity in the same namespace is started again.
        """

    def configure(self, instance: str, vnf: str, container: Container) -> None:
        """Write the files, run `reload`, then note their digest.

        Raises `PermanentError` with the output when the reload refuses the files.
        """

    def stop(self, instance: str, vnf: str, container: str) -> None:
        """Remove the container and its files, running or not."""

    def remove_vnf(self, instance: str, vnf: str, *, keep_volumes: bool = False) -> None:
        """Remove the VNF's containers, its holder, its files and, unless it comes back, its volumes."""

    def netns(self, instance: str, vnf: str) -> str:
        """Path by which the VNF's network namespace can be entered. Raises `TemporaryError` without a holder."""

    def volume(self, instance: str, vnf: str, name: str) -> Path:
        """The directory of a volume on this host. Raises `TemporaryError` until a container that has it was started."""

    def noticed(self, instance: str, vnf: str, container: str, volume: str) -> bool:
        """Whether the container wrote its notice into the volume since it was last started or configured."""

    def exec(self, instance: str, vnf: str, container: str, command: tuple[str, ...], *, timeout: float) -> ExecResult:
        """Run `command` (no shell) in a running container.

        Raises `TemporaryError` when it does not run or when `timeout` seconds pass.
        """
