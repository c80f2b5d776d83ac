"""Plans carried out in memory: whatever was there before, one plan is enough, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.apply import apply
from worker.errors import PermanentError, TemporaryError
from worker.plan import plan
from worker.reconcile import observe
from worker.report import StepReport, StepState
from worker.runtime.memory import MemoryRuntime
from worker.topology import ConfigFile, Container, DesiredState, LiveVnf, ObservedState, Route, Segment, Vnf, Wire
from worker.wiring.memory import MemoryWiring

NAMES = ("a", "b")


@dataclass
class PopInMemory:
    runtime: MemoryRuntime = field(default_factory=MemoryRuntime)
    wiring: MemoryWiring = field(default_factory=MemoryWiring)
    steps: list[StepReport] = field(default_factory=list)

    def observe(self, instance: str) -> ObservedState:
        return observe(instance, self.runtime, self.wiring)

    def bring(self, desired: DesiredState) -> None:
        apply(plan(desired, self.observe(desired.instance)), self.runtime, self.wiring, self.steps.append)


# --- what may be wanted -----------------------------------------------------------------

containers = st.builds(
    Container,
    name=st.just(""),
    image=st.sampled_from(("image:1", "image:2")),
    files=st.sampled_from(((), (ConfigFile("f", "1"),), (ConfigFile("f", "2"),))),
    reload=st.sampled_from((None, ("reload",))),
)


@st.composite
def vnfs(draw: st.DrawFn, name: str) -> Vnf:
    names = draw(st.sets(st.sampled_from(NAMES), min_size=1))
    members = tuple(replace(draw(containers), name=member) for member in sorted(names))
    return Vnf(name, members, draw(st.sampled_from(((), (("net.ipv4.ip_forward", "1"),)))))


@st.composite
def wires(draw: st.DrawFn, vnf: str, port: str, segment: str) -> Wire:
    return Wire(
        vnf,
        port,
        segment,
        addresses=draw(st.sampled_from(((), ("10.0.0.1/24",), ("10.0.0.1/24", "2001:DB8::1/64")))),
        mac=draw(st.sampled_from((None, "02:00:00:00:00:01"))),
        routes=draw(st.sampled_from(((), (Route("0.0.0.0/0", "10.0.0.9"),)))),
        rate_in=draw(st.sampled_from((None, 10**6))),
    )


@st.composite
def desired_states(draw: st.DrawFn, instance: str = "svc-1") -> DesiredState:
    segments = draw(st.sampled_from((("lan",), ("wan",), ("lan", "wan"), ("lan", "wan"), ())))
    described = tuple(Segment(id, draw(st.sampled_from((1400, 1500)))) for id in sorted(segments))
    members = tuple(draw(vnfs(name)) for name in draw(st.sampled_from((("a",), ("a",), ("b",), ("a", "b"), ()))))
    places = [(vnf.name, port) for vnf in members for port in ("p0", "p1") if segments]
    ports = [place for place in places if draw(st.sampled_from((True, True, False)))]
    plugged = tuple(draw(wires(vnf, port, draw(st.sampled_from(sorted(segments))))) for vnf, port in ports)
    return DesiredState(instance, 1, described if members else (), members, plugged)


# --- what may happen --------------------------------------------------------------------


def disasters(pop: PopInMemory, instance: str) -> list[Callable[[], None]]:
    """Everything that can happen to what is there now."""
    found = pop.observe(instance)
    return [
        pop.wiring.lose_fabric,
        *(lambda v=vnf: pop.runtime.lose_holder(instance, v.name) for vnf in found.vnfs),
        *(lambda v=vnf: pop.runtime.restart_holder(instance, v.name) for vnf in found.vnfs),
        *(
            lambda v=vnf, c=container: pop.runtime.kill(instance, v.name, c.name)
            for vnf in found.vnfs
            for container in vnf.containers
        ),
        *(lambda w=wire: pop.wiring.drop(instance, w.vnf, w.port) for wire in found.wires),
        *(lambda w=wire: pop.wiring.halve(instance, w.vnf, w.port) for wire in found.wires),
    ]


@st.composite
def histories(draw: st.DrawFn, instance: str = "svc-1") -> PopInMemory:
    """A PoP on which some states were wanted, of which some were cut short, and to which some things happened."""
    pop = PopInMemory()
    for _ in range(draw(st.sampled_from((1, 1, 2, 3, 0)))):
        # Mostly uncut: what never stood cannot drift.
        if draw(st.sampled_from((False, False, True))):
            pop.runtime.fail(draw(st.integers(1, 6)), TemporaryError("killed here"))
            pop.wiring.fail(draw(st.integers(1, 6)), TemporaryError("killed here"))
        try:
            pop.bring(draw(desired_states(instance)))
        except TemporaryError:
            pop.runtime._faults.clear()
            pop.wiring._faults.clear()
        for _ in range(draw(st.integers(0, 2))):
            draw(st.sampled_from(disasters(pop, instance)))()
    pop.runtime._faults.clear()
    pop.wiring._faults.clear()
    return pop


# --- what holds -------------------------------------------------------------------------


def seen(pop: PopInMemory, instance: str) -> ObservedState:
    """What is there, with the inodes of namespaces (which differ from PoP to PoP) told by whose they are."""
    found = pop.observe(instance)

    def told(vnf: LiveVnf) -> LiveVnf:
        at_home = tuple(replace(member, namespace=int(member.namespace == vnf.namespace)) for member in vnf.containers)
        return replace(vnf, namespace=int(vnf.namespace > 0), containers=at_home)

    return replace(found, vnfs=tuple(map(told, found.vnfs)))


def made_from_scratch(desired: DesiredState) -> ObservedState:
    pop = PopInMemory()
    pop.bring(desired)
    return seen(pop, desired.instance)


@settings(max_examples=300, deadline=None)
@given(histories(), desired_states())
def test_one_plan_is_enough_whatever_was_there(pop: PopInMemory, desired: DesiredState) -> None:
    pop.bring(desired)
    remaining = plan(desired, pop.observe("svc-1"))
    assert not remaining, remaining.steps
    # Not by asking `plan` alone: what it does not notice, it would not miss here either.
    assert seen(pop, "svc-1") == made_from_scratch(desired)


@settings(max_examples=200, deadline=None)
@given(histories())
def test_a_deletion_leaves_nothing_whatever_was_there(pop: PopInMemory) -> None:
    pop.bring(DesiredState("svc-1", 9))
    assert pop.observe("svc-1") == ObservedState("svc-1")
    assert not pop.runtime.instances() | pop.wiring.instances()


@settings(max_examples=200, deadline=None)
@given(histories("svc-1"), desired_states("svc-1"), desired_states("svc-2"))
def test_the_others_do_not_notice(pop: PopInMemory, desired: DesiredState, other: DesiredState) -> None:
    pop.bring(other)
    before = pop.observe("svc-2")
    mtus = {segment.id: segment.mtu for segment in other.segments}
    agreeing = tuple(replace(segment, mtu=mtus.get(segment.id, segment.mtu)) for segment in desired.segments)
    asked = len(pop.runtime.calls), len(pop.wiring.calls)
    pop.bring(replace(desired, segments=agreeing))
    after = pop.observe("svc-2")
    assert (after.vnfs, after.wires) == (before.vnfs, before.wires)
    used = {wire.segment for wire in other.wires}
    assert used <= {segment.id for segment in after.segments if segment.digest is not None}
    calls = pop.runtime.calls[asked[0] :] + [c for c in pop.wiring.calls[asked[1] :] if c[0] in ("plug", "unplug")]
    assert {call[1] for call in calls} <= {"svc-1"}


@settings(max_examples=100, deadline=None)
@given(histories(), desired_states(), st.integers(1, 12))
def test_a_run_that_is_cut_anywhere_is_finished_by_the_next(pop: PopInMemory, desired: DesiredState, cut: int) -> None:
    pop.runtime.fail(cut, TemporaryError("killed here"))
    pop.wiring.fail(cut, TemporaryError("killed here"))
    for _ in range(3):
        try:
            pop.bring(desired)
        except TemporaryError:
            continue
        break
    assert seen(pop, "svc-1") == made_from_scratch(desired)


# --- reports ----------------------------------------------------------------------------

ROUTER = DesiredState(
    "svc-1",
    1,
    (Segment("lan"),),
    (Vnf("edge", (Container("frr", "image:1", files=(ConfigFile("f", "1"),), reload=("reload",)),)),),
    (Wire("edge", "lan0", "lan", addresses=("10.0.0.1/24",)),),
)


def test_every_step_is_reported_as_it_begins_and_as_it_ends() -> None:
    pop = PopInMemory()
    pop.bring(ROUTER)
    assert [(step.position, step.state) for step in pop.steps] == [
        (position, state) for position in range(4) for state in (StepState.RUNNING, StepState.DONE)
    ]
    assert {step.total for step in pop.steps} == {4}
    assert len({step.run for step in pop.steps}) == 1
    assert [step.action for step in pop.steps[::2]] == ["add segment", "add VNF", "plug", "start container"]
    assert all((step.duration is None) == (step.state is StepState.RUNNING) for step in pop.steps)


@pytest.mark.parametrize("error", [TemporaryError("the engine restarts"), PermanentError("no such image")])
def test_a_step_that_fails_is_reported_with_its_reason_and_ends_the_run(error: Exception) -> None:
    pop = PopInMemory()
    pop.runtime.fail(1, error)
    with pytest.raises(type(error)):
        pop.bring(ROUTER)
    assert (pop.steps[-1].state, pop.steps[-1].message) == (StepState.FAILED, str(error))
    assert pop.steps[-1].position == 1
    assert not pop.wiring.calls[1:]


def test_two_runs_are_told_apart() -> None:
    pop = PopInMemory()
    pop.bring(ROUTER)
    pop.runtime.kill("svc-1", "edge", "frr")
    pop.bring(ROUTER)
    assert len({step.run for step in pop.steps}) == 2
