"""The floor: what has to be done for a service anyway, by a script that does nothing else.

It copies one service that the platform made: the same images, configuration files, limits
and interfaces, made as directly as the Docker API and iproute2 allow, without a plan, a
report, a database or a broker. Nothing of the platform's code is used.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import docker

#: Docker serialises starts; more at a time only queue up.
AT_A_TIME = 4
READY_POLL = 0.02
READY_PATIENCE = 30.0


@dataclass(frozen=True)
class Port:
    name: str
    mtu: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """What a service consists of at the PoP, as Docker and the kernel tell it.

    `holder` and `containers` are bodies of Docker's create call, `notice` is the file that the
    first container writes when it is ready.
    """

    holder: Mapping[str, Any]
    containers: tuple[Mapping[str, Any], ...]
    ports: tuple[Port, ...]
    notice: PurePosixPath

    @classmethod
    def of(cls, client: docker.APIClient, names: Iterable[str], notice: PurePosixPath, keep: Path) -> Template:
        """The template of a running service: its holder's name and those of its containers, in this order.

        Its files are copied to `keep`.
        """
        holder, *members = (client.inspect_container(name) for name in names)
        return cls(
            holder=_body(holder),
            containers=tuple(_kept(_body(member), keep / str(index)) for index, member in enumerate(members)),
            ports=_ports(holder["State"]["Pid"]),
            notice=notice,
        )


def _body(inspected: Mapping[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in inspected["Config"].items() if key not in ("Hostname", "Labels")}
    return {**config, "HostConfig": dict(inspected["HostConfig"])}


def _kept(body: dict[str, Any], keep: Path) -> dict[str, Any]:
    """The same container, its mounts copied to `keep`."""
    host = body["HostConfig"]
    binds = [_copied(bind, keep / str(index)) for index, bind in enumerate(host.get("Binds") or ())]
    return {**body, "HostConfig": {**host, "Binds": binds}}


def _copied(bind: str, copy: Path) -> str:
    """The bind with a copy of its source."""
    source, _, rest = bind.partition(":")
    shutil.copytree(source, copy)
    return f"{copy}:{rest}"


def _ports(pid: int) -> tuple[Port, ...]:
    shown = subprocess.check_output(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-json", "address", "show"])
    return tuple(
        Port(
            link["ifname"],
            link["mtu"],
            tuple(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"),
        )
        for link in json.loads(shown)
        if link["ifname"] != "lo"
    )


class Floor:
    """Makes and removes copies of a template, on bridges of its own in namespace `name`."""

    def __init__(self, client: docker.APIClient, template: Template, name: str, directory: Path) -> None:
        self._client = client
        self._template = template
        self._name = name
        self._directory = directory

    def __enter__(self) -> Floor:
        bridges = "".join(f"link add br{i} type bridge\nlink set br{i} up\n" for i in range(len(self._template.ports)))
        subprocess.run(["ip", "netns", "add", self._name], check=True)
        _ip_batch(["ip", "-netns", self._name], bridges)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is left, also of copies that an error left half made."""
        for container in self._client.containers(all=True, filters={"name": f"^/{self._name}-"}):
            self._client.remove_container(container["Id"], force=True, v=True)
        subprocess.run(["ip", "netns", "delete", self._name], check=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    def time_one(self) -> float:
        return self.time_many(1)

    def time_many(self, count: int) -> float:
        """Seconds until `count` copies answer. They are removed afterwards, which is not counted."""
        started = time.perf_counter()
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(self.make, range(count)))
            taken = time.perf_counter() - started
            list(pool.map(self.remove, range(count)))
        return taken

    def make(self, number: int) -> None:
        """One copy: holder, wires, containers, and waiting until the first container is ready."""
        holder = self._create(f"{self._name}-{number}", self._template.holder)
        self._client.start(holder)
        self._wire(self._client.inspect_container(holder)["State"]["Pid"])
        for index in range(len(self._template.containers)):
            self._start_member(number, index, holder)
        self._await_notice(number)

    def remove(self, number: int) -> None:
        for index in range(len(self._template.containers)):
            self._client.remove_container(self.container(number, index), force=True, v=True)
        self._client.remove_container(f"{self._name}-{number}", force=True)
        shutil.rmtree(self._directory / str(number), ignore_errors=True)

    def container(self, number: int, index: int = 0) -> str:
        return f"{self._name}-{number}-{index}"

    def files(self, number: int, index: int = 0) -> Path:
        """Where the copy's configuration files lie on this machine."""
        return self._directory / str(number) / str(index) / "0"

    def run(self, container: str, *command: str) -> tuple[int, str]:
        """Exit status and output of a command in a container."""
        execution = self._client.exec_create(container, list(command))["Id"]
        output = self._client.exec_start(execution)
        return self._client.exec_inspect(execution)["ExitCode"], output.decode(errors="replace")

    def _create(self, name: str, body: Mapping[str, Any]) -> str:
        created: str = self._client.create_container_from_config(dict(body), name)["Id"]  # type: ignore[no-untyped-call]
        return created

    def _start_member(self, number: int, index: int, holder: str) -> None:
        body = _kept(dict(self._template.containers[index]), self._directory / str(number) / str(index))
        body["HostConfig"]["NetworkMode"] = f"container:{holder}"
        if index == 0:
            # The pattern was ready, its copy is not.
            self._notice(number).unlink(missing_ok=True)
        self._client.start(self._create(self.container(number, index), body))

    def _wire(self, pid: int) -> None:
        outside = inside = ""
        for index, port in enumerate(self._template.ports):
            # By the process: the kernel takes the wires of the copy before only some time after it.
            near = f"w{pid}p{index}"
            outside += f"link add {near} mtu {port.mtu} type veth peer name {port.name} mtu {port.mtu} netns {pid}\n"
            outside += f"link set {near} master br{index} up\n"
            inside += "".join(_address_line(a, port.name) for a in port.addresses)
            inside += f"link set {port.name} up\n"
        _ip_batch(["ip", "-netns", self._name], outside)
        _ip_batch(["nsenter", f"--net=/proc/{pid}/ns/net", "ip"], inside)

    def _await_notice(self, number: int) -> None:
        notice = self._notice(number)
        deadline = time.monotonic() + READY_PATIENCE
        while not notice.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.container(number)} is not ready after {READY_PATIENCE:.0f} s")
            time.sleep(READY_POLL)

    def _notice(self, number: int) -> Path:
        """Where on this machine the copy's notice appears."""
        binds = self._template.containers[0]["HostConfig"]["Binds"]
        folders = [bind.split(":")[1] for bind in binds]
        index = folders.index(str(self._template.notice.parent))
        return self._directory / str(number) / "0" / str(index) / self._template.notice.name


def _address_line(address: str, port: str) -> str:
    # Without duplicate address detection, an IPv6 address can be used at once.
    return f"address add {address} dev {port}{' nodad' if ':' in address else ''}\n"


def _ip_batch(ip: list[str], lines: str) -> None:
    subprocess.run([*ip, "-batch", "-"], input=lines, text=True, check=True)


def time_docker_run(image: str, name: str) -> float:
    """Seconds of one bare `docker run` of the image, which is then removed."""
    started = time.perf_counter()
    command = ["docker", "run", "--detach", "--network", "none", "--name", name, "--entrypoint", "sleep", image, "60"]
    try:
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)
