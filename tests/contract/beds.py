"""Test beds: a driver, and the hand that does to its world what the world does.

One bed per driver and double, with the same methods, so that one contract suite fits both.
Every bed has a PoP name of its own and removes what it made; nothing else is touched.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import Any, Protocol, cast

import redis

from worker.runtime.base import Runtime
from worker.runtime.docker import DockerRuntime
from worker.runtime.memory import MemoryRuntime
from worker.tables.base import Tables
from worker.tables.memory import MemoryTables
from worker.tables.redis import RedisTables
from worker.topology import Database, Volume, fabric_port
from worker.wiring.base import Wiring
from worker.wiring.memory import MemoryWiring
from worker.wiring.netlink import NetlinkWiring

#: Another engine is named as the docker command takes it.
DOCKER_SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
TABLES_LUA = Path(__file__).parents[2] / "sbc/kind/image/redis/lib/tables.lua"
IMAGE = os.environ.get("NAAS_TEST_IMAGE", "naas/base:bookworm")


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def unique(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(3)}"


def require_root() -> None:
    if os.geteuid() != 0:
        raise AssertionError("this test makes network namespaces and must run as root")


def require_docker() -> None:
    require_root()
    if not Path(DOCKER_SOCKET).exists():
        raise AssertionError(f"this test needs a Docker engine at {DOCKER_SOCKET}: start dockerd, or run `make up`")
    for image in ("naas/holder:1", IMAGE):
        if not run("docker", "image", "ls", "-q", image).strip():
            raise AssertionError(f"this test needs the image {image}: run `make images`")


class RuntimeBed(Protocol):
    runtime: Runtime

    def kill(self, instance: str, vnf: str, container: str) -> None: ...
    def lose_holder(self, instance: str, vnf: str) -> None: ...
    def restart_holder(self, instance: str, vnf: str) -> None: ...
    def files(self, instance: str, vnf: str, container: str) -> dict[str, str]: ...
    def put(self, instance: str, vnf: str, container: str, volume: Volume, name: str, text: str) -> None: ...
    def contents(self, instance: str, vnf: str, container: str, volume: Volume) -> dict[str, str]: ...


class MemoryRuntimeBed:
    def __init__(self) -> None:
        self.runtime = MemoryRuntime(frozenset({IMAGE}), self._answer)
        self.kill = self.runtime.kill
        self.lose_holder = self.runtime.lose_holder
        self.restart_holder = self.runtime.restart_holder
        self.files = self.runtime.files

    def put(self, instance, vnf, container, volume, name, text):
        self.runtime.contents(instance, vnf, volume.name)[name] = text

    def contents(self, instance, vnf, container, volume):
        return dict(self.runtime.contents(instance, vnf, volume.name))

    def _answer(self, instance, vnf, container, command):
        """The few commands the contract suite runs."""
        from worker.errors import TemporaryError
        from worker.runtime.base import ExecResult

        match command:
            case ("sh", "-c", "echo out; echo err >&2; exit 3"):
                return ExecResult(3, "out\nerr\n")
            case ("echo", *words):
                return ExecResult(0, " ".join(words) + "\n")
            case ("sh", "-c", "echo no good; exit 1"):
                return ExecResult(1, "no good\n")
            case ("sleep", _):
                raise TemporaryError("it did not end in time")
            case _:
                return ExecResult(0, "")


class DockerRuntimeBed:
    def __init__(self, pop: str, state: Path) -> None:
        self.pop = pop
        self.state = state
        self.runtime = DockerRuntime(pop, DOCKER_SOCKET, state)

    def ids(self, *parts: str) -> list[str]:
        keys = ("naas.instance", "naas.vnf", "naas.container")
        labels = [f"naas.pop={self.pop}", *(f"{key}={part}" for key, part in zip(keys, parts, strict=False))]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return run("docker", "ps", "-aq", "--no-trunc", *filters).split()

    def kill(self, instance: str, vnf: str, container: str) -> None:
        (id,) = self.ids(instance, vnf, container)
        run("docker", "kill", id)

    def lose_holder(self, instance: str, vnf: str) -> None:
        self.kill(instance, vnf, "")

    def restart_holder(self, instance: str, vnf: str) -> None:
        (id,) = self.ids(instance, vnf, "")
        run("docker", "restart", "-t", "0", id)

    def files(self, instance: str, vnf: str, container: str) -> dict[str, str]:
        return self._contents(instance, vnf, container, "/etc/naas")

    def put(self, instance: str, vnf: str, container: str, volume: Volume, name: str, text: str) -> None:
        (id,) = self.ids(instance, vnf, container)
        run("docker", "exec", id, "sh", "-c", f"printf '%s' '{text}' > {volume.path}/{name}")

    def contents(self, instance: str, vnf: str, container: str, volume: Volume) -> dict[str, str]:
        return self._contents(instance, vnf, container, volume.path)

    def _contents(self, instance: str, vnf: str, container: str, folder: str) -> dict[str, str]:
        (id,) = self.ids(instance, vnf, container)
        names = run("docker", "exec", id, "ls", "-A", folder).split()
        return {name: run("docker", "exec", id, "cat", f"{folder}/{name}") for name in names}

    def clean(self) -> None:
        if left := self.ids():
            run("docker", "rm", "-f", *left)


class TablesBed(Protocol):
    """One database and the VNF that writes into it."""

    tables: Tables

    def contents(self) -> dict[str, dict[str, str] | set[str]]: ...
    def note(self, key: str, body: str) -> str: ...
    def lose(self) -> None: ...
    def stop(self) -> None: ...


class MemoryTablesBed:
    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.note, self.lose = self.tables.note, self.tables.lose

    def contents(self) -> dict[str, dict[str, str] | set[str]]:
        """What there is of tables; Redis knows no empty ones."""
        found = self.tables.contents.hashes | self.tables.contents.sets
        return {key: table for key, table in found.items() if table}

    def stop(self) -> None:
        self.tables.away = "it was stopped"


class RedisTablesBed:
    """A Redis of the test's own, with the library of the image in it."""

    DATABASE = Database("run", "redis.sock", "s3cret")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = folder / self.DATABASE.socket
        self.tables = RedisTables(folder, self.DATABASE)
        self.start()

    def start(self) -> None:
        listen = ("--port", "0", "--unixsocket", str(self._socket), "--requirepass", self.DATABASE.password)
        keep = ("--dir", str(self.folder), "--save", "", "--appendonly", "yes")
        self.process = subprocess.Popen(("redis-server", *listen, *keep), stdout=subprocess.DEVNULL)
        self.client: Any = redis.Redis(
            unix_socket_path=str(self._socket), password=self.DATABASE.password, decode_responses=True
        )
        for _ in range(200):
            with suppress(redis.ConnectionError):
                self.client.execute_command("FUNCTION", "LOAD", "REPLACE", TABLES_LUA.read_text())
                return
            sleep(0.02)
        raise AssertionError("redis-server did not come up")

    def contents(self) -> dict[str, dict[str, str] | set[str]]:
        return {key: self._table(key) for key in self.client.scan_iter("sbc:*")}

    def _table(self, key: str) -> dict[str, str] | set[str]:
        found = self.client.hgetall(key) if self.client.type(key) == "hash" else self.client.smembers(key)
        return cast("dict[str, str] | set[str]", found)

    def note(self, key: str, body: str) -> str:
        return str(self.client.xadd("records", {"key": key, "body": body}))

    def lose(self) -> None:
        self.client.flushall()

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.tables.close()
        self.stop()


class WiringBed(Protocol):
    wiring: Wiring

    def namespace(self) -> str: ...
    def lose_namespace(self, netns: str) -> None: ...
    def add_interface(self, name: str) -> None: ...
    def remove_interface(self, name: str) -> None: ...
    def drop(self, instance: str, vnf: str, port: str) -> None: ...
    def halve(self, instance: str, vnf: str, port: str) -> None: ...
    def lose_fabric(self) -> None: ...


class MemoryWiringBed:
    def __init__(self) -> None:
        self.wiring = MemoryWiring()
        self.drop, self.halve = self.wiring.drop, self.wiring.halve
        self.lose_fabric, self.lose_namespace = self.wiring.lose_fabric, self.wiring.lose_namespace
        self.add_interface, self.remove_interface = self.wiring.interfaces.add, self.wiring.interfaces.discard

    def namespace(self) -> str:
        return unique("memory:")


class NetlinkWiringBed:
    """Namespaces by `ip netns`: the fabric, a root namespace for the NICs, and those of the VNFs."""

    def __init__(self) -> None:
        self.pop = unique("t")
        self.fabric = f"naas-{self.pop}"
        self.root = self.namespace_named(f"root-{self.pop}")
        self._made = [self.root]
        self.wiring = NetlinkWiring(self.pop, self.fabric, self.root)

    def namespace_named(self, name: str) -> str:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def namespace(self) -> str:
        name = self.namespace_named(unique(f"vnf-{self.pop}-"))
        self._made.append(name)
        return f"/run/netns/{name}"

    def lose_namespace(self, netns: str) -> None:
        run("ip", "netns", "del", Path(netns).name)
        self._made.remove(Path(netns).name)

    def add_interface(self, name: str) -> None:
        """A NIC of the root namespace; the other end of its cable is called `<name>-far` and stays there too."""
        run("ip", "-n", self.root, "link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
        run("ip", "-n", self.root, "link", "set", name, "up")
        run("ip", "-n", self.root, "link", "set", f"{name}-far", "up")

    def remove_interface(self, name: str) -> None:
        run("ip", "-n", self.root, "link", "del", name)

    def drop(self, instance: str, vnf: str, port: str) -> None:
        run("ip", "-n", self.fabric, "link", "del", fabric_port(instance, vnf, port))

    def halve(self, instance: str, vnf: str, port: str) -> None:
        """As left by a worker killed just after it made the veth: no mark of a whole wire, nothing on it."""
        name = fabric_port(instance, vnf, port)
        shown = run("ip", "-n", self.fabric, "link", "show", name)
        (mark,) = [line.split()[1] for line in shown.splitlines() if line.strip().startswith("altname")]
        draft = mark.rpartition(":")[0] + ":-"
        run("ip", "-n", self.fabric, "link", "property", "add", "dev", name, "altname", draft)
        run("ip", "-n", self.fabric, "link", "property", "del", "dev", name, "altname", mark)
        run("ip", "-n", self.fabric, "link", "set", name, "nomaster")

    def lose_fabric(self) -> None:
        run("ip", "netns", "del", self.fabric)

    def clean(self) -> None:
        for name in [*self._made, self.fabric]:
            run("ip", "netns", "del", name, check=False)


@contextmanager
def redis_bed(folder: Path) -> Iterator[RedisTablesBed]:
    bed = RedisTablesBed(folder)
    try:
        yield bed
    finally:
        bed.close()


@contextmanager
def netlink_bed() -> Iterator[NetlinkWiringBed]:
    require_root()
    bed = NetlinkWiringBed()
    try:
        yield bed
    finally:
        bed.clean()


@contextmanager
def docker_bed(state: Path) -> Iterator[DockerRuntimeBed]:
    require_docker()
    bed = DockerRuntimeBed(unique("t"), state)
    try:
        yield bed
    finally:
        bed.clean()
