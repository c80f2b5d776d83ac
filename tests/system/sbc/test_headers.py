"""What rules do to the headers of a message that leaves."""

from __future__ import annotations

import dataclasses
import re

import pytest

from sbc.policy import HeaderAction, HeaderRule
from tests.system.sbc import leaks
from tests.system.sbc.box import Box
from tests.system.sbc.calls import OUT, call, carried, tables
from tests.system.sbc.hiding import hiding

pytestmark = pytest.mark.system

ADD, REMOVE, REPLACE = HeaderAction


def headers(message: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?m)^([A-Za-z-]+): (.*?)\r$", message.decode()):
        found.setdefault(name, []).append(value)
    return found


def test_headers_are_added_removed_and_replaced_on_the_way_to_a_trunk(box: Box) -> None:
    of_route = (HeaderRule(ADD, "X-Account", "4711"), HeaderRule(ADD, "X-Tenant", "one, two"))
    of_trunk = (
        HeaderRule(REPLACE, "User-Agent", "gateway 9"),
        HeaderRule(REMOVE, "X-Tenant"),
        HeaderRule(ADD, "X-Account", "0"),
    )
    route = dataclasses.replace(OUT, headers=of_route)
    box.load(tables(routes=(route,)), carried(carrier={"headers": of_trunk}))
    with hiding(box):
        call(box, "pbx", "carrier", "call", "answer")
    files = box.captured()
    invite, *others = leaks.messages(files["carrier"])
    found = headers(invite)
    assert (found["X-Account"], found["User-Agent"]) == (["4711", "0"], ["gateway 9"])
    assert "X-Tenant" not in found
    assert not any(name.lower().startswith("hide") for message in (invite, *others) for name in headers(message))
    assert not any("X-Account" in headers(message) for message in leaks.messages(files["pbx"]))
