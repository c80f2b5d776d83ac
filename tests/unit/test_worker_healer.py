"""Keeper, outbox and healer in memory: what is done, what is said, and what a broker that is away may cost."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from worker.broker import RECONCILE, celery_settings
from worker.config import PopConfig
from worker.healer import BUSY_PAUSE, PARKED_PAUSE, Healer
from worker.host import Pop, storable
from worker.keeper import Keeper
from worker.outbox import Outbox, Steps
from worker.report import Beat, Condition, Phase, Records, Report, Status, StepReport, StepState, TablesAt
from worker.runtime.base import ExecResult
from worker.runtime.memory import MemoryRuntime
from worker.seal import Identity, seal
from worker.topology import ConfigFile, Container, DesiredState, Exec, ProbeRole, Segment, Vnf, Wire
from worker.wiring.memory import MemoryWiring

CORE, FRA = Identity.generate("core"), Identity.generate("pop.fra1")
FRR = Container("frr", "image:1", files=(ConfigFile("f", "1"),), reload=("reload",))
PROBES = (
    Exec("alive", "frr", ("alive",), role=ProbeRole.READINESS),
    Exec("peers", "frr", ("peers",), role=ProbeRole.HEALTH),
)
ROUTER = DesiredState(
    "svc-1",
    1,
    (Segment("lan"),),
    (Vnf("edge", (FRR,), probes=PROBES),),
    (Wire("edge", "lan0", "lan", addresses=("10.0.0.1/24",)),),
)
GONE = DesiredState("svc-1", 2)


class Heard(Outbox):
    """Keeps what would be sent."""

    def __init__(self, pop: Pop, *, broker: bool = True) -> None:
        super().__init__(pop, Celery("nowhere"))
        self.reports: list[Report] = []
        self.beats: list[Beat] = []
        self.tables_told: list[TablesAt] = []
        self.records_sent: list[Records] = []
        self.broker = broker
        self.tried = 0

    def report(self, report: Report, *, patience: float = 0.0) -> bool:
        if self.broker:
            self.reports.append(report)
            self._pop.store.mark_reported(report)
        return self.broker

    def tables_at(self, found: TablesAt, *, patience: float = 0.0) -> bool:
        self.tried += 1
        if self.broker:
            self.tables_told.append(found)
        return self.broker

    def records(self, records: Records, *, patience: float = 0.0) -> bool:
        self.tried += 1
        if self.broker:
            self.records_sent.append(records)
        return self.broker

    def beat(self, beat: Beat) -> None:
        self.beats.append(beat)


class Bed:
    """A PoP in memory. Commands in `failing` fail."""

    def __init__(self, folder: Path, *, broker_url: str = "redis://127.0.0.1:1/0") -> None:
        self.failing: set[str] = set()
        self.asked: list[str] = []
        self.pop = Pop(
            PopConfig(
                pop="fra1",
                broker_url=broker_url,
                docker_socket="unix:///nowhere",
                fabric="naas-fra1",
                state_dir=folder,
                holder_image="naas/holder:1",
                identity=FRA,
                core=CORE.public(),
                sweep_interval=0.2,
                probe_interval=0.2,
            )
        )
        self.runtime = MemoryRuntime(answers=self._answer)
        self.wiring = MemoryWiring()
        self.pop.runtime, self.pop.wiring = self.runtime, self.wiring
        self.outbox = Heard(self.pop)
        self.keeper = Keeper(self.pop, self.outbox)
        self.healer = Healer(self.pop, self.outbox)

    def _answer(self, instance: str, vnf: str, container: str, command: tuple[str, ...]) -> ExecResult:
        self.asked.append(command[0])
        return ExecResult(1, "no") if command[0] in self.failing else ExecResult(0, "")

    def want(self, desired: DesiredState) -> None:
        envelope = seal(
            desired.to_json(),
            sender=CORE,
            receiver=FRA.public(),
            subject=RECONCILE,
            instance=desired.instance,
            generation=desired.generation,
        )
        segments = tuple(segment.id for segment in desired.segments)
        assert self.pop.store.accept(
            desired.instance,
            desired.generation,
            storable(envelope),
            deleted=desired.is_deletion,
            segments=segments,
        )

    def phase(self) -> Phase | None:
        row = self.pop.store.row("svc-1")
        return row.phase if row else None

    @contextmanager
    def healing(self) -> Iterator[None]:
        thread = threading.Thread(target=self.healer.run)
        thread.start()
        try:
            yield
        finally:
            self.healer.stop()
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def eventually(found: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- keeper -----------------------------------------------------------------------------


def test_what_is_in_force_is_brought_about_and_reported(bed: Bed) -> None:
    bed.want(ROUTER)
    attempt = bed.keeper.bring("svc-1", wait=True)
    assert attempt is not None
    bed.keeper.settle(attempt, within=1.0)
    (report,) = bed.outbox.reports
    assert (report.phase, report.generation) == (Phase.CONVERGED, 1)
    assert [step.state for step in report.steps] == [StepState.DONE] * 4
    assert report.conditions == (Condition("alive", Status.TRUE, readiness=True),)


def test_nothing_is_done_about_an_unknown_instance_or_a_taken_lock(bed: Bed) -> None:
    assert bed.keeper.bring("svc-1", wait=True) is None
    bed.want(ROUTER)
    with bed.pop.store.lock("svc-1"):
        assert bed.keeper.bring("svc-1", wait=False) is None
    assert bed.runtime.calls == []


def test_whoever_waited_for_the_lock_finds_the_newest_state(bed: Bed) -> None:
    bed.want(ROUTER)
    found: list[int] = []

    def wait() -> None:
        attempt = bed.keeper.bring("svc-1", wait=True)
        assert attempt is not None
        found.append(attempt.row.generation)

    with bed.pop.store.lock("svc-1"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        bed.want(GONE)
    thread.join()
    assert found == [2]


def test_of_a_superseded_generation_nothing_is_said(bed: Bed) -> None:
    bed.want(ROUTER)
    attempt = bed.keeper.bring("svc-1", wait=True)
    assert attempt is not None
    bed.want(GONE)
    bed.keeper.settle(attempt, within=1.0)
    assert bed.outbox.reports == []


def test_a_kept_envelope_that_cannot_be_read_parks_and_touches_nothing(bed: Bed) -> None:
    bed.want(ROUTER)
    bed.pop.store.accept("svc-1", 1, b'{"not": "an envelope"}')
    attempt = bed.keeper.bring("svc-1", wait=True)
    assert attempt is not None
    assert bed.keeper.settle(attempt, within=1.0).phase is Phase.PARKED
    assert bed.runtime.calls == bed.wiring.calls == []


def test_a_segment_whose_first_wire_is_to_come_survives_the_deletion_of_another(bed: Bed) -> None:
    bed.want(ROUTER)
    bed.keeper.bring("svc-1", wait=True)
    bed.want(replace(ROUTER, instance="svc-2"))
    bed.wiring.add_segment(Segment("lan"))
    bed.want(GONE)
    bed.keeper.bring("svc-1", wait=True)
    assert [segment.id for segment in bed.wiring.segments()] == ["lan"]
    bed.want(DesiredState("svc-2", 2))
    bed.keeper.bring("svc-2", wait=True)
    assert bed.wiring.segments() == ()


# --- healer -----------------------------------------------------------------------------


def test_a_visit_repairs_and_says_so(bed: Bed) -> None:
    bed.want(ROUTER)
    bed.healer.visit("svc-1")
    bed.runtime.kill("svc-1", "edge", "frr")
    assert bed.healer.visit("svc-1") == bed.pop.config.sweep_interval
    assert [step.reason for step in bed.outbox.reports[-1].steps] == ["container frr is not running"]
    assert bed.phase() is Phase.CONVERGED


def test_visits_to_what_is_well_say_nothing_new(bed: Bed) -> None:
    bed.want(ROUTER)
    bed.healer.visit("svc-1")
    bed.healer.visit("svc-1")
    said = len(bed.outbox.reports)
    for _ in range(3):
        time.sleep(bed.pop.config.probe_interval)
        bed.healer.visit("svc-1")
    assert len(bed.outbox.reports) == said


def test_a_health_condition_that_changes_is_reported_and_changes_no_phase(bed: Bed) -> None:
    bed.want(ROUTER)
    bed.healer.visit("svc-1")
    bed.failing.add("peers")
    time.sleep(bed.pop.config.probe_interval)
    bed.healer.visit("svc-1")
    assert bed.outbox.reports[-1].phase is Phase.CONVERGED
    assert Condition("peers", Status.FALSE, "no") in bed.outbox.reports[-1].conditions


def test_a_dear_probe_that_held_is_asked_seldom_and_its_word_stays_in_the_report(bed: Bed) -> None:
    call = Exec("call", "frr", ("call",), role=ProbeRole.READINESS, every=3600.0)
    bed.want(replace(ROUTER, vnfs=(replace(ROUTER.vnfs[0], probes=(*PROBES, call)),)))
    bed.healer.visit("svc-1")
    assert bed.asked.count("call") == 1
    bed.failing.add("peers")
    for _ in range(2):
        time.sleep(bed.pop.config.probe_interval)
        bed.healer.visit("svc-1")
    assert bed.asked.count("call") == 1
    assert bed.asked.count("peers") == 2
    assert [condition.type for condition in bed.outbox.reports[-1].conditions] == ["alive", "peers", "call"]


def test_a_dear_probe_is_asked_after_a_repair_and_as_long_as_it_fails(bed: Bed) -> None:
    call = Exec("call", "frr", ("call",), role=ProbeRole.READINESS, every=3600.0)
    bed.want(replace(ROUTER, vnfs=(replace(ROUTER.vnfs[0], probes=(call,)),)))
    bed.healer.visit("svc-1")
    bed.runtime.kill("svc-1", "edge", "frr")
    bed.failing.add("call")
    bed.healer.visit("svc-1")
    assert bed.asked.count("call") == 2
    bed.healer.visit("svc-1")
    bed.failing.clear()
    bed.healer.visit("svc-1")
    assert bed.asked.count("call") == 4
    assert bed.phase() is Phase.CONVERGED


def test_what_is_not_ready_is_looked_at_again_soon_and_then_less_often(bed: Bed) -> None:
    bed.failing.add("alive")
    bed.want(ROUTER)
    pauses = [bed.healer.visit("svc-1") for _ in range(4)]
    assert pauses == sorted(pauses, key=lambda pause: pause or 0)
    assert bed.phase() is Phase.CONVERGING
    bed.failing.clear()
    bed.healer.visit("svc-1")
    assert bed.phase() is Phase.CONVERGED


def test_what_is_parked_is_tried_again_seldom(bed: Bed) -> None:
    bed.want(ROUTER)
    bed.healer.visit("svc-1")
    bed.failing.add("reload")
    changed = replace(FRR, files=(ConfigFile("f", "2"),))
    bed.want(replace(ROUTER, generation=2, vnfs=(Vnf("edge", (changed,), probes=PROBES),)))
    assert bed.healer.visit("svc-1") == PARKED_PAUSE
    assert bed.outbox.reports[-1].reason == "edge/frr refuses its configuration: no"


def test_a_visit_stays_away_from_a_taken_lock_and_comes_back_soon(bed: Bed) -> None:
    bed.want(ROUTER)
    with bed.pop.store.lock("svc-1"):
        assert bed.healer.visit("svc-1") == BUSY_PAUSE
    assert bed.runtime.calls == []


def test_a_deletion_is_carried_out_once_and_then_left(bed: Bed) -> None:
    bed.want(ROUTER)
    bed.healer.visit("svc-1")
    bed.want(GONE)
    assert bed.healer.visit("svc-1") is None
    said = len(bed.outbox.reports)
    assert bed.healer.visit("svc-1") is None
    assert len(bed.outbox.reports) == said
    assert bed.phase() is Phase.GONE


def test_the_loop_heals_what_breaks_and_what_is_new(bed: Bed) -> None:
    bed.want(ROUTER)
    with bed.healing():
        eventually(lambda: bed.phase() is Phase.CONVERGED)
        bed.wiring.drop("svc-1", "edge", "lan0")
        eventually(lambda: bed.wiring.wires("svc-1", {}))
        bed.want(replace(ROUTER, instance="svc-2"))
        eventually(lambda: "svc-2" in bed.runtime.instances())
        bed.want(GONE)
        eventually(lambda: bed.phase() is Phase.GONE)
    assert bed.runtime.instances() == {"svc-2"}


def test_a_bug_in_one_visit_does_not_keep_the_others_unhealed(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    bed.want(ROUTER)
    bed.want(replace(ROUTER, instance="svc-2"))
    bed.runtime.fail(1, KeyError("a bug"))
    with bed.healing():
        eventually(lambda: bed.runtime.instances() == {"svc-1", "svc-2"})
    assert "a bug" in caplog.text


def test_news_that_the_broker_did_not_take_is_sent_when_it_is_back(bed: Bed) -> None:
    bed.outbox.broker = False
    bed.want(ROUTER)
    with bed.healing():
        eventually(lambda: bed.phase() is Phase.CONVERGED)
        assert bed.outbox.reports == []
        bed.outbox.broker = True
        eventually(lambda: [report.phase for report in bed.outbox.reports][-1:] == [Phase.CONVERGED])
        assert bed.outbox.reports[-1].at > 0


# --- outbox -----------------------------------------------------------------------------


def outbox_to(bed: Bed, url: str) -> Outbox:
    app = Celery("pop")
    app.conf.update({**celery_settings("pop.fra1"), "broker_url": url})
    return Outbox(bed.pop, app)


def test_a_broker_that_is_away_costs_next_to_nothing(bed: Bed) -> None:
    outbox = outbox_to(bed, "redis://127.0.0.1:1/0")
    outbox.report(Report("fra1", "svc-1", 1, Phase.CONVERGED))  # imports the transport
    begun = time.monotonic()
    assert not outbox.report(Report("fra1", "svc-1", 1, Phase.CONVERGED))
    assert time.monotonic() - begun < 0.5
    outbox.close()


def test_a_broker_that_hangs_delays_the_work_by_a_moment_and_no_more(bed: Bed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outbox = outbox_to(bed, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        begun = time.monotonic()
        assert not outbox.report(Report("fra1", "svc-1", 1, Phase.CONVERGED), patience=0.2)
        for _ in range(200):
            outbox.report(Report("fra1", "svc-1", 1, Phase.CONVERGED), patience=0.0)
        assert time.monotonic() - begun < 1.0
        outbox.close()


def step(position: int, state: StepState) -> StepReport:
    return StepReport("run", position, 3, "plug", "edge:lan0", "because", state, 1.0)


def test_steps_are_sent_in_batches_with_the_latest_state_of_each() -> None:
    batches: list[tuple[StepReport, ...]] = []

    def send(batch: tuple[StepReport, ...]) -> Future[bool]:
        batches.append(batch)
        sent: Future[bool] = Future()
        sent.set_result(True)
        return sent

    steps = Steps(send)
    for state in (StepState.RUNNING, StepState.DONE):
        steps(step(0, state))
    steps(step(1, StepState.RUNNING))
    eventually(lambda: batches)
    steps(step(1, StepState.DONE))
    steps.close()
    assert batches == [(step(0, StepState.DONE), step(1, StepState.RUNNING))]
    assert steps.rest == (step(1, StepState.DONE),)


def test_steps_that_the_broker_hangs_on_grow_into_one_batch() -> None:
    batches: list[tuple[StepReport, ...]] = []
    never: Future[bool] = Future()

    def send(batch: tuple[StepReport, ...]) -> Future[bool]:
        batches.append(batch)
        return never

    steps = Steps(send)
    steps(step(0, StepState.RUNNING))
    eventually(lambda: batches)
    steps(step(1, StepState.RUNNING))
    time.sleep(0.5)
    steps.close()
    assert len(batches) == 1
    assert steps.rest == (step(1, StepState.RUNNING),)
