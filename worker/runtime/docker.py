"""The runtime on a Docker engine. The only importer of docker.

A VNF is a holder, a container that does nothing but keep a network namespace with its
sysctls, and the VNF's containers, which join that namespace. Neither has a restart policy:
the PoP worker repairs, because a restart by Docker would leave the wires behind. Nothing
here plugs a wire or decides what should run.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig

from worker.errors import PermanentError, TemporaryError
from worker.runtime.base import ExecResult, Usage
from worker.runtime.cgroups import Groups
from worker.runtime.files import Files
from worker.topology import Container, LiveContainer, LiveVnf, Vnf, digest

POP = "naas.pop"
INSTANCE = "naas.instance"
VNF = "naas.vnf"
CONTAINER = "naas.container"
IDENTITY = "naas.identity"

#: Where a container finds its files.
MOUNT = "/etc/naas"
#: Bytes of output that `exec` keeps; what a command says beyond that is read and dropped.
MOST_OUTPUT = 2**20

_LONGEST_NAME = 120
#: Seconds within which the engine must answer; starting a container on a busy host takes several.
_ANSWER_WITHIN = 60
_POLL = 0.01
#: The holder itself needs a hundredth; the engine starts it from a program that counts against both limits.
_HOLDER_MEMORY = 16 * 2**20
_HOLDER_PROCESSES = 32
_PROCESSES = 512
#: Exit statuses of a command that was ended by SIGKILL or SIGTERM, as when its container dies.
_KILLED = (128 + signal.SIGKILL, 128 + signal.SIGTERM)

#: What every namespace starts with; a VNF's own sysctls override it. Docker switches IPv6 off where it gives
#: no network, and the kernel drops a subnet's other addresses with the first of them.
_NAMESPACE_SYSCTLS = {
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.default.disable_ipv6": "0",
    "net.ipv4.conf.all.promote_secondaries": "1",
    "net.ipv4.conf.default.promote_secondaries": "1",
    "net.bridge.bridge-nf-call-iptables": "0",
    "net.bridge.bridge-nf-call-ip6tables": "0",
    "net.bridge.bridge-nf-call-arptables": "0",
}


class DockerRuntime:
    """The containers of one PoP, as `worker.runtime.base.Runtime` promises.

    `socket` is the path of the engine's socket; `state_dir` holds the containers' files and is
    seen under the same path by the engine. The connection is made on first use, one per process.
    """

    def __init__(self, pop: str, socket: str, state_dir: Path, holder_image: str = "naas/holder:1") -> None:
        self._pop = pop
        self._socket = socket.removeprefix("unix://")
        self._holder_image = holder_image
        self._files = Files(state_dir.absolute() / "vnfs")
        self._clients: dict[int, APIClient] = {}
        #: Holders by their name, as last inspected; whoever reads it asks the kernel whether it still holds.
        self._holders: dict[str, _Found] = {}
        #: Where containers are counted, by their ids.
        self._groups: dict[str, Groups] = {}

    # --- what is there ---

    def instances(self) -> frozenset[str]:
        """Every instance that has a holder or container at this PoP."""
        with _translated("list the containers"):
            return frozenset(found.instance for found in self._find()) | self._files.instances()

    def list(self, instance: str) -> tuple[LiveVnf, ...]:
        """The instance's VNFs as the engine and /proc tell them, sorted by name.

        One of which only files or containers are left has no identity and no namespace.
        """
        with _translated(f"list the containers of {instance}"):
            found = [self._look(container) for container in self._find(instance)]
        names = sorted({container.vnf for container in found} | self._files.vnfs(instance))
        return tuple(self._live(name, [container for container in found if container.vnf == name]) for name in names)

    def netns(self, instance: str, vnf: str) -> str:
        """Path by which the VNF's network namespace can be entered. Raises `TemporaryError` without a holder."""
        with _translated(f"look at the holder of {vnf}"):
            holder = self._holder(instance, vnf)
        if holder is None or not holder.pid:
            raise TemporaryError(f"the network namespace of {vnf} is gone", delay=1)
        return f"/proc/{holder.pid}/ns/net"

    def usage(self) -> tuple[Usage, ...]:
        """What every container that runs here uses, holders left out. The engine lists them, the kernel counts."""
        with _translated("list what runs"):
            found = [container for container in self._find(running=True) if not container.is_holder]
            self._groups = {c.id: groups for c in found if (groups := self._groups_of(c)) is not None}
        used = ((container, self._groups[container.id].used()) for container in found if container.id in self._groups)
        return tuple(Usage(c.instance, c.vnf, c.id, *amounts) for c, amounts in used if amounts is not None)

    def _groups_of(self, container: _Found) -> Groups | None:
        """Its control groups, which it has for life."""
        known = self._groups.get(container.id)
        if known is not None:
            return known
        looked_at = self._inspect(container.id)
        return Groups.of(_control_groups(looked_at.pid)) if looked_at is not None and looked_at.pid else None

    def events(self, since: float) -> Iterator[str]:
        """The instance of every container of this PoP that ended or was removed since `since` (Unix seconds).

        Blocks between events, for ever. Raises `TemporaryError` when the engine goes away.
        """
        filters = {"type": "container", "event": ["die", "destroy"], "label": f"{POP}={self._pop}"}
        with _translated("listen to the engine"), closing(self._connect()) as client:
            for event in client.events(since=int(since), filters=filters, decode=True):
                yield event["Actor"]["Attributes"][INSTANCE]
        raise TemporaryError("the engine stopped telling events", delay=1)

    # --- namespaces ---

    def add_vnf(self, instance: str, vnf: Vnf) -> None:
        """Make the VNF's network namespace (its holder container) with its sysctls."""
        options = {
            "image": self._holder_image,
            "labels": self._labels(instance, vnf.name, "", vnf.identity),
            "host_config": self._client().create_host_config(
                **_CONFINED,
                network_mode="none",
                read_only=True,
                sysctls=_supported(_NAMESPACE_SYSCTLS) | _without_missing_ipv6(vnf.sysctls),
                mem_limit=_HOLDER_MEMORY,
                memswap_limit=_HOLDER_MEMORY,
                pids_limit=_HOLDER_PROCESSES,
            ),
        }
        with _translated(f"make the namespace of {vnf.name}"):
            self._ensure(self._name(instance, vnf.name), options, network="none")

    def remove_vnf(self, instance: str, vnf: str, *, keep_volumes: bool = False) -> None:
        """Remove the VNF's containers, its holder, its files and, unless it comes back, its volumes."""
        with _translated(f"remove {vnf}"):
            for found in sorted(self._find(instance, vnf), key=lambda found: found.is_holder):
                self._remove(found.id)
        self._holders.pop(self._name(instance, vnf), None)
        self._files.remove_vnf(instance, vnf, keep_volumes=keep_volumes)

    # --- containers ---

    def start(self, instance: str, vnf: str, container: Container) -> None:
        """Write the files, make the volumes, create the container in the VNF's namespace, start it, note the digest.

        A stopped container of the same identity in the same namespace is started again.
        """
        self._files.write(instance, vnf, container)
        self._files.make_volumes(instance, vnf, container.volumes)
        self._files.withdraw(instance, vnf, container)
        with _translated(f"start {vnf}/{container.name}"):
            holder = self._holder(instance, vnf)
            if holder is None or not holder.pid:
                raise TemporaryError(f"cannot start {container.name}: the namespace of {vnf} is gone", delay=1)
            name, network = self._name(instance, vnf, container.name), f"container:{holder.id}"
            options = self._options(instance, vnf, container, network)
            ran_already = self._ensure(name, options, network, holder.namespace)
        if ran_already and self._files.applied(instance, vnf, container.name) != container.config:
            self._reload(instance, vnf, container)
        self._files.note(instance, vnf, container)

    def configure(self, instance: str, vnf: str, container: Container) -> None:
        """Write the files, run `reload`, then note their digest.

        Raises `PermanentError` with the output when the reload refuses the files.
        """
        self._files.write(instance, vnf, container)
        self._files.withdraw(instance, vnf, container)
        self._reload(instance, vnf, container)
        self._files.note(instance, vnf, container)

    def stop(self, instance: str, vnf: str, container: str) -> None:
        """Remove the container and its files, running or not."""
        with _translated(f"stop {vnf}/{container}"):
            for found in self._find(instance, vnf, container):
                self._remove(found.id)
        self._files.remove(instance, vnf, container)

    def volume(self, instance: str, vnf: str, name: str) -> Path:
        """The directory of a volume on this host. Raises `TemporaryError` until a container that has it was started."""
        folder = self._files.volume(instance, vnf, name)
        if not folder.is_dir():
            raise TemporaryError(f"{vnf} has no volume {name} yet", delay=1)
        return folder

    def noticed(self, instance: str, vnf: str, container: str, volume: str) -> bool:
        """Whether the container wrote its notice into the volume since it was last started or configured."""
        return self._files.noticed(instance, vnf, container, volume)

    def exec(self, instance: str, vnf: str, container: str, command: tuple[str, ...], *, timeout: float) -> ExecResult:
        """Run `command` (no shell) in a running container.

        Raises `TemporaryError` when it does not run or when `timeout` seconds pass.
        """
        deadline = time.monotonic() + timeout
        name = self._name(instance, vnf, container)
        with _translated(f"run {command[0]} in {vnf}/{container}"):
            run: str = self._client().exec_create(name, list(command))["Id"]
            try:
                output = self._exec_output(run, deadline)
                return ExecResult(self._exec_status(run, deadline), output)
            except TimeoutError as error:
                self._kill(run, name)
                message = f"{command[0]} in {vnf}/{container} did not end within {timeout:g} s"
                raise TemporaryError(message, delay=1) from error

    def _reload(self, instance: str, vnf: str, container: Container) -> None:
        if container.reload is None:
            return
        result = self.exec(instance, vnf, container.name, container.reload, timeout=_ANSWER_WITHIN)
        if result.status in _KILLED:
            raise TemporaryError(f"{vnf}/{container.name} ended while it was reloaded", delay=1)
        if result.status != 0:
            raise PermanentError(f"{vnf}/{container.name} refuses its configuration: {result.output.strip()}")

    # --- making ---

    def _options(self, instance: str, vnf: str, container: Container, network: str) -> dict[str, Any]:
        """What Docker is told, everything but the name."""
        files = self._files.folder(instance, vnf, container.name)
        volumes = [f"{self._files.volume(instance, vnf, each.name)}:{each.path}:rw" for each in container.volumes]
        return {
            "image": container.image,
            "command": list(container.command) or None,
            "labels": self._labels(instance, vnf, container.name, container.identity),
            "host_config": self._client().create_host_config(
                **_CONFINED,
                network_mode=network,
                cap_add=list(container.capabilities),
                devices=list(container.devices),
                tmpfs=dict(_mount(path) for path in container.tmpfs),
                read_only=container.read_only,
                binds=[f"{files}:{MOUNT}:ro", *volumes],
                init=True,
                nano_cpus=round(container.cpu * 1e9),
                mem_limit=container.memory,
                memswap_limit=container.memory,
                pids_limit=_PROCESSES,
            ),
        }

    def _ensure(self, name: str, options: dict[str, Any], network: str, namespace: int | None = None) -> bool:
        """Bring about a running container of this name, labels and network, in `namespace` (None: in one of its own).

        Says whether it ran already.

        Creating comes first and looking after: on the usual way there is nothing to look at.
        """
        labels = options["labels"]
        client = self._client()
        found: _Found | None = None
        try:
            id = client.create_container(name=name, **options)["Id"]
        except APIError as error:
            if error.status_code != http.client.CONFLICT:
                raise
            found = self._adopt(name, labels, network, namespace)
            id = client.create_container(name=name, **options)["Id"] if found is None else found.id
        if found is not None and found.pid:
            return True
        client.start(id)
        return False

    def _adopt(self, name: str, labels: Mapping[str, str], network: str, namespace: int | None) -> _Found | None:
        """The container of this name when it is the wanted one; when it is another of this PoP, it is removed.

        One that runs in another namespace was left behind by a holder that restarted.
        """
        found = self._inspect(name)
        if found is None:
            return None
        if found.labels.get(POP) != self._pop:
            raise PermanentError(f"a container that is not of PoP {self._pop} has the name {name}: rename or remove it")
        is_stranded = bool(found.pid) and namespace is not None and found.namespace != namespace
        # An image may bring labels of its own along.
        is_alike = labels.items() <= found.labels.items() and found.network == network
        if is_alike and not is_stranded and not found.is_broken:
            return found
        self._remove(found.id)
        return None

    def _remove(self, id: str) -> None:
        try:
            self._client().remove_container(id, force=True, v=True)
        except NotFound:
            return

    def _labels(self, instance: str, vnf: str, container: str, identity: str) -> dict[str, str]:
        return {POP: self._pop, INSTANCE: instance, VNF: vnf, CONTAINER: container, IDENTITY: identity}

    def _name(self, *parts: str) -> str:
        """Derived, so that making it twice finds the first. Dots keep `a.b-c` and `a-b.c` apart."""
        name = ".".join((f"naas-{self._pop}", *parts))
        return name if len(name) <= _LONGEST_NAME else f"naas-{self._pop}.{digest(parts)}"

    # --- finding ---

    def _find(self, *parts: str, running: bool = False) -> tuple[_Found, ...]:
        """The containers of this PoP, of an instance, of a VNF or of one name, by their labels."""
        keys = (INSTANCE, VNF, CONTAINER)
        labels = [f"{POP}={self._pop}", *(f"{key}={part}" for key, part in zip(keys, parts, strict=False))]
        listed = self._client().containers(all=not running, filters={"label": labels})
        return tuple(_Found(item["Id"], item["Labels"], item["HostConfig"]["NetworkMode"]) for item in listed)

    def _holder(self, instance: str, vnf: str) -> _Found | None:
        """The holder as it was last inspected, while its process is still its own; else inspected anew.

        Asking /proc costs a twentieth of asking the engine, and each wire and container of a VNF asks.
        """
        name = self._name(instance, vnf)
        return self._still(self._holders.get(name)) or self._inspect(name)

    @staticmethod
    def _still(known: _Found | None) -> _Found | None:
        """The container, if the kernel says that its process is in it yet."""
        return known if known is not None and known.id in _control_groups(known.pid) else None

    def _inspect(self, name: str) -> _Found | None:
        try:
            document = self._client().inspect_container(name)
        except NotFound:
            return None
        state = document["State"]
        found = _Found(
            document["Id"],
            document["Config"]["Labels"] or {},
            document["HostConfig"]["NetworkMode"],
            pid=state["Pid"] if state["Running"] and not state["Paused"] else 0,
            is_broken=state["Dead"] or state["Paused"] or state["Status"] == "removing",
        )
        if found.pid and found.labels.get(POP) == self._pop and found.is_holder:
            self._holders[self._name(found.instance, found.vnf)] = found
        return found

    def _look(self, found: _Found) -> _Found:
        """The same container with its process; as it was when it has just gone."""
        known = self._holders.get(self._name(found.instance, found.vnf)) if found.is_holder else None
        if known is not None and known.id == found.id and self._still(known):
            return known
        return self._inspect(found.id) or found

    def _live(self, name: str, found: Sequence[_Found]) -> LiveVnf:
        holder = next((container for container in found if container.is_holder), None)
        members = sorted((container for container in found if not container.is_holder), key=lambda member: member.name)
        return LiveVnf(
            name,
            holder.labels[IDENTITY] if holder else "",
            holder.namespace if holder else 0,
            tuple(self._live_container(member) for member in members),
        )

    def _live_container(self, member: _Found) -> LiveContainer:
        return LiveContainer(
            member.name,
            member.labels[IDENTITY],
            self._files.applied(member.instance, member.vnf, member.name),
            running=member.namespace != 0,
            namespace=member.namespace,
        )

    # --- the engine ---

    def _client(self) -> APIClient:
        """This process's connection: a forked child must not share its parent's."""
        pid = os.getpid()
        if pid not in self._clients:
            self._clients = {pid: self._connect()}
        return self._clients[pid]

    def _connect(self) -> APIClient:
        with _translated("reach the engine"):
            client = APIClient(base_url=f"unix://{self._socket}", version="auto", timeout=_ANSWER_WITHIN)
        client.trust_env = False  # a Unix socket has no proxy to be looked up with every call
        return client

    def _exec_output(self, run: str, deadline: float) -> str:
        """What the command says until it ends. Raises `TimeoutError` at the deadline.

        On a connection of its own, because the SDK reads without a deadline.
        """
        version = self._client().api_version
        with closing(_UnixConnection(self._socket, deadline)) as connection:
            body = '{"Detach": false, "Tty": false}'
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/v{version}/exec/{run}/start", body, headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise TemporaryError(f"the engine does not run the command: {response.read().decode(errors='replace')}")
            return _demultiplexed(connection.chunks(response))

    def _exec_status(self, run: str, deadline: float) -> int:
        """The exit status, which comes a moment after the last output. Raises `TimeoutError` at the deadline."""
        while True:
            status: int | None = self._client().exec_inspect(run)["ExitCode"]
            if status is not None:
                return status
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(_POLL)

    def _kill(self, run: str, container: str) -> None:
        """End what an exec left running: closing its connection does not."""
        pid = self._client().exec_inspect(run)["Pid"]
        found = self._inspect(container)
        if not pid or found is None or found.id not in _control_groups(pid):
            return
        with suppress(ProcessLookupError):
            # The engine starts a command in a session of its own: the group is it and its children.
            kill = os.killpg if os.getpgid(pid) == pid else os.kill
            kill(pid, signal.SIGKILL)


#: What holder and containers have in common.
_CONFINED: Mapping[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "restart_policy": {"Name": "no"},
    "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
}


@dataclass(frozen=True)
class _Found:
    """A container as the engine tells it. `pid` is 0 when it does not run or was not asked for."""

    id: str
    labels: Mapping[str, str]
    network: str
    pid: int = 0
    is_broken: bool = False

    @property
    def instance(self) -> str:
        return self.labels[INSTANCE]

    @property
    def vnf(self) -> str:
        return self.labels[VNF]

    @property
    def name(self) -> str:
        return self.labels[CONTAINER]

    @property
    def is_holder(self) -> bool:
        return not self.name

    @property
    def namespace(self) -> int:
        """Inode of its network namespace, 0 when it does not run."""
        try:
            return Path(f"/proc/{self.pid}/ns/net").stat().st_ino if self.pid else 0
        except (FileNotFoundError, ProcessLookupError):
            return 0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket, all of it within a deadline of the monotonic clock."""

    def __init__(self, path: str, deadline: float) -> None:
        super().__init__("localhost")
        self._path = path
        self._deadline = deadline
        # Kept, because http.client lets go of its socket once the answer's head is read.
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def connect(self) -> None:
        self._stream.settimeout(self._remaining())
        self._stream.connect(self._path)
        self.sock = self._stream

    def chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """The body as it arrives. Raises `TimeoutError` at the deadline."""
        while True:
            self._stream.settimeout(self._remaining())
            chunk = response.read1(65536)
            if not chunk:
                return
            yield chunk

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining


def _demultiplexed(chunks: Iterator[bytes]) -> str:
    """Stdout, then stderr, of the engine's stream: frames of stream number, three zeros, length, payload."""
    streams: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= 8 and len(buffer) >= 8 + (length := struct.unpack_from(">L", buffer, 4)[0]):
            kept = streams.setdefault(buffer[0], bytearray())
            kept += buffer[8 : 8 + min(length, MOST_OUTPUT - len(kept))]
            del buffer[: 8 + length]
    return (streams[1] + streams[2])[:MOST_OUTPUT].decode(errors="replace")


def _control_groups(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _supported(sysctls: Mapping[str, str]) -> dict[str, str]:
    """Those that this kernel has: without IPv6 or bridge-netfilter there is nothing to set."""
    return {key: value for key, value in sysctls.items() if Path("/proc/sys", *key.split(".")).exists()}


def _without_missing_ipv6(sysctls: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A VNF's own settings; on a host without IPv6 there are none of IPv6 to make."""
    has_ipv6 = Path("/proc/sys/net/ipv6").exists()
    return {key: value for key, value in sysctls if has_ipv6 or not key.startswith("net.ipv6.")}


def _mount(tmpfs: str) -> tuple[str, str]:
    path, _, options = tmpfs.partition(":")
    return path, options


#: What the SDK lets through when the engine is not there or goes away while it answers.
_UNREACHABLE = (
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


@contextmanager
def _translated(attempt: str) -> Iterator[None]:
    """Engine errors in the platform's words."""
    try:
        yield
    except ImageNotFound as error:
        raise PermanentError(f"cannot {attempt}: {error.explanation}; build it with `make images`") from error
    except APIError as error:
        raise _refusal(f"cannot {attempt}: {error.explanation or error}", error) from error
    except _UNREACHABLE as error:
        raise TemporaryError(f"cannot {attempt}: the engine does not answer ({error})") from error


#: How an engine that is well says that what was asked for cannot be run.
_REFUSED = ("OCI runtime", "invalid", "not allowed", "no such file or directory", "permission denied")


def _refusal(message: str, error: APIError) -> TemporaryError | PermanentError:
    """A missing or busy container may be there or free soon; options that are refused stay refused."""
    status = error.status_code or 0
    if status in (http.client.NOT_FOUND, http.client.CONFLICT):
        return TemporaryError(message, delay=1)
    if status < http.client.INTERNAL_SERVER_ERROR or any(word in message for word in _REFUSED):
        return PermanentError(message)
    return TemporaryError(message)
