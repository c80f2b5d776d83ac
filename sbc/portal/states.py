"""What an SBC says of its trunks, beside what the platform knows of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sbc import asking
from sbc.models import Trunk
from services.portal.tabs import ServicePage

#: Seconds that a part of a page waits for what the SBC says; the page itself waits for none of it.
PATIENCE = 5.0
#: How many calls stand, and how the trunks fare that are asked for something, what is not well first.
LOAD: Mapping[str, Mapping[str, Any]] = {"load": {}}
TRUNKS: Mapping[str, Mapping[str, Any]] = {"trunks": {"most": 200}}


def ask(page: ServicePage, questions: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the SBC says to each; None for what it does not say."""
    return asking.answers(actor=page.actor, instance=page.service, questions=questions, wait=PATIENCE)


def is_ill(state: Mapping[str, Any]) -> bool:
    lapsed = state["registration"] and state["registration"]["state"] != "registered"
    return bool(lapsed) or state["state"] in ("down", "degraded")


def with_states(rows: Iterable[Trunk], said: Mapping[str, Any]) -> list[Trunk]:
    """The trunks, each with the `calls` that stand (None: not known) and how it `fares` where it is asked."""
    load = said.get("load")
    states = {state["trunk"]: state for state in (said.get("trunks") or {"trunks": []})["trunks"]}
    found = []
    for trunk in rows:
        trunk.calls = None if load is None else load["trunks"].get(trunk.name, 0)  # type: ignore[attr-defined]
        trunk.fares = states.get(trunk.name)  # type: ignore[attr-defined]
        found.append(trunk)
    return found
