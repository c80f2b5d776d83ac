"""A form for any spec: what is typed into it is the document, whatever the kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from naas.core.errors import Problem
from sbc.kind import KIND as SBC
from services.kind import Group, Kind
from services.kinds.router import KIND as ROUTER
from services.portal import fields
from services.portal.fields import Fields, Input, Look, Node, Rows, Source

KINDS = (ROUTER, SBC)
SEGMENTS = Source({"segment": [("office", "office"), ("backbone", "backbone"), ("carrier", "carrier")]})


def schema(kind: Kind) -> Mapping[str, Any]:
    return kind.spec.model_json_schema()


def nodes(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case Fields():
            for part in (*node.shown, *node.more):
                yield from nodes(part)
        case Rows():
            for row in node.rows:
                yield from nodes(row)


def form(kind: Kind, document: Mapping[str, Any], source: Source = SEGMENTS) -> dict[str, Node]:
    page = fields.build(schema(kind), kind.form, document, source)
    return {node.path: node for _, listed in page.boxes for top in listed for node in nodes(top)}


def typed(found: Mapping[str, Node]) -> dict[str, list[str]]:
    """What a browser would send of this form."""
    data: dict[str, list[str]] = {}
    for path, node in found.items():
        match node:
            case Input(look=Look.SWITCH):
                data |= {path: ["on"]} if node.value else {}
            case Input(look=Look.CHECKS):
                data |= {path: list(node.value)} if node.value else {}
            case Input():
                data[path] = [node.text]
            case Rows():
                data[f"{path}.rows"] = [str(len(node.rows))]
        if isinstance(node, Fields | Rows) and node.optional and node.on:
            data[f"{path}.on"] = ["on"]
    return data


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_spec_has_its_place_in_the_form(kind: Kind) -> None:
    page = fields.build(schema(kind), kind.form, {}, SEGMENTS)
    named = [node.path for _, listed in page.boxes for node in listed]
    assert sorted(named) == sorted(schema(kind)["properties"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_shown_of_a_document_is_read_back_as_it_was(kind: Kind) -> None:
    assert fields.read(schema(kind), typed(form(kind, kind.example))) == kind.example


def test_what_is_left_empty_is_left_to_the_spec() -> None:
    found = form(ROUTER, {})
    assert fields.read(schema(ROUTER), typed(found)) == {"ports": [{}]}
    assert isinstance(found["ports[0].segment"], Input)
    assert found["ports[0].segment"].choices[1] == ("office", "office")


def test_deep_parts_are_read_with_their_types() -> None:
    data = {
        "ports.rows": ["1"],
        "ports[0].name": [" lan "],
        "ports[0].addresses": ["10.1.0.1/24\r\n\r\n 10.1.1.1/24"],
        "bgp.on": ["on"],
        "bgp.asn": ["65001"],
        "bgp.redistribute": ["connected", "static"],
        "bgp.neighbours.rows": ["1"],
        "bgp.neighbours[0].bfd": ["on"],
        "bgp.neighbours[0].password": [" not stripped "],
        "bgp.neighbours[0].prefixes_in.on": ["on"],
        "bgp.neighbours[0].prefixes_in.rows": ["0"],
        "bgp.neighbours[0].timers.hold": ["soon"],
    }
    assert fields.read(schema(ROUTER), data) == {
        "ports": [{"name": "lan", "addresses": ["10.1.0.1/24", "10.1.1.1/24"]}],
        "bgp": {
            "asn": 65001,
            "redistribute": ["connected", "static"],
            "neighbours": [
                {"bfd": True, "password": " not stripped ", "prefixes_in": [], "timers": {"hold": "soon"}},
            ],
        },
    }


@pytest.mark.parametrize("count", ["-1", "1e9", "99999999999", "x", ""])
def test_a_forged_number_of_rows_makes_no_rows(count: str) -> None:
    assert fields.read(schema(ROUTER), {"ports.rows": [count]}) == {}


def test_more_rows_than_a_spec_takes_are_not_read() -> None:
    assert len(fields.read(schema(SBC), {"ports.rows": ["9999"]})["ports"]) == 8


def test_rows_are_added_and_taken_away() -> None:
    document: dict[str, Any] = {"ports": [{"name": "a"}, {"name": "b"}]}
    fields.add(document, "bgp.neighbours")
    fields.add(document, "ports")
    fields.remove(document, "ports[0]")
    assert document == {"ports": [{"name": "b"}, {}], "bgp": {"neighbours": [{}]}}
    for nowhere in ("ports[7]", "nat.source[0]", "ports", ""):
        fields.remove(document, nowhere)
    assert document["ports"] == [{"name": "b"}, {}]


def test_a_problem_is_said_at_its_field_and_else_above_all() -> None:
    document = {"ports": [{"name": "lan", "addresses": ["10.1.0.1/24", "nonsense"]}]}
    source = Source(
        SEGMENTS.choices,
        problems=(Problem("ports[0].addresses[1]", "is not an address"), Problem("", "the quota is used up")),
    )
    page = fields.build(schema(ROUTER), ROUTER.form, document, source)
    field = next(
        node for _, listed in page.boxes for top in listed for node in nodes(top) if node.path.endswith("addresses")
    )
    assert isinstance(field, Input)
    assert field.problems == ("nonsense: is not an address",)
    assert page.problems == ("the quota is used up",)


def test_what_no_box_names_stands_in_a_last_one() -> None:
    page = fields.build(schema(ROUTER), (Group("Ports", ("ports",)),), {}, SEGMENTS)
    assert [box.title for box, _ in page.boxes] == ["Ports", "Other settings"]


def test_a_chosen_segment_that_is_gone_is_still_shown() -> None:
    field = form(ROUTER, {"ports": [{"segment": "lost"}]})["ports[0].segment"]
    assert isinstance(field, Input)
    assert ("lost", "lost") in field.choices
