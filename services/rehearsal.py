"""What a change would do at a PoP, found by doing it in memory.

The PoP's own doubles are brought to what is wanted now, and the PoP's own `plan` says what
would follow: a preview cannot differ from the real thing by being written twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.apply import apply
from worker.plan import plan
from worker.reconcile import observe
from worker.report import StepReport
from worker.runtime.memory import MemoryRuntime
from worker.topology import DesiredState, Nic
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


def rehearse(before: DesiredState | None, after: DesiredState) -> Rehearsal:
    """The steps from `before` (nothing, when the service is new) to `after`. Raises `PermanentError`."""
    runtime, wiring = MemoryRuntime(), MemoryWiring(_interfaces(before, after))
    if before is not None:
        apply(plan(before, observe(before.instance, runtime, wiring)), runtime, wiring, _silent)
    coming = plan(after, observe(after.instance, runtime, wiring))
    steps = tuple(RehearsedStep(step.action, step.subject, step.reason) for step in coming.steps)
    return Rehearsal(steps, tuple(sorted(coming.interrupts)))


def _interfaces(*states: DesiredState | None) -> frozenset[str]:
    """The host's interfaces that the segments continue on: in a rehearsal they are there."""
    uplinks = (segment.uplink for state in states if state for segment in state.segments)
    return frozenset(uplink.name for uplink in uplinks if isinstance(uplink, Nic))


def _silent(step: StepReport) -> None:
    """Nobody watches a rehearsal."""
    del step
