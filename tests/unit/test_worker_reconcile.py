"""Reconciling in memory: what comes back as a value, what is asked, and for how long."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from worker.plan import AddSegment, AddVnf, Plug, StartContainer
from worker.reconcile import judge, observe, probe, ready, reconcile
from worker.report import Condition, Phase, Status, StepReport
from worker.runtime.base import ExecResult
from worker.runtime.memory import MemoryRuntime
from worker.topology import (
    ConfigFile,
    Container,
    DesiredState,
    Exec,
    Nic,
    ProbeRole,
    Segment,
    Vnf,
    Wire,
)
from worker.wiring.memory import MemoryWiring

ALIVE = Exec("Alive", "frr", ("alive",), role=ProbeRole.READINESS)
PEERS = Exec("Peers", "frr", ("peers",), role=ProbeRole.HEALTH)
FRR = Container("frr", "image:1", files=(ConfigFile("frr.conf", "1"),), reload=("reload",))
ROUTER = DesiredState(
    "svc-1",
    1,
    (Segment("lan"),),
    (Vnf("edge", (FRR,), probes=(ALIVE, PEERS)),),
    (Wire("edge", "lan0", "lan", addresses=("10.0.0.1/24",)),),
)
RELOADED = replace(
    ROUTER,
    generation=2,
    vnfs=(replace(ROUTER.vnfs[0], containers=(replace(FRR, files=(ConfigFile("frr.conf", "2"),)),)),),
)


def silent(step: StepReport) -> None:
    """Nobody listens."""


class Answers:
    """Commands fail until they were asked so many times."""

    def __init__(self, **fail: int) -> None:
        self.left = fail
        self.asked: list[str] = []

    def __call__(self, instance: str, vnf: str, container: str, command: tuple[str, ...]) -> ExecResult:
        self.asked.append(command[0])
        self.left[command[0]] = self.left.get(command[0], 0) - 1
        return ExecResult(1, "not yet") if self.left[command[0]] >= 0 else ExecResult(0, "")


def test_what_agrees_costs_one_look() -> None:
    runtime, wiring = MemoryRuntime(), MemoryWiring()
    reconcile(ROUTER, runtime, wiring, silent)
    before = len(runtime.calls), len(wiring.calls)
    outcome = reconcile(ROUTER, runtime, wiring, silent)
    assert (outcome.phase, outcome.plans, outcome.stands) == (Phase.CONVERGING, (), True)
    assert (len(runtime.calls), len(wiring.calls)) == before


def test_a_new_instance_is_made_and_stands() -> None:
    outcome = reconcile(ROUTER, MemoryRuntime(), MemoryWiring(), silent)
    (done,) = outcome.plans
    assert [type(step) for step in done.steps] == [AddSegment, AddVnf, Plug, StartContainer]
    assert outcome.stands


def test_a_deletion_that_was_carried_out_is_gone() -> None:
    runtime, wiring = MemoryRuntime(), MemoryWiring()
    reconcile(ROUTER, runtime, wiring, silent)
    assert reconcile(DesiredState("svc-1", 2), runtime, wiring, silent).phase is Phase.GONE
    assert not runtime.instances() | wiring.instances()


def test_what_broke_during_the_run_is_mended_in_a_second_pass() -> None:
    class Fragile(MemoryRuntime):
        """The container dies once, just after it started."""

        died = False

        def start(self, instance: str, vnf: str, container: Container) -> None:
            super().start(instance, vnf, container)
            if not self.died:
                self.died = True
                self.kill(instance, vnf, container.name)

    outcome = reconcile(ROUTER, Fragile(), MemoryWiring(), silent)
    assert [len(plan.steps) for plan in outcome.plans] == [4, 1]
    assert outcome.stands


def test_what_keeps_breaking_is_left_for_later_with_its_reason() -> None:
    class Crashing(MemoryRuntime):
        def start(self, instance: str, vnf: str, container: Container) -> None:
            super().start(instance, vnf, container)
            self.kill(instance, vnf, container.name)

    outcome = reconcile(ROUTER, Crashing(), MemoryWiring(), silent)
    assert (outcome.phase, outcome.reason, outcome.retry) == (Phase.CONVERGING, "container frr is not running", 1.0)
    assert not outcome.stands


def test_a_passing_trouble_is_a_value_with_its_delay() -> None:
    outcome = reconcile(
        replace(ROUTER, segments=(Segment("lan", uplink=Nic("eth9")),)), MemoryRuntime(), MemoryWiring(), silent
    )
    assert (outcome.phase, outcome.retry) == (Phase.CONVERGING, 5.0)
    assert "uplink" in outcome.reason


def test_a_lasting_trouble_parks_with_its_reason() -> None:
    outcome = reconcile(ROUTER, MemoryRuntime(images=frozenset()), MemoryWiring(), silent)
    assert (outcome.phase, outcome.retry, outcome.stands) == (Phase.PARKED, None, False)
    assert "image:1" in outcome.reason


def test_a_refused_configuration_parks_and_is_tried_again_next_time() -> None:
    answers = Answers(reload=1)
    runtime, wiring = MemoryRuntime(answers=answers), MemoryWiring()
    reconcile(ROUTER, runtime, wiring, silent)
    assert reconcile(RELOADED, runtime, wiring, silent).phase is Phase.PARKED
    assert reconcile(RELOADED, runtime, wiring, silent).stands


def test_a_bug_is_raised() -> None:
    runtime = MemoryRuntime()
    runtime.fail(1, KeyError("a bug"))
    with pytest.raises(KeyError):
        reconcile(ROUTER, runtime, MemoryWiring(), silent)


def test_a_segment_that_others_want_too_is_still_ours_to_mend() -> None:
    wiring = MemoryWiring()
    assert reconcile(ROUTER, MemoryRuntime(), wiring, silent, foreign=frozenset({"lan"})).stands
    assert [segment.id for segment in wiring.segments()] == ["lan"]


def test_a_segment_that_only_others_want_is_none_of_ours() -> None:
    runtime, wiring = MemoryRuntime(), MemoryWiring()
    wiring.add_segment(Segment("dmz"))
    reconcile(ROUTER, runtime, wiring, silent, foreign=frozenset({"dmz"}))
    assert [segment.id for segment in wiring.segments()] == ["dmz", "lan"]
    assert [segment.id for segment in observe("svc-1", runtime, wiring, foreign=frozenset({"dmz"})).segments] == ["lan"]


# --- readiness --------------------------------------------------------------------------


def standing(answers: Answers) -> MemoryRuntime:
    runtime = MemoryRuntime(answers=answers)
    reconcile(ROUTER, runtime, MemoryWiring(), silent)
    return runtime


def test_readiness_asks_only_what_gates_it() -> None:
    answers = Answers()
    outcome = ready(ROUTER, standing(answers), within=1.0)
    assert outcome.phase is Phase.CONVERGED
    assert answers.asked == ["alive"]


def test_what_comes_after_a_gate_is_asked_when_it_holds() -> None:
    answers = Answers(alive=2)
    call = Exec("Call", "frr", ("call",), role=ProbeRole.READINESS)
    dear = replace(ROUTER, vnfs=(replace(ROUTER.vnfs[0], probes=(ALIVE, call)),))
    outcome = ready(dear, standing(answers), within=5.0)
    assert answers.asked == ["alive", "alive", "alive", "call"]
    assert [condition.type for condition in outcome.conditions] == ["Alive", "Call"]


def test_of_what_was_not_asked_nothing_is_said() -> None:
    second = Exec("Second", "frr", ("second",), role=ProbeRole.READINESS)
    desired = replace(ROUTER, vnfs=(replace(ROUTER.vnfs[0], probes=(ALIVE, second)),))
    outcome = ready(desired, standing(Answers(alive=1)), within=0.0)
    assert [condition.type for condition in outcome.conditions] == ["Alive"]
    assert outcome.phase is Phase.CONVERGING


def test_readiness_is_asked_for_again_soon() -> None:
    begun = time.monotonic()
    outcome = ready(ROUTER, standing(Answers(alive=3)), within=5.0)
    assert outcome.phase is Phase.CONVERGED
    assert time.monotonic() - begun < 0.5


def test_what_is_not_ready_in_time_says_what_is_missing() -> None:
    begun = time.monotonic()
    outcome = ready(ROUTER, standing(Answers(alive=1000)), within=0.2)
    assert (outcome.phase, outcome.reason) == (Phase.CONVERGING, "Alive: not yet")
    assert time.monotonic() - begun < 0.4


def test_nobody_waits_for_what_is_not_wanted_any_more() -> None:
    answers = Answers(alive=1000)
    ready(ROUTER, standing(answers), within=60.0, superseded=lambda: True)
    assert answers.asked == ["alive"]


def test_without_readiness_probes_what_stands_is_ready() -> None:
    bare = replace(ROUTER, vnfs=(replace(ROUTER.vnfs[0], probes=()),))
    assert ready(bare, MemoryRuntime(), within=0.0).phase is Phase.CONVERGED


def test_every_probe_is_asked_for_its_role() -> None:
    answers = Answers()
    found = probe(ROUTER, standing(answers), *ProbeRole)
    assert [(condition.type, condition.readiness) for condition in found] == [("Alive", True), ("Peers", False)]


@pytest.mark.parametrize(
    ("status", "readiness", "before", "after"),
    [
        (Status.TRUE, True, Phase.CONVERGING, Phase.CONVERGED),
        (Status.FALSE, True, Phase.CONVERGED, Phase.CONVERGING),
        (Status.UNKNOWN, True, Phase.CONVERGED, Phase.CONVERGED),
        (Status.UNKNOWN, True, Phase.CONVERGING, Phase.CONVERGING),
        (Status.FALSE, False, Phase.CONVERGING, Phase.CONVERGED),
    ],
)
def test_readiness_decides_the_phase(status: Status, readiness: bool, before: Phase, after: Phase) -> None:
    assert judge([Condition("Alive", status, readiness=readiness)], before=before).phase is after
