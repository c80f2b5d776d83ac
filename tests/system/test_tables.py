"""The database of a VNF as its image runs it: reached by its socket, complete when it can be reached, ended as told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.beds import DockerRuntimeBed, docker_bed, run
from worker.errors import TemporaryError
from worker.report import TableChange
from worker.tables.base import Tables
from worker.tables.redis import RedisTables
from worker.topology import ConfigFile, Container, Database, Vnf, Volume

pytestmark = pytest.mark.system

IMAGE = "naas/sbc-redis:1"
ENTRY = ("/usr/lib/naas/entry", "/etc/naas/redis.conf")
DATABASE = Database("run", "redis.sock", "s3cret")
CONFIGURATION = """\
port 0
unixsocket /run/naas/redis.sock
requirepass s3cret
dir /var/lib/naas
appendonly yes
appendfsync everysec
save ""
"""
REDIS = Container(
    "redis",
    IMAGE,
    ENTRY,
    files=(ConfigFile("redis.conf", CONFIGURATION),),
    volumes=(Volume("run", "/run/naas"), Volume("state", "/var/lib/naas")),
)
SBC = Vnf("sbc", (REDIS,), database=DATABASE)
CHANGE = TableChange("svc", "sbc", None, 7, (("HSET", "sbc:routes", "a/+49", "[1]"),))
#: Seconds after which what was written is on disk (appendfsync everysec).
SYNCED = 1.5


@pytest.fixture
def started(tmp_path: Path) -> Iterator[DockerRuntimeBed]:
    """A VNF that is one Redis, in a folder whose path is longer than a socket's address may be."""
    with docker_bed(tmp_path / ("deep" * 30)) as bed:
        bed.runtime.add_vnf("svc", SBC)
        bed.runtime.start("svc", "sbc", REDIS)
        yield bed


def first_answer(bed: DockerRuntimeBed, ask: Callable[[Tables], int]) -> int:
    """What the first question is answered with that is answered at all."""
    deadline = time.monotonic() + 20
    with closing(RedisTables(bed.runtime.volume("svc", "sbc", "run"), DATABASE)) as tables:
        while True:
            try:
                return ask(tables)
            except TemporaryError:
                assert time.monotonic() < deadline, run("docker", "logs", *bed.ids("svc", "sbc", "redis"))
                time.sleep(0.005)


def test_whoever_can_connect_finds_the_functions(started: DockerRuntimeBed) -> None:
    assert first_answer(started, lambda tables: tables.apply(CHANGE)) == 7


def test_tables_survive_a_kill_and_a_namespace_that_is_made_again(started: DockerRuntimeBed) -> None:
    first_answer(started, lambda tables: tables.apply(CHANGE))
    time.sleep(SYNCED)
    started.kill("svc", "sbc", "redis")
    started.runtime.remove_vnf("svc", "sbc", keep_volumes=True)
    started.runtime.add_vnf("svc", SBC)
    started.runtime.start("svc", "sbc", REDIS)
    assert first_answer(started, lambda tables: tables.revision()) == 7


def test_a_stop_reaches_redis_and_loses_nothing(started: DockerRuntimeBed) -> None:
    first_answer(started, lambda tables: tables.apply(CHANGE))
    (id,) = started.ids("svc", "sbc", "redis")
    run("docker", "stop", "-t", "30", id)
    assert run("docker", "inspect", "-f", "{{.State.ExitCode}}", id).strip() == "0"
    started.runtime.start("svc", "sbc", REDIS)
    assert first_answer(started, lambda tables: tables.revision()) == 7


def test_a_library_that_is_refused_ends_the_container_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text(CONFIGURATION)
    (tmp_path / "broken.lua").write_text("#!lua name=broken\nnonsense")
    mounts = (f"-v={tmp_path}/redis.conf:{ENTRY[1]}", f"-v={tmp_path}/broken.lua:/usr/lib/naas/broken.lua")
    writable = ("--tmpfs=/run/naas", "--tmpfs=/var/lib/naas")
    said = run(
        "sh", "-c", f"docker run --rm --init --network none {' '.join((*mounts, *writable, IMAGE, *ENTRY))} 2>&1"
    )
    assert "Error compiling function" in said
    assert "User requested shutdown" in said
