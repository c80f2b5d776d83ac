"""The values in which a service is wanted and found at a point of presence (PoP).

`DesiredState` says what should stand at one PoP for one service instance;
`ObservedState` says what was found there by asking Docker and the kernel. Both are
frozen and made of plain data: nothing here starts, wires or decides anything.

Digests are 16 hex digits of BLAKE2b over the canonical JSON of what they cover.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from worker.errors import PermanentError

#: What instances, VNFs, containers, ports and segments may be called. Names reach the
#: kernel, Docker labels and the file system, so the alphabet is small on purpose.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
Cidr = Annotated[str, Field(pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")]
Mac = Annotated[str, Field(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]


def digest(value: object) -> str:
    """Sixteen hex digits that change when `value` (JSON-serialisable) changes."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


# --- wanted ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ConfigFile:
    """A file the container finds at `/etc/naas/<name>`."""

    name: FileName
    content: str = field(repr=False)
    mode: int = 0o600


@dataclass(frozen=True)
class Volume:
    """A directory of a VNF on the PoP's disk, which its containers find at `path` and share.

    It stays as long as the VNF is wanted, whatever becomes of containers and namespace.
    """

    name: Name
    path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_.-]+)+$")]


@dataclass(frozen=True)
class Container:
    """One process tree of a VNF.

    `cpu` is in cores, `memory` in bytes. `reload` is run inside the container after its
    files changed; without it a changed file means a new container.
    """

    name: Name
    image: str
    command: tuple[str, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    reload: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    read_only: bool = True
    cpu: float = 1.0
    memory: int = 256 * 2**20

    @cached_property
    def identity(self) -> str:
        """Digest of what takes a new container when it changes."""
        covered = asdict(self)
        del covered["files"], covered["reload"]
        if not self.volumes:
            del covered["volumes"]  # so that a container from before there were volumes stays as it is
        if self.reload is None:
            covered["config"] = self.config
        return digest(covered)

    @cached_property
    def config(self) -> str:
        """Digest of the files: a change is applied by `reload`, without a new container."""
        return digest([asdict(file) for file in self.files])


class ProbeRole(StrEnum):
    """What a failing probe means.

    READINESS gates `converged`; HEALTH only colours the service; both are repeated while it runs.
    """

    READINESS = "readiness"
    HEALTH = "health"


@dataclass(frozen=True)
class Exec:
    """Runs `command` in `container`; `parser` names the function in `worker.probes` that reads its output.

    `every` is the least number of seconds between two runs once it held: a dear probe is asked seldom. 0 is
    as often as the PoP asks.
    """

    name: Name
    container: Name
    command: tuple[str, ...]
    parser: str = "exit-status"
    role: ProbeRole = ProbeRole.HEALTH
    timeout: float = 5.0
    every: float = 0.0
    type: Literal["exec"] = "exec"


@dataclass(frozen=True)
class Tcp:
    """Holds when something accepts a TCP connection to `host`:`port` in the VNF's namespace."""

    name: Name
    port: int
    host: str = "127.0.0.1"
    role: ProbeRole = ProbeRole.HEALTH
    timeout: float = 2.0
    type: Literal["tcp"] = "tcp"


@dataclass(frozen=True)
class Http:
    """Holds when `GET path` on `host`:`port` in the VNF's namespace answers `status`."""

    name: Name
    port: int
    path: str = "/"
    host: str = "127.0.0.1"
    status: int = 200
    role: ProbeRole = ProbeRole.HEALTH
    timeout: float = 2.0
    type: Literal["http"] = "http"


@dataclass(frozen=True)
class Notice:
    """Holds when `container` has said that it is ready, by writing the file `ready.<container>` in `volume`.

    As services tell systemd (sd_notify(3)): looking at a file costs the PoP nothing, where running a command in a
    container takes a tenth of a second of its processor. The file is removed before the container is started
    or given other files, so what is found there is about the files it has now.
    """

    name: Name
    container: Name
    volume: Name
    role: ProbeRole = ProbeRole.READINESS
    type: Literal["notice"] = "notice"


Probe = Annotated[Exec | Tcp | Http | Notice, Field(discriminator="type")]


@dataclass(frozen=True)
class Database:
    """The Redis of a VNF, by which what changes often gets in and what happened gets out, without a new generation.

    It listens on the socket `socket` in the VNF's volume `volume`. Its database 0 takes table changes through the
    function `change` and keeps records in the stream `records` (see `worker.tables`).
    """

    volume: Name
    socket: FileName
    password: str = field(repr=False)


@dataclass(frozen=True)
class Vnf:
    """One network namespace and the containers that share it.

    `sysctls` are `net.*` settings of the namespace, set when it is made.
    """

    name: Name
    containers: tuple[Container, ...]
    sysctls: tuple[tuple[str, str], ...] = ()
    probes: tuple[Probe, ...] = ()
    database: Database | None = None

    @cached_property
    def identity(self) -> str:
        """Digest of what takes a new namespace when it changes."""
        return digest(self.sysctls)


@dataclass(frozen=True)
class Nic:
    """The segment continues on interface `name` of the PoP's root namespace, untagged or as VLAN `vlan`."""

    name: str
    vlan: int | None = None
    type: Literal["nic"] = "nic"


@dataclass(frozen=True)
class Vxlan:
    """The segment continues at other PoPs: one unicast VXLAN (RFC 7348) to each of `remotes`."""

    vni: int
    remotes: tuple[str, ...]
    port: int = 4789
    local: str | None = None
    type: Literal["vxlan"] = "vxlan"


Uplink = Annotated[Nic | Vxlan, Field(discriminator="type")]


@dataclass(frozen=True)
class Segment:
    """A layer-2 domain at a PoP: a bridge in the fabric namespace, with at most one uplink. `mtu` in bytes."""

    id: Name
    mtu: int = 1500
    uplink: Uplink | None = None

    @cached_property
    def digest(self) -> str:
        return digest(asdict(self))


@dataclass(frozen=True)
class Route:
    destination: Cidr
    via: str


@dataclass(frozen=True)
class Wire:
    """One VNF port on one segment: a veth pair, the far end of which is called `port` inside the VNF.

    `rate_in` and `rate_out` are in bit/s, seen from the VNF; None is unlimited.
    """

    vnf: Name
    port: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,14}$")]
    segment: Name
    addresses: tuple[Cidr, ...] = ()
    mac: Mac | None = None
    routes: tuple[Route, ...] = ()
    rate_in: int | None = None
    rate_out: int | None = None

    @cached_property
    def digest(self) -> str:
        return digest(asdict(self))


@dataclass(frozen=True)
class DesiredState:
    """What should stand at one PoP for one service instance. Without VNFs it is a deletion."""

    instance: Name
    generation: int
    segments: tuple[Segment, ...] = ()
    vnfs: tuple[Vnf, ...] = ()
    wires: tuple[Wire, ...] = ()

    @property
    def is_deletion(self) -> bool:
        return not self.vnfs

    def segment(self, id: str) -> Segment:
        return next(segment for segment in self.segments if segment.id == id)

    def vnf(self, name: str) -> Vnf | None:
        return next((vnf for vnf in self.vnfs if vnf.name == name), None)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _DESIRED.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> DesiredState:
        """Read what `to_json` wrote. Raises `PermanentError` naming the fields that are wrong."""
        try:
            return _DESIRED.validate_json(json.dumps(document), strict=True)
        except ValidationError as error:
            # Not `str(error)`: it quotes the input, and file contents hold passwords.
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            raise PermanentError(f"desired state is malformed: {wrong}") from None


_DESIRED = TypeAdapter(DesiredState)


# --- found ----------------------------------------------------------------------------


@dataclass(frozen=True)
class LiveContainer:
    """A container found at the PoP.

    `namespace` is the inode of the network namespace it is in (0 when it does not run);
    `config` is the digest of the files last applied, None when none was applied to the end.
    """

    name: str
    identity: str
    config: str | None
    running: bool
    namespace: int


@dataclass(frozen=True)
class LiveVnf:
    """A VNF found at the PoP. `namespace` is the inode of its holder's namespace, 0 when the holder does not run."""

    name: str
    identity: str
    namespace: int
    containers: tuple[LiveContainer, ...] = ()

    def container(self, name: str) -> LiveContainer | None:
        return next((container for container in self.containers if container.name == name), None)


@dataclass(frozen=True)
class LiveSegment:
    """A segment found in the fabric. `digest` is None when it is half made or its uplink is gone;

    `ports` are the fabric-side names of the wires on it, of whichever instance.
    """

    id: str
    digest: str | None
    ports: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LiveWire:
    """A wire found in the fabric and in the VNF's namespace, as the kernel tells it.

    `digest` is the mark written last by `plug` (None when the wire is half made); the other
    fields are what is there now. `addresses` leaves link-local ones out.
    """

    vnf: str
    port: str
    segment: str | None
    digest: str | None
    up: bool = True
    mac: str | None = None
    mtu: int = 1500
    addresses: frozenset[str] = frozenset()
    routes: frozenset[Route] = frozenset()
    shaped_in: bool = False
    shaped_out: bool = False


@dataclass(frozen=True)
class ObservedState:
    """What was found at the PoP for one instance. `segments` are all those of the fabric."""

    instance: str
    segments: tuple[LiveSegment, ...] = ()
    vnfs: tuple[LiveVnf, ...] = ()
    wires: tuple[LiveWire, ...] = ()

    def segment(self, id: str) -> LiveSegment | None:
        return next((segment for segment in self.segments if segment.id == id), None)

    def vnf(self, name: str) -> LiveVnf | None:
        return next((vnf for vnf in self.vnfs if vnf.name == name), None)

    def wire(self, vnf: str, port: str) -> LiveWire | None:
        return next((wire for wire in self.wires if (wire.vnf, wire.port) == (vnf, port)), None)


def fabric_port(instance: str, vnf: str, port: str) -> str:
    """Name of a wire's fabric side. Derived, so that making it twice finds the first (15 characters at most)."""
    return "w" + digest([instance, vnf, port])[:14]
