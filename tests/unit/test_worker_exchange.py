"""What goes between the core and the databases of VNFs: told once, sent until acknowledged, never in a flood."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.test_worker_healer import GONE, ROUTER, Bed, eventually
from worker import exchange
from worker.errors import TemporaryError
from worker.exchange import AGAIN, AGAIN_AT_MOST, MOST_RECORDS, MOST_TEXT, Collector, Exchange, Flow
from worker.report import Phase, Record, RecordsTaken, TableChange
from worker.tables.memory import MemoryTables
from worker.topology import Database, DesiredState

DATABASE = Database("run", "redis.sock", "s3cret")
SBC = replace(ROUTER, vnfs=(replace(ROUTER.vnfs[0], database=DATABASE),))
CHANGE = TableChange("svc-1", "edge", None, 3, (("SADD", "sbc:emergency", "112"),))


class DatabaseBed(Bed):
    """A PoP in memory whose VNFs share one database."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tables = MemoryTables()
        self.pop.tables = lambda *_: self.tables  # type: ignore[method-assign]
        self.exchange = Exchange(self.pop, self.outbox)
        self.collector = Collector(self.pop, self.outbox)

    def told(self) -> list[int]:
        return [found.revision for found in self.outbox.tables_told]

    def sent(self) -> list[list[str]]:
        return [[record.key for record in message.records] for message in self.outbox.records_sent]


@pytest.fixture
def bed(tmp_path: Path) -> DatabaseBed:
    return DatabaseBed(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass."""
    now = [1000.0]
    monkeypatch.setattr(exchange, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


# --- messages of the core ---------------------------------------------------------------


def test_a_change_is_applied_and_the_core_told_what_is_there(bed: DatabaseBed) -> None:
    bed.want(SBC)
    bed.exchange.apply(CHANGE)
    assert bed.tables.contents.sets == {"sbc:emergency": {"112"}}
    (told,) = bed.outbox.tables_told
    assert (told.pop, told.instance, told.vnf, told.revision, told.reason) == ("fra1", "svc-1", "edge", 3, "")
    assert told.at > 0


def test_a_change_that_does_not_fit_is_answered_with_what_is_there(bed: DatabaseBed) -> None:
    bed.want(SBC)
    bed.exchange.apply(CHANGE)
    bed.exchange.apply(replace(CHANGE, base=7, revision=8))
    assert bed.told() == [3, 3]


def test_a_change_that_is_refused_is_answered_with_the_reason(bed: DatabaseBed) -> None:
    bed.want(SBC)
    bed.exchange.apply(replace(CHANGE, commands=(("FLUSHALL",),)))
    (told,) = bed.outbox.tables_told
    assert told.revision == 0
    assert "command 1" in told.reason


def test_a_change_for_what_has_no_database_here_is_left(bed: DatabaseBed) -> None:
    for stranger in (CHANGE, replace(CHANGE, instance="svc-2"), replace(CHANGE, vnf="probe")):
        bed.want(ROUTER)
        bed.exchange.apply(stranger)
    assert bed.outbox.tables_told == []
    assert bed.tables.revision() == 0


def test_a_database_that_is_away_is_told_nothing_of(bed: DatabaseBed) -> None:
    bed.want(SBC)
    bed.tables.away = "it starts"
    with pytest.raises(TemporaryError):
        bed.exchange.apply(CHANGE)
    assert bed.outbox.tables_told == []


def test_records_are_forgotten_when_the_core_has_them(bed: DatabaseBed) -> None:
    bed.want(SBC)
    ids = [bed.tables.note(key, "{}") for key in ("a", "b", "c")]
    bed.exchange.forget(RecordsTaken("svc-1", "edge", ids[1]))
    assert [record.key for record in bed.tables.records("", 10)] == ["c"]


# --- coming and going -------------------------------------------------------------------


def test_a_new_service_tells_its_revision_before_it_is_asked_whether_it_is_ready(bed: DatabaseBed) -> None:
    bed.failing.add("alive")
    bed.want(SBC)
    attempt = bed.keeper.bring("svc-1", wait=True)
    assert attempt is not None
    assert bed.keeper.settle(attempt, within=0.2).phase is Phase.CONVERGING
    assert bed.told() == [0]


def test_a_database_that_starts_is_waited_for_but_not_for_ever(bed: DatabaseBed) -> None:
    bed.tables.away = "it starts"
    asked: list[int] = []

    def superseded() -> bool:
        asked.append(1)
        bed.tables.away = "it starts" if len(asked) < 3 else ""
        return False

    bed.exchange.announce(SBC, within=5.0, superseded=superseded)
    assert bed.told() == [0]
    bed.tables.away = "it starts"
    bed.exchange.announce(SBC, within=0.0, superseded=lambda: False)
    bed.exchange.announce(SBC, within=5.0, superseded=lambda: True)
    assert bed.told() == [0]


def test_the_last_records_of_what_is_removed_are_sent_and_their_receipt_waited_for(bed: DatabaseBed) -> None:
    bed.want(SBC)
    ids = [bed.tables.note(str(number), "{}") for number in range(MOST_RECORDS + 1)]
    bed.exchange.take_leave(replace(SBC, generation=2))
    assert bed.sent() == []
    with ThreadPoolExecutor(1) as other:
        leaving = other.submit(bed.exchange.take_leave, GONE)
        eventually(lambda: len(bed.sent()) == 2)
        assert not leaving.done()
        bed.exchange.forget(RecordsTaken("svc-1", "edge", ids[-1]))
        leaving.result(timeout=1)
    assert list(map(len, bed.sent())) == [MOST_RECORDS, 1]


def test_a_receipt_that_does_not_come_is_not_waited_for_for_ever(
    bed: DatabaseBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "LEAVES_WITHIN", 0.1)
    bed.want(SBC)
    bed.tables.note("a", "{}")
    bed.exchange.take_leave(GONE)
    assert bed.sent() == [["a"]]


def test_what_cannot_be_had_at_the_end_keeps_nothing_from_being_removed(bed: DatabaseBed) -> None:
    bed.tables.away = "it hangs"
    bed.want(SBC)
    bed.exchange.take_leave(GONE)
    assert bed.sent() == []


# --- looking regularly ------------------------------------------------------------------


def test_a_revision_is_told_when_it_is_another_than_before(bed: DatabaseBed) -> None:
    bed.want(SBC)
    for _ in range(3):
        bed.collector.look()
    assert bed.told() == [0]
    bed.tables.apply(CHANGE)
    for _ in range(3):
        bed.collector.look()
    bed.tables.lose()
    bed.collector.look()
    assert bed.told() == [0, 3, 0]


def test_another_generation_with_the_same_database_is_no_news(bed: DatabaseBed) -> None:
    bed.want(SBC)
    bed.collector.look()
    bed.want(replace(SBC, generation=2))
    bed.collector.look()
    assert bed.told() == [0]
    bed.want(GONE)
    bed.tables.note("a", "{}")
    bed.collector.look()
    assert (bed.told(), bed.sent()) == ([0], [])


def test_records_are_sent_once_and_later_ones_when_the_core_has_them(bed: DatabaseBed) -> None:
    bed.want(SBC)
    id = bed.tables.note("a", '{"n": 1}')
    bed.collector.look()
    bed.tables.note("b", "{}")
    bed.collector.look()
    assert bed.sent() == [["a"]]
    assert bed.outbox.records_sent[0].records == (Record(id, "a", '{"n": 1}'),)
    bed.exchange.forget(RecordsTaken("svc-1", "edge", id))
    bed.collector.look()
    assert bed.sent() == [["a"], ["b"]]


def test_what_the_core_does_not_acknowledge_is_sent_again_ever_more_seldom(
    bed: DatabaseBed, clock: Callable[[float], None]
) -> None:
    bed.want(SBC)
    bed.tables.note("a", "{}")
    pauses, since = [], 0
    for second in range(2200):
        said = len(bed.sent())
        bed.collector.look()
        if len(bed.sent()) > said:
            pauses.append(second - since)
            since = second
        clock(1.0)
    assert pauses == [0, AGAIN, 2 * AGAIN, 4 * AGAIN, 8 * AGAIN, 16 * AGAIN, AGAIN_AT_MOST, AGAIN_AT_MOST]
    assert bed.sent() == [["a"]] * len(pauses)


def test_after_an_acknowledgement_the_patience_is_as_at_first(bed: DatabaseBed, clock: Callable[[float], None]) -> None:
    flow = Flow("svc-1", "edge", DATABASE)
    assert flow.is_to_send(Record("1-1", "a", ""), 0.0)
    flow.sent("1-1", 0.0)
    assert flow.is_to_send(Record("1-1", "a", ""), AGAIN)
    flow.sent("1-1", AGAIN)
    assert not flow.is_to_send(Record("1-1", "a", ""), 2 * AGAIN)
    assert flow.is_to_send(Record("1-2", "b", ""), 2 * AGAIN)
    flow.sent("1-2", 2 * AGAIN)
    assert flow.is_to_send(Record("1-2", "b", ""), 3 * AGAIN)


def test_a_message_holds_so_many_records_and_so_much_text(bed: DatabaseBed) -> None:
    bed.want(SBC)
    for _ in range(3):
        bed.tables.note("large", "x" * (MOST_TEXT // 2))
    bed.collector.look()
    assert bed.sent() == [["large"] * 2]
    bed.tables.lose()
    bed.tables.note("huge", "x" * (2 * MOST_TEXT))
    bed.collector.look()
    assert bed.sent()[1:] == [["huge"]]


def test_what_the_broker_does_not_take_is_sent_when_it_is_back(
    bed: DatabaseBed, clock: Callable[[float], None]
) -> None:
    bed.outbox.broker = False
    bed.want(SBC)
    bed.tables.note("a", "{}")
    for _ in range(10):
        bed.collector.look()
    assert bed.outbox.tried == 1
    bed.outbox.broker = True
    clock(exchange.BROKER_AWAY)
    bed.collector.look()
    assert (bed.told(), bed.sent()) == ([0], [["a"]])


def test_a_database_that_is_away_is_asked_more_seldom_and_found_again(
    bed: DatabaseBed, clock: Callable[[float], None]
) -> None:
    bed.want(SBC)
    bed.collector.look()
    bed.tables.away = "it was killed"
    for _ in range(30):
        bed.collector.look()
        clock(1.0)
    bed.tables.away = ""
    bed.tables.lose()
    bed.tables.note("a", "{}")
    for _ in range(round(exchange.AWAY_AT_MOST)):
        bed.collector.look()
        clock(1.0)
    assert bed.sent() == [["a"]]


def test_one_database_that_is_away_keeps_no_other_from_being_looked_at(bed: DatabaseBed) -> None:
    dead = MemoryTables()
    dead.away = "it was killed"
    bed.pop.tables = lambda instance, *_: dead if instance == "svc-0" else bed.tables  # type: ignore[method-assign]
    bed.want(replace(SBC, instance="svc-0"))
    bed.want(SBC)
    bed.tables.note("a", "{}")
    bed.collector.look()
    assert bed.sent() == [["a"]]


def test_the_healer_sends_what_happens(bed: DatabaseBed) -> None:
    bed.want(SBC)
    with bed.healing():
        eventually(lambda: bed.phase() is Phase.CONVERGED)
        bed.tables.note("a", "{}")
        eventually(lambda: bed.sent() == [["a"]], seconds=2.0)


def test_a_desired_state_with_a_database_survives_its_way(bed: DatabaseBed) -> None:
    assert DesiredState.from_json(SBC.to_json()) == SBC
    assert "s3cret" not in repr(SBC)
