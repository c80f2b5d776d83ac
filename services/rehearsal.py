"""What a change would do at a PoP, found by doing it in memory.

The PoP's own doubles are brought to what is wanted now, and the PoP's own `plan` says what
would follow: a preview cannot differ from the real thing by being written twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from worker.apply import apply
from worker.plan import plan
from worker.reconcile import observe
from worker.report import StepReport
from worker.runtime.memory import MemoryRuntime
from worker.topology import DesiredState, Nic, Wire
from worker.wiring.memory import MemoryWiring


@dataclass(frozen=True)
class RehearsedStep:
    action: str
    subject: str
    reason: str


@dataclass(frozen=True)
class Rehearsal:
    """The steps, and the VNFs and wires on which traffic is interrupted meanwhile."""

    steps: tuple[RehearsedStep, ...]
    interrupts: tuple[str, ...]


#: Who stands on a shared segment in a rehearsal. No instance is called so.
OTHERS = "others"


def rehearse(before: DesiredState | None, after: DesiredState, shared: Collection[str] = ()) -> Rehearsal:
    """The steps from `before` (nothing, when the service is new) to `after`. Raises `PermanentError`.

    `shared` are ids of segments on which other services stand: they are there already, and stay.
    """
    runtime, wiring = MemoryRuntime(), MemoryWiring(_interfaces(before, after))
    _share(wiring, before or after, shared)
    if before is not None:
        apply(plan(before, observe(before.instance, runtime, wiring)), runtime, wiring, _silent)
    coming = plan(after, observe(after.instance, runtime, wiring))
    steps = tuple(RehearsedStep(step.action, step.subject, step.reason) for step in coming.steps)
    return Rehearsal(steps, tuple(sorted(coming.interrupts)))


def _share(wiring: MemoryWiring, now: DesiredState, shared: Collection[str]) -> None:
    for position, segment in enumerate(segment for segment in now.segments if segment.id in shared):
        wiring.add_segment(segment)
        wiring.plug(OTHERS, Wire(OTHERS, f"p{position}", segment.id), OTHERS, mtu=segment.mtu)


def _interfaces(*states: DesiredState | None) -> frozenset[str]:
    """The host's interfaces that the segments continue on: in a rehearsal they are there."""
    uplinks = (segment.uplink for state in states if state for segment in state.segments)
    return frozenset(uplink.name for uplink in uplinks if isinstance(uplink, Nic))


def _silent(step: StepReport) -> None:
    """Nobody watches a rehearsal."""
    del step
