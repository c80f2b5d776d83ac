"""How far a PoP has come, for pages to show: the steps of its last run, and what it checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.models import DeploymentStep
from tenants import looks
from tenants.console import Table
from tenants.wording import words

#: Steps are shown of so many at most.
MOST_STEPS = 60

HEADERS = ("Step", "On", "Why", "State", "Took", "Message")


def last_run(steps: Iterable[DeploymentStep]) -> list[DeploymentStep]:
    """The steps of the run that began last, in their order."""
    listed = list(steps)
    if not listed:
        return []
    run = max(listed, key=lambda step: step.started_at).run
    return sorted((step for step in listed if step.run == run), key=lambda step: step.position)


def cells(step: DeploymentStep) -> tuple[Any, ...]:
    return (
        f"{step.position + 1} of {step.total}: {words(step.action)}",
        step.subject,
        step.reason,
        looks.badge(step.state),
        looks.took(step.duration_ms),
        step.message or looks.NOTHING,
    )


def steps_table(title: str, steps: Iterable[DeploymentStep], *, about: str = "", more: str = "") -> Table:
    run = last_run(steps)
    finished = [step.duration_ms for step in run if step.duration_ms is not None]
    total = f" Together {looks.took(sum(finished))}." if finished else ""
    return Table(
        title,
        HEADERS,
        [cells(step) for step in run[:MOST_STEPS]],
        "The PoP has reported no step of this. A change of a name alone takes none.",
        about=f"{about}{total}".strip(),
        more=more,
    )


def conditions(found: object) -> list[tuple[Any, ...]]:
    """The conditions a PoP reported, as rows: what is checked, whether it holds, what it says."""
    return [
        (words(c.get("type", "")), looks.badge(c.get("status", ""), _answer(c)), c.get("message", "") or "-")
        for c in (found if isinstance(found, list) else [])
        if isinstance(c, dict)
    ]


def _answer(condition: dict[str, Any]) -> str:
    return {"true": "Yes", "false": "No"}.get(str(condition.get("status", "")).lower(), "Unknown")
