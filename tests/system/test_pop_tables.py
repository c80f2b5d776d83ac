"""Tables and records of a VNF between a core, a broker and a PoP that are real: in force at once, none lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers import RedisServer, redis_server
from tests.system.pop import TestPop, pop_at, wait_for
from tests.system.test_tables import DATABASE, REDIS
from worker.broker import RECORDS, RECORDS_TAKEN, REPORT, TABLES, TABLES_AT
from worker.report import Phase, Records, RecordsTaken, Report, TableChange, TablesAt
from worker.topology import DesiredState, Exec, ProbeRole, Vnf

pytestmark = pytest.mark.system

#: Not ready before it has tables.
READY = Exec(
    "has-tables",
    "redis",
    ("sh", "-c", "redis-cli -a s3cret -s /run/naas/redis.sock GET revision | grep -q ."),
    role=ProbeRole.READINESS,
)
SBC = DesiredState("svc-1", 1, vnfs=(Vnf("sbc", (REDIS,), probes=(READY,), database=DATABASE),))


@dataclass
class Core:
    """What the core hears of the PoP."""

    pop: TestPop
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def _listen(self) -> None:
        self.heard += self.pop.messages(0.02)

    def revisions(self) -> list[int]:
        self._listen()
        return [TablesAt.from_json(content).revision for task, content in self.heard if task == TABLES_AT]

    def records(self) -> list[str]:
        self._listen()
        found = [Records.from_json(content) for task, content in self.heard if task == RECORDS]
        return [record.key for message in found for record in message.records]

    def last_record(self) -> str:
        messages = [Records.from_json(content) for task, content in self.heard if task == RECORDS]
        return messages[-1].records[-1].id

    def phases(self) -> list[Phase]:
        self._listen()
        return [Report.from_json(content).phase for task, content in self.heard if task == REPORT]

    def change(self, base: int | None, revision: int, *commands: tuple[str, ...]) -> None:
        self.pop.post(TABLES, TableChange("svc-1", "sbc", base, revision, commands))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def core(broker: RedisServer, tmp_path: Path) -> Iterator[Core]:
    """A core with a PoP where the SBC was ordered."""
    with pop_at(tmp_path / "pop", broker) as pop, broker.client() as client:
        client.delete("core")
        pop.start("worker.app")
        pop.start("worker.healer")
        pop.order(SBC)
        core = Core(pop)
        wait_for(lambda: 0 in core.revisions(), what="a word of the empty tables")
        yield core


def redis_cli(core: Core, *words: str) -> str:
    """What the VNF's Redis answers."""
    command = ("redis-cli", "--no-auth-warning", "-a", DATABASE.password, "-s", "/run/naas/redis.sock", *words)
    return core.pop.pop.runtime.exec("svc-1", "sbc", "redis", command, timeout=20.0).output.strip()


def note(core: Core, key: str) -> None:
    redis_cli(core, "XADD", "records", "*", "key", key, "body", json.dumps({"key": key}))


def test_a_new_service_gets_its_tables_before_it_is_ready(core: Core) -> None:
    assert Phase.CONVERGED not in core.phases()
    core.change(None, 1, ("HSET", "sbc:routes", "a/+49", "[]"))
    wait_for(lambda: Phase.CONVERGED in core.phases(), what="readiness")
    assert 1 in core.revisions()
    core.change(1, 2, ("HSET", "sbc:routes", "a/+1", "[]"))
    wait_for(lambda: 2 in core.revisions(), what="the second revision")
    assert redis_cli(core, "HLEN", "sbc:routes") == "2"


@pytest.mark.alone
def test_a_change_is_in_force_at_once(core: Core) -> None:
    core.change(None, 1, ("HSET", "sbc:routes", "a/+49", "[]"))
    wait_for(lambda: Phase.CONVERGED in core.phases(), what="readiness")
    begun = time.monotonic()
    core.change(1, 2, ("HSET", "sbc:routes", "a/+1", "[]"))
    wait_for(lambda: 2 in core.revisions())
    assert time.monotonic() - begun < 1.0


def test_100_000_routes_pass(core: Core) -> None:
    value = json.dumps({"targets": [{"trunk": "trk-1", "priority": 1, "weight": 1}], "note": "x" * 200})
    core.change(None, 1, *(("HSET", "sbc:routes", f"trk-1/+{number}", value) for number in range(100_000)))
    wait_for(lambda: 1 in core.revisions(), what="the snapshot")
    assert redis_cli(core, "HLEN", "sbc:routes") == "100000"


def test_tables_that_were_lost_are_told_of(core: Core) -> None:
    core.change(None, 5, ("HSET", "sbc:routes", "a/+49", "[]"))
    wait_for(lambda: 5 in core.revisions())
    redis_cli(core, "FLUSHALL")
    wait_for(lambda: core.revisions()[-1] == 0, seconds=3.0, what="a word of the loss")


@pytest.mark.alone
def test_records_arrive_within_a_second_and_go_when_they_are_taken(core: Core, broker: RedisServer) -> None:
    begun = time.monotonic()
    note(core, "call-1")
    wait_for(lambda: core.records() == ["call-1"], what="the record")
    assert time.monotonic() - begun < 1.0
    note(core, "call-2")
    time.sleep(1.0)
    assert core.records() == ["call-1"]
    core.pop.post(RECORDS_TAKEN, RecordsTaken("svc-1", "sbc", core.last_record()))
    wait_for(lambda: core.records() == ["call-1", "call-2"], what="the second record")
    core.pop.post(RECORDS_TAKEN, RecordsTaken("svc-1", "sbc", core.last_record()))
    wait_for(lambda: redis_cli(core, "XLEN", "records") == "0", what="the end of both")
    with broker.client() as server:
        assert server.execute_command("ACL", "LOG") == []


def test_a_broker_that_is_away_delays_records_and_nothing_else(core: Core, broker: RedisServer) -> None:
    broker.stop()
    for number in range(3):
        note(core, f"call-{number}")
    time.sleep(1.0)
    broker.start()
    wait_for(lambda: set(core.records()) == {"call-0", "call-1", "call-2"}, what="the records")


def test_the_last_records_come_before_the_end_and_nothing_is_left(core: Core) -> None:
    core.pop.kill(core.pop.processes[1])
    note(core, "call-1")
    core.pop.order(replace(SBC, generation=2, vnfs=()))
    wait_for(lambda: Phase.GONE in core.phases(), what="the end")
    assert core.records() == ["call-1"]
    assert core.pop.leftovers() == []
