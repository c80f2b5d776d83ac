"""How a service fares, from what its PoP found. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from services.lifecycle import Health
from worker.report import Condition, Phase, Status


def assess(phase: Phase, conditions: Iterable[Condition], reason: str = "") -> tuple[Health, str]:
    """The health and, unless it is well, the reason.

    A parked one or a failing readiness condition is down; another failing condition
    degrades; what could not be found out is unknown.
    """
    if phase is Phase.GONE:
        return Health.UNKNOWN, ""
    if phase is Phase.PARKED:
        return Health.DOWN, reason
    found = tuple(conditions)
    failing = [condition for condition in found if condition.status is Status.FALSE]
    gates = [condition for condition in failing if condition.readiness]
    if gates:
        return Health.DOWN, _words(gates)
    if phase is Phase.CONVERGING:
        return Health.DEGRADED, reason
    if failing:
        return Health.DEGRADED, _words(failing)
    unknown = [condition for condition in found if condition.status is Status.UNKNOWN]
    if unknown:
        return Health.UNKNOWN, _words(unknown)
    return Health.HEALTHY, ""


def _words(conditions: Iterable[Condition]) -> str:
    return "; ".join(f"{c.type}: {c.message}" if c.message else c.type for c in conditions)
