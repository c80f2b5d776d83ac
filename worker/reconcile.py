"""Brings one instance at a PoP to what is wanted: observe, plan, apply, observe again; then asks whether it is ready.

Level-triggered: it looks only at what is wanted and what is found, never at what woke it.
It keeps nothing and locks nothing (see `worker.keeper`). What goes wrong on purpose
(`NaasError`) comes back as a value; a bug is raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from worker import probes
from worker.apply import Reporter, apply
from worker.errors import PermanentError, TemporaryError
from worker.plan import Configure, Plan, plan
from worker.probes import Asker
from worker.report import Condition, Phase, Status
from worker.runtime.base import Runtime
from worker.topology import DesiredState, ObservedState, ProbeRole
from worker.wiring.base import Wiring

#: Passes of observe, plan, apply before the rest is left to a later try. The second
#: mends what broke during the first; what a third would find will not end here.
PASSES = 2
#: Seconds between two looks at the readiness probes: at first, and at most.
FIRST_POLL, SLOWEST_POLL = 0.02, 0.25


@dataclass(frozen=True)
class Outcome:
    """What came of one reconciliation.

    `plans` are the plans that were carried out (none: nothing had to be done). `retry` is
    in how many seconds trying again may help; None when it stands as wanted, or when only
    another desired state can help. `at` is when the look began that it tells of (Unix seconds).
    """

    phase: Phase
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    plans: tuple[Plan, ...] = ()
    retry: float | None = None
    at: float = field(default_factory=time.time, compare=False)

    @property
    def stands(self) -> bool:
        """Whether everything is there as wanted, ready or not."""
        return self.retry is None and self.phase is not Phase.PARKED


def observe(instance: str, runtime: Runtime, wiring: Wiring, *, foreign: frozenset[str] = frozenset()) -> ObservedState:
    """What is there now.

    `foreign` are segments that only other instances of the PoP want. They are left out:
    one whose first wire is still to come looks like a leftover and is none.
    """
    vnfs = runtime.list(instance)
    namespaces = {vnf.name: runtime.netns(instance, vnf.name) for vnf in vnfs if vnf.namespace}
    wires = wiring.wires(instance, namespaces)
    segments = tuple(segment for segment in wiring.segments() if segment.id not in foreign)
    return ObservedState(instance, segments, vnfs, wires)


def reconcile(
    desired: DesiredState,
    runtime: Runtime,
    wiring: Wiring,
    report: Reporter,
    *,
    foreign: frozenset[str] = frozenset(),
) -> Outcome:
    """Make the PoP agree with `desired`.

    When it does, the phase is GONE for a deletion and otherwise CONVERGING: whether it is
    also ready, `ready` says. `foreign` are segments that other instances of the PoP want.
    The caller holds the instance's lock.
    """
    foreign -= {segment.id for segment in desired.segments}
    done: list[Plan] = []
    try:
        for remaining in _plans(desired, runtime, wiring, foreign):
            if not remaining:
                return Outcome(Phase.GONE if desired.is_deletion else Phase.CONVERGING, plans=tuple(done))
            if len(done) == PASSES:
                return Outcome(Phase.CONVERGING, remaining.steps[0].reason, plans=tuple(done), retry=1.0)
            done.append(remaining)
            apply(remaining, runtime, wiring, report)
    except TemporaryError as error:
        return Outcome(Phase.CONVERGING, str(error), plans=tuple(done), retry=error.delay)
    except PermanentError as error:
        return Outcome(Phase.PARKED, str(error), plans=tuple(done))
    raise AssertionError("plans are looked at until one is empty")


def _plans(desired: DesiredState, runtime: Runtime, wiring: Wiring, foreign: frozenset[str]) -> Iterator[Plan]:
    """What is to be done, looked up anew each time it is asked for."""
    observed = observe(desired.instance, runtime, wiring, foreign=foreign)
    while True:
        remaining = plan(desired, observed)
        yield remaining
        if all(isinstance(step, Configure) for step in remaining.steps):
            # No wire was touched, and looking at them costs more than everything else around a reload.
            observed = replace(observed, vnfs=runtime.list(desired.instance))
        else:
            observed = observe(desired.instance, runtime, wiring, foreign=foreign)


# --- readiness ------------------------------------------------------------------------


def ready(
    desired: DesiredState,
    runtime: Runtime,
    *,
    within: float,
    superseded: Callable[[], bool] = lambda: False,
    ask: Asker = probes.run,
) -> Outcome:
    """Ask the readiness probes until they hold: CONVERGED, or CONVERGING with what is missing after `within` seconds.

    They are asked in order, and none after one that does not hold: the last may be dear, and fail for the same reason.
    Asks at least once; gives up early when `superseded` says that nobody wants to know any more.
    """
    deadline = time.monotonic() + within
    pause = FIRST_POLL
    while True:
        began = time.time()
        outcome = replace(judge(_gates(desired, runtime, ask)), at=began)
        if outcome.phase is Phase.CONVERGED or time.monotonic() + pause > deadline or superseded():
            return outcome
        time.sleep(pause)
        pause = min(pause * 1.5, SLOWEST_POLL)


def _gates(desired: DesiredState, runtime: Runtime, ask: Asker) -> tuple[Condition, ...]:
    """What the readiness probes find, up to the first that does not hold."""
    found: list[Condition] = []
    for conditions in _asked(desired, runtime, ask, ProbeRole.READINESS):
        found += conditions
        if any(condition.status is not Status.TRUE for condition in conditions):
            break
    return tuple(found)


def probe(desired: DesiredState, runtime: Runtime, *roles: ProbeRole, ask: Asker = probes.run) -> tuple[Condition, ...]:
    """Ask the probes of these roles, one by one, and say what they found."""
    return tuple(chain.from_iterable(_asked(desired, runtime, ask, *roles)))


def _asked(desired: DesiredState, runtime: Runtime, ask: Asker, *roles: ProbeRole) -> Iterator[tuple[Condition, ...]]:
    """What each probe of these roles finds, as it is asked for."""
    for vnf in desired.vnfs:
        for each in vnf.probes:
            if each.role in roles:
                yield ask(each, desired.instance, vnf.name, runtime)


def judge(conditions: Iterable[Condition], *, before: Phase = Phase.CONVERGING) -> Outcome:
    """CONVERGED when every readiness condition holds, CONVERGING when one does not.

    One that could not be found out changes nothing of what was known `before`.
    """
    found = tuple(conditions)
    gates = [condition for condition in found if condition.readiness and condition.status is not Status.TRUE]
    failed = [condition for condition in gates if condition.status is Status.FALSE]
    if not gates or (not failed and before is Phase.CONVERGED):
        return Outcome(Phase.CONVERGED, conditions=found)
    first = (failed or gates)[0]
    return Outcome(Phase.CONVERGING, f"{first.type}: {first.message}".rstrip(": "), conditions=found)
