"""The dial simulator: where a call would go and why, from as few rows as can matter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sbc import configuration
from sbc.models import Route, Trunk
from sbc.sections.base import Section
from sbc.sections.routes import ROUTES
from sbc.sections.sources import SOURCES
from sbc.sections.trunks import TRUNKS
from services.models import ServiceInstance
from tenants.actor import Actor, Role
from tests.callers import assert_problem
from tests.unit.test_sbc_api import CARRIER, NOBODY, OUT, PBX, Sbc

SECOND = {"name": "second", "side": "outside", "addresses": [{"host": "10.255.0.5"}], "number_format": "plain"}
REMOTE = {
    "name": "remote",
    "side": "outside",
    "authentication": {"method": "digest", "user": "home-7", "password": "correct horse battery"},
}
OFFICE_HOURS = {"timezone": "Europe/Berlin", "days": ["mon"], "start": "08:00", "end": "18:00"}
#: A Monday in winter: in Berlin an hour later.
OPEN, CLOSED = "2026-11-23T12:00:00Z", "2026-11-23T17:00:00Z"


@pytest.fixture
def put(actor: Actor, sbc: ServiceInstance) -> Any:
    def put(section: Section[Any, Any], *documents: dict[str, Any]) -> None:
        for document in documents:
            configuration.create(actor=actor, instance=sbc, section=section, document=document)

    return put


@pytest.fixture
def dial(sbc: ServiceInstance, put: Any) -> Any:
    """Ask where a number of the PBX goes; what is said otherwise takes the place of that."""
    put(TRUNKS, PBX, CARRIER, SECOND)
    put(ROUTES, OUT | {"targets": [{"trunk": "carrier"}, {"trunk": "second", "priority": 20}]})

    def dial(number: str, **call: Any) -> dict[str, Any]:
        asked = {"source": "10.1.0.20"} | call
        answer = Sbc(sbc, Role.VIEWER).post(
            "simulations", {"number": number} | {name: value for name, value in asked.items() if value is not None}
        )
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    return dial


def shows(caller: str, asserted: str = "", *, private: bool = False) -> dict[str, Any]:
    return {"caller": caller, "asserted": asserted, "private": private}


def said(found: dict[str, Any]) -> list[str]:
    return [step["says"] for step in found["steps"]]


def test_every_step_is_told_with_what_fired_and_every_target_with_its_number(dial: Any) -> None:
    found = dial("030123", caller="0401", at=OPEN)
    assert found == {
        "outcome": "routed",
        "code": None,
        "at": OPEN,
        "side": "inside",
        "trunk": "pbx",
        "route": "out",
        "emergency": False,
        "steps": [
            {"stage": "trunk", "says": "10.1.0.20 is a source of trunk pbx", "name": "pbx", "taken": True},
            {"stage": "number", "says": "030123 is read as +4930123", "name": "", "taken": True},
            {"stage": "route", "says": "route out is the best match", "name": "out", "taken": True},
            {
                "stage": "target",
                "says": "sip:10.255.0.4:5060 of trunk carrier as +4930123",
                "name": "carrier",
                "taken": True,
            },
            {
                "stage": "target",
                "says": "sip:10.255.0.5:5060 of trunk second as 4930123",
                "name": "second",
                "taken": True,
            },
        ],
        "targets": [
            {"trunk": "carrier", "uri": "sip:10.255.0.4:5060", "number": "+4930123", **shows("+49401")},
            {"trunk": "second", "uri": "sip:10.255.0.5:5060", "number": "4930123", **shows("49401")},
        ],
    }


def test_a_call_may_be_of_a_trunk_without_an_address(dial: Any) -> None:
    found = dial("030123", source=None, trunk="pbx")
    assert (found["outcome"], found["side"], found["trunk"]) == ("routed", "inside", "pbx")


def test_the_time_decides_between_routes_and_the_closed_one_is_told(dial: Any, put: Any) -> None:
    put(ROUTES, OUT | {"name": "office", "prefix": "+49", "targets": [{"trunk": "second"}], "window": OFFICE_HOURS})
    assert dial("0301", at=OPEN)["route"] == "office"
    closed = dial("0301", at=CLOSED)
    assert closed["route"] == "out"
    assert {
        "stage": "route",
        "says": "route office matches and is closed at this time",
        "name": "office",
        "taken": False,
    } in closed["steps"]


def test_a_route_or_target_that_is_not_enabled_is_told(dial: Any, put: Any, actor: Actor) -> None:
    put(ROUTES, OUT | {"name": "old", "prefix": "+49", "enabled": False})
    carrier = Trunk.unscoped.get(name="carrier")
    configuration.change(actor=actor, row=carrier, section=TRUNKS, document=CARRIER | {"enabled": False})
    found = dial("0301")
    assert "route old matches and is not enabled" in said(found)
    assert "trunk carrier is not enabled" in said(found)
    assert [target["trunk"] for target in found["targets"]] == ["second"]


def test_a_number_without_a_route_is_refused_with_its_code(dial: Any) -> None:
    found = dial("*21")
    assert (found["outcome"], found["code"], found["targets"]) == ("refused", 404, [])
    assert said(found)[-1] == "no open route for *21"


def test_an_emergency_number_goes_where_it_must(dial: Any, actor: Actor, sbc: ServiceInstance) -> None:
    numbers = {"numbers": ["112"], "targets": [{"trunk": "second"}]}
    configuration.set_emergency(actor=actor, instance=sbc, document=numbers)
    found = dial("112")
    assert (found["emergency"], found["route"], found["targets"][0]["number"]) == (True, None, "112")


def test_a_source_that_a_rule_denies_and_a_stranger_hear_nothing(dial: Any, put: Any) -> None:
    assert dial("0301", source="10.1.0.99", side="inside")["outcome"] == "unanswered"
    put(SOURCES, NOBODY)
    denied = dial("0301")
    assert (denied["outcome"], denied["code"]) == ("unanswered", None)
    assert denied["steps"] == [
        {"stage": "source", "says": "the rule for 0.0.0.0/0 denies 10.1.0.20", "name": "nobody", "taken": False}
    ]
    put(SOURCES, {"name": "pbx", "cidr": "10.1.0.20/32", "action": "allow"})
    allowed = dial("0301")
    assert (allowed["outcome"], allowed["steps"][0]["name"]) == ("routed", "pbx")


def test_who_proves_himself_by_password_may_come_from_anywhere(dial: Any, put: Any) -> None:
    put(TRUNKS, REMOTE)
    put(ROUTES, OUT | {"name": "home", "from_trunk": "remote"})
    stranger = dial("0301", source="203.0.113.5", side="outside")
    assert (stranger["outcome"], stranger["trunk"]) == ("challenged", None)
    assert dial("0301", source="203.0.113.5", side="outside", user="nobody")["outcome"] == "challenged"
    for source in ("203.0.113.5", None):
        found = dial("0301", source=source, user="home-7")
        assert (found["outcome"], found["trunk"], found["route"]) == ("routed", "remote", "home")
    assert dial("*1", source="203.0.113.5", user="home-7")["outcome"] == "refused"
    # Whose address is known is not asked, and on the other side nobody has a password.
    assert dial("0301", user="home-7", side="inside")["trunk"] == "pbx"
    assert dial("0301", source="10.1.0.99", user="home-7", side="inside")["outcome"] == "unanswered"


@pytest.mark.parametrize(
    ("call", "where"),
    [
        ({}, "number"),
        ({"number": "sip:1", "trunk": "pbx"}, "number"),
        ({"number": "1"}, "trunk"),
        ({"number": "1", "trunk": "nobody"}, "trunk"),
        ({"number": "1", "trunk": "pbx", "source": "10.1.0.20"}, "source"),
        ({"number": "1", "source": "pbx.example"}, "source"),
        ({"number": "1", "source": "10.1.0.99"}, "side"),
        ({"number": "1", "source": "10.1.0.20", "side": "nowhere"}, "side"),
        ({"number": "1", "user": "nobody"}, "side"),
        ({"number": "1", "trunk": "pbx", "at": "2026-11-23T12:00:00"}, "at"),
        ({"number": "1", "trunk": "pbx", "at": "soon"}, "at"),
        ({"number": "1", "trunk": "pbx", "draw": 0}, "draw"),
        ({"number": "1", "trunk": "pbx", "caller": "<sip:x>"}, "caller"),
        ({"number": "1", "trunk": "pbx", "privacy": "very"}, "privacy"),
        ({"number": "1", "trunk": "pbx", "surprise": 1}, "surprise"),
        ([], ""),
    ],
)
def test_what_is_wrong_with_a_call_is_told_with_its_path(sbc: ServiceInstance, put: Any, call: Any, where: str) -> None:
    put(TRUNKS, PBX)
    assert_problem(Sbc(sbc).raw("POST", "simulations", json.dumps(call)), 400, "invalid", where)


def test_what_a_trunk_learns_of_who_calls_is_told(dial: Any, actor: Actor) -> None:
    for trunk, document in (("pbx", PBX), ("carrier", CARRIER)):
        row = Trunk.unscoped.get(name=trunk)
        configuration.change(actor=actor, row=row, section=TRUNKS, document=document | {"trusted": True})
    found = dial("0301", caller="040111", asserted="040222", privacy="id")
    assert [{name: target[name] for name in shows("")} for target in found["targets"]] == [
        shows("+4940111", "+4940222", private=True),
        shows("", "", private=True),
    ]


def test_another_kind_of_service_simulates_no_calls(standing: ServiceInstance) -> None:
    assert_problem(Sbc(standing).post("simulations", {"number": "1", "trunk": "pbx"}), 404, "not-found")


def test_a_thousand_routes_take_as_many_queries_as_two_and_no_more_rows(
    dial: Any, sbc: ServiceInstance, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(40) as few:
        dial("0301")
    pbx, out = Trunk.unscoped.get(name="pbx"), Route.unscoped.get(name="out")
    rows = [
        Route(
            tenant_id=sbc.tenant_id,
            instance=sbc,
            name=f"r{number}",
            document=out.document | {"name": f"r{number}", "prefix": f"+1{number:04}"},
            from_trunk=pbx if number % 2 else None,
            prefix=f"+1{number:04}",
            order=100,
            enabled=True,
        )
        for number in range(1000)
    ]
    Route.unscoped.bulk_create(rows)
    with django_assert_num_queries(len(few.captured_queries)):
        assert dial("0010777")["route"] == "r777"
