"""What the PoP's store keeps, what it refuses, and whom its lock keeps out."""

from __future__ import annotations

import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from worker.errors import PermanentError
from worker.report import Condition, Phase, Report, Status, StepReport, StepState
from worker.store import ATTEMPT_LIFE, TOMBSTONE_LIFE, Store

ENVELOPE = b"sealed bytes"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def report(generation: int, phase: Phase = Phase.CONVERGED, **changes: Any) -> Report:
    return Report("fra1", "svc-1", generation, phase, **changes)


def test_what_was_accepted_is_there_for_the_next_process(store: Store, tmp_path: Path) -> None:
    assert store.accept("svc-1", 3, ENVELOPE)
    row = Store(tmp_path / "state").row("svc-1")
    assert row is not None
    assert (row.generation, row.envelope, row.deleted, row.phase) == (3, ENVELOPE, False, Phase.CONVERGING)


def test_a_lower_generation_is_refused_and_changes_nothing(store: Store) -> None:
    store.accept("svc-1", 3, ENVELOPE)
    assert not store.accept("svc-1", 2, b"old")
    row = store.row("svc-1")
    assert row is not None
    assert row.envelope == ENVELOPE


def test_the_same_generation_again_is_a_repeat_and_forgets_nothing(store: Store) -> None:
    store.accept("svc-1", 3, ENVELOPE)
    store.record(report(3))
    assert store.accept("svc-1", 3, b"sealed anew")
    row = store.row("svc-1")
    assert row is not None
    assert (row.envelope, row.phase) == (b"sealed anew", Phase.CONVERGED)


def test_a_new_generation_starts_without_a_report(store: Store) -> None:
    store.accept("svc-1", 3, ENVELOPE)
    store.record(report(3))
    store.accept("svc-1", 4, ENVELOPE)
    row = store.row("svc-1")
    assert row is not None
    assert (row.phase, row.report) == (Phase.CONVERGING, None)


def test_a_deletion_keeps_its_generation_as_a_tombstone(store: Store) -> None:
    store.accept("svc-1", 3, ENVELOPE)
    store.accept("svc-1", 4, ENVELOPE, deleted=True)
    store.record(report(4, Phase.GONE))
    assert not store.accept("svc-1", 3, ENVELOPE)
    row = store.row("svc-1")
    assert row is not None
    assert row.is_settled


def test_tombstones_are_forgotten_after_a_week_and_nothing_else_is(store: Store) -> None:
    store.accept("svc-1", 4, ENVELOPE, deleted=True)
    store.record(report(4, Phase.GONE))
    store.accept("svc-2", 1, ENVELOPE, deleted=True)  # not carried out yet
    store.accept("svc-3", 1, ENVELOPE)
    assert store.prune() == 0
    assert store.prune(now=time.time() + TOMBSTONE_LIFE + 1) == 1
    assert [row.instance for row in store.rows()] == ["svc-2", "svc-3"]


def test_a_report_is_new_once(store: Store) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    said = report(1, conditions=(Condition("Alive", Status.TRUE),))
    assert store.record(said)
    step = StepReport("r", 0, 1, "plug", "edge:lan", "because", StepState.DONE, 1.0, 0.1)
    assert not store.record(report(1, conditions=said.conditions, steps=(step,), at=5.0))
    assert store.record(report(1, conditions=(Condition("Alive", Status.FALSE),), at=6.0))


def test_a_look_that_began_earlier_does_not_overrule_a_later_one(store: Store) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    assert store.record(report(1, Phase.CONVERGED, at=5.0))
    assert not store.record(report(1, Phase.CONVERGING, at=4.0))
    row = store.row("svc-1")
    assert row is not None
    assert row.phase is Phase.CONVERGED


def test_a_report_on_a_generation_that_is_not_in_force_is_not_kept(store: Store) -> None:
    store.accept("svc-1", 2, ENVELOPE)
    assert not store.record(report(1))
    assert not store.record(report(3))
    row = store.row("svc-1")
    assert row is not None
    assert row.report is None


def test_what_the_broker_did_not_take_stays_unreported(store: Store) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    store.record(report(1, Phase.CONVERGING))
    store.record(report(1))
    store.mark_reported(report(1, Phase.CONVERGING))  # taken late: meanwhile there is news
    (row,) = store.rows()
    assert (row.phase, row.reported) == (Phase.CONVERGED, False)
    store.mark_reported(report(1, at=99.0))
    (row,) = store.rows()
    assert row.reported
    assert row.report == report(1)


def test_segments_that_others_want_are_not_ours_to_remove(store: Store) -> None:
    store.accept("svc-1", 1, ENVELOPE, segments=("lan", "wan"))
    store.accept("svc-2", 1, ENVELOPE, segments=("wan", "dmz"))
    assert store.foreign_segments("svc-1") == {"wan", "dmz"}
    assert store.foreign_segments("svc-3") == {"lan", "wan", "dmz"}
    store.accept("svc-2", 2, ENVELOPE, deleted=True)
    assert store.foreign_segments("svc-1") == frozenset()


def test_nobody_else_can_read_the_store(store: Store, tmp_path: Path) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    with store.lock("svc-1"):
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    assert modes == dict.fromkeys(("pop.db", "pop.db-wal", "pop.db-shm", "locks"), 0o600)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_state_directory_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    Store(tmp_path / "state").rows()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_damaged_store_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "pop.db").write_bytes(b"this is not a database, it is a sentence" * 100)
    with pytest.raises(PermanentError, match="damaged"):
        Store(tmp_path).rows()


# --- the lock -------------------------------------------------------------------------


def test_the_lock_keeps_out_other_threads_and_no_other_instance(store: Store) -> None:
    found: dict[str, bool] = {}

    def look() -> None:
        for instance in ("svc-1", "svc-2"):
            with store.lock(instance, wait=False) as held:
                found[instance] = held

    with store.lock("svc-1") as held:
        assert held
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert found == {"svc-1": False, "svc-2": True}
    with store.lock("svc-1", wait=False) as held:
        assert held


def _count(state: Path, rounds: int) -> None:
    store = Store(state)
    number = state / "number"
    for _ in range(rounds):
        with store.lock("svc-1"):
            seen = int(number.read_text())
            time.sleep(0.0005)
            number.write_text(str(seen + 1))


def test_the_lock_keeps_out_other_processes(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count, args=(tmp_path, 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "number").read_text() == "150"


def test_a_killed_holder_leaves_no_lock_behind(store: Store, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from worker.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('svc-1'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with store.lock("svc-1", wait=False) as held:
            assert not held
        holder.send_signal(signal.SIGKILL)
    with store.lock("svc-1", wait=False) as held:
        assert held


def test_a_thousand_instances_leave_one_lock_file(store: Store, tmp_path: Path) -> None:
    for number in range(1000):
        with store.lock(f"svc-{number}"):
            pass
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["locks"]


def _accept(state: Path, instance: str) -> None:
    store = Store(state)
    for generation in range(1, 101):
        store.accept(instance, generation, ENVELOPE)


def test_several_processes_write_without_losing_anything(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_accept, args=(tmp_path, f"svc-{number}")) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [(row.instance, row.generation) for row in Store(tmp_path).rows()] == [
        (f"svc-{number}", 100) for number in range(3)
    ]
    assert sqlite3.connect(tmp_path / "pop.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_clock_that_was_set_back_does_not_silence_a_pop(store: Store) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    now = time.time()
    store.record(report(1, Phase.CONVERGED, at=now + 7200))
    assert store.record(report(1, Phase.CONVERGING, at=now))


def test_attempts_at_a_message_are_counted_until_it_was_worked_through(store: Store, tmp_path: Path) -> None:
    assert [store.attempt(b"one"), store.attempt(b"one"), store.attempt(b"two")] == [1, 2, 1]
    assert Store(tmp_path / "state").attempt(b"one") == 3
    store.attempted(b"one")
    assert store.attempt(b"one") == 1


def test_attempts_are_forgotten_after_a_day(store: Store) -> None:
    store.attempt(b"one")
    store.prune()
    assert store.attempt(b"one") == 2
    store.prune(now=time.time() + ATTEMPT_LIFE + 1)
    assert store.attempt(b"one") == 1


def test_a_store_of_the_first_version_is_brought_up_to_this_one(store: Store, tmp_path: Path) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    with sqlite3.connect(tmp_path / "state" / "pop.db") as database:
        database.execute("DROP TABLE attempt")
        database.execute("PRAGMA user_version = 1")
    again = Store(tmp_path / "state")
    assert again.attempt(b"one") == 1
    assert again.generations() == {"svc-1": 1}


def test_a_deleted_instance_has_no_generation_to_look_after(store: Store) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    store.accept("svc-2", 3, ENVELOPE, deleted=True)
    assert store.generations() == {"svc-1": 1}


def test_a_store_of_another_version_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    store.accept("svc-1", 1, ENVELOPE)
    with sqlite3.connect(tmp_path / "state" / "pop.db") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(PermanentError, match="another version of the worker"):
        Store(tmp_path / "state").row("svc-1")
