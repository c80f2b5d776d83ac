"""The runtime in memory: what `worker.runtime.base.Runtime` promises, without an engine.

It ships, because it is the quickest way to try a plan, and holds to the same contract suite
as the Docker runtime. `kill`, `lose_holder`, `restart_holder` and `fail` do what the world does
to the real one. It runs no program: `answers` says what a command leaves behind.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.errors import PermanentError, TemporaryError
from worker.runtime.base import ExecResult, Usage
from worker.runtime.files import notice
from worker.topology import Container, LiveContainer, LiveVnf, Vnf

#: What a command leaves behind: given instance, VNF, container and command.
Answer = Callable[[str, str, str, tuple[str, ...]], ExecResult]


@dataclass
class _Member:
    identity: str
    namespace: int
    running: bool = True
    applied: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    cpu: float = 0.0
    memory: int = 2**20


@dataclass
class _Namespace:
    """A VNF here: its holder's namespace (0: the holder does not run) and its containers."""

    identity: str
    namespace: int
    members: dict[str, _Member] = field(default_factory=dict)


class MemoryRuntime:
    """`images` are those that are built, None for any; `calls` lists what was asked to change, in order."""

    def __init__(self, images: frozenset[str] | None = None, answers: Answer = lambda *_: ExecResult(0, "")) -> None:
        self.calls: list[tuple[str, ...]] = []
        self._images = images
        self._answers = answers
        self._vnfs: dict[tuple[str, str], _Namespace] = {}
        self._volumes: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
        self._inodes = itertools.count(4026540000)
        self._faults: dict[int, Exception] = {}
        self._ended: list[tuple[float, str]] = []

    # --- what the world does ---

    def kill(self, instance: str, vnf: str, container: str) -> None:
        """The container's process ends, as by SIGKILL."""
        self._vnfs[instance, vnf].members[container].running = False
        self._ended.append((time.time(), instance))

    def lose_holder(self, instance: str, vnf: str) -> None:
        """The holder's process ends; its containers go on in a namespace that nobody can enter by it."""
        self._vnfs[instance, vnf].namespace = 0
        self._ended.append((time.time(), instance))

    def restart_holder(self, instance: str, vnf: str) -> None:
        """The holder runs again in a new namespace; its containers are left behind in the old one."""
        self._vnfs[instance, vnf].namespace = next(self._inodes)

    def lose_everything(self) -> None:
        """Every container is gone, as after the engine lost its data."""
        self._ended += [(time.time(), instance) for instance, _ in self._vnfs]
        self._vnfs.clear()

    def use(self, instance: str, vnf: str, container: str, *, cpu: float, memory: int) -> None:
        """The container has taken so much processor time, and takes so much memory."""
        member = self._vnfs[instance, vnf].members[container]
        member.cpu, member.memory = cpu, memory

    def fail(self, call: int, error: Exception) -> None:
        """The change that is number `call` from now (1 is the next) raises `error` and changes nothing."""
        self._faults[len(self.calls) + call] = error

    def files(self, instance: str, vnf: str, container: str) -> dict[str, str]:
        """What the container finds at `/etc/naas`, by name."""
        return dict(self._vnfs[instance, vnf].members[container].files)

    def contents(self, instance: str, vnf: str, volume: str) -> dict[str, str]:
        """What is in a volume, by name; to be changed as the containers would."""
        return self._volumes[instance, vnf][volume]

    # --- the protocol ---

    def instances(self) -> frozenset[str]:
        return frozenset(instance for instance, _ in (*self._vnfs, *self._volumes))

    def list(self, instance: str) -> tuple[LiveVnf, ...]:
        """A VNF of which only volumes are left has no identity and no namespace."""
        nothing = _Namespace("", 0)
        names = sorted({name for owner, name in (*self._vnfs, *self._volumes) if owner == instance})
        mine = [(name, self._vnfs.get((instance, name), nothing)) for name in names]
        return tuple(LiveVnf(name, vnf.identity, vnf.namespace, _live(vnf)) for name, vnf in mine)

    def usage(self) -> tuple[Usage, ...]:
        return tuple(
            Usage(instance, vnf, f"{instance}.{vnf}.{name}.{member.identity}", member.cpu, member.memory)
            for (instance, vnf), space in self._vnfs.items()
            for name, member in space.members.items()
            if member.running
        )

    def add_vnf(self, instance: str, vnf: Vnf) -> None:
        self._called("add_vnf", instance, vnf.name)
        found = self._vnfs.get((instance, vnf.name))
        if found is not None and found.identity == vnf.identity and found.namespace:
            return
        members = found.members if found else {}
        self._vnfs[instance, vnf.name] = _Namespace(vnf.identity, next(self._inodes), members)

    def start(self, instance: str, vnf: str, container: Container) -> None:
        self._called("start", instance, vnf, container.name)
        home = self._vnfs.get((instance, vnf))
        if home is None or not home.namespace:
            raise TemporaryError(f"cannot start {container.name}: the namespace of {vnf} is gone", delay=1)
        if self._images is not None and container.image not in self._images:
            raise PermanentError(f"cannot start {container.name}: No such image: {container.image}; build it")
        member = home.members.get(container.name)
        if member is None or (member.identity, member.namespace) != (container.identity, home.namespace):
            member = home.members[container.name] = _Member(container.identity, home.namespace, running=False)
        ran_already, member.running = member.running, True
        for volume in container.volumes:
            self._volumes.setdefault((instance, vnf), {}).setdefault(volume.name, {})
        self._withdraw(instance, vnf, container)
        self._write(member, container)
        if ran_already and member.applied != container.config:
            self._reload(instance, vnf, container)
        member.applied = container.config

    def configure(self, instance: str, vnf: str, container: Container) -> None:
        self._called("configure", instance, vnf, container.name)
        member = self._running(instance, vnf, container.name)
        self._withdraw(instance, vnf, container)
        self._write(member, container)
        self._reload(instance, vnf, container)
        member.applied = container.config

    def stop(self, instance: str, vnf: str, container: str) -> None:
        self._called("stop", instance, vnf, container)
        if (home := self._vnfs.get((instance, vnf))) is not None:
            home.members.pop(container, None)

    def remove_vnf(self, instance: str, vnf: str, *, keep_volumes: bool = False) -> None:
        self._called("remove_vnf", instance, vnf)
        self._vnfs.pop((instance, vnf), None)
        if not keep_volumes:
            self._volumes.pop((instance, vnf), None)

    def netns(self, instance: str, vnf: str) -> str:
        home = self._vnfs.get((instance, vnf))
        if home is None or not home.namespace:
            raise TemporaryError(f"the network namespace of {vnf} is gone", delay=1)
        return f"memory:{home.namespace}"

    def noticed(self, instance: str, vnf: str, container: str, volume: str) -> bool:
        return notice(container) in self._volumes.get((instance, vnf), {}).get(volume, {})

    def _withdraw(self, instance: str, vnf: str, container: Container) -> None:
        for volume in container.volumes:
            self._volumes[instance, vnf][volume.name].pop(notice(container.name), None)

    def volume(self, instance: str, vnf: str, name: str) -> Path:
        if name not in self._volumes.get((instance, vnf), {}):
            raise TemporaryError(f"{vnf} has no volume {name} yet", delay=1)
        return Path("/memory", instance, vnf, name)

    def exec(
        self,
        instance: str,
        vnf: str,
        container: str,
        command: tuple[str, ...],
        *,
        timeout: float,  # noqa: ARG002 - an answer takes no time
    ) -> ExecResult:
        self._running(instance, vnf, container)
        return self._answers(instance, vnf, container, command)

    def events(self, since: float) -> Iterator[str]:
        """The instance of everything that ended since `since` (Unix seconds). Ends instead of blocking."""
        yield from [instance for at, instance in self._ended if at >= since]

    # --- inside ---

    def _called(self, *call: str) -> None:
        self.calls.append(call)
        if (error := self._faults.pop(len(self.calls), None)) is not None:
            raise error

    def _running(self, instance: str, vnf: str, container: str) -> _Member:
        home = self._vnfs.get((instance, vnf))
        member = home.members.get(container) if home else None
        if member is None or not member.running:
            raise TemporaryError(f"{vnf}/{container} does not run", delay=1)
        return member

    def _write(self, member: _Member, container: Container) -> None:
        if member.applied != container.config:
            member.applied = None
        member.files = {file.name: file.content for file in container.files}

    def _reload(self, instance: str, vnf: str, container: Container) -> None:
        if container.reload is None:
            return
        result = self._answers(instance, vnf, container.name, container.reload)
        if result.status != 0:
            raise PermanentError(f"{vnf}/{container.name} refuses its configuration: {result.output.strip()}")


def _live(vnf: _Namespace) -> tuple[LiveContainer, ...]:
    members: Sequence[tuple[str, _Member]] = sorted(vnf.members.items())
    return tuple(
        LiveContainer(name, member.identity, member.applied, member.running, member.namespace if member.running else 0)
        for name, member in members
    )
