"""The API of an SBC, as a customer uses it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from sbc import records, tables
from services import inquiries, orders
from services.models import Inquiry, ServiceInstance
from tenants.actor import Role
from tenants.models import AuditEvent
from tests.callers import Caller, assert_problem
from tests.sbcs import certificate
from tests.unit.conftest import found, fresh
from tests.unit.test_sbc_records import ANSWERED, REFUSED, batch
from worker.report import Answer, Phase, TablesAt

PBX: dict[str, Any] = {"name": "pbx", "side": "inside", "addresses": [{"host": "10.1.0.20"}]}
CARRIER: dict[str, Any] = {
    "name": "carrier",
    "side": "outside",
    "addresses": [{"host": "10.255.0.4"}],
    "authentication": {"user": "trunk-1", "password": "correct horse battery"},
}
OUT: dict[str, Any] = {"name": "out", "from_trunk": "pbx", "prefix": "+", "targets": [{"trunk": "carrier"}]}
NOBODY: dict[str, Any] = {"name": "nobody", "cidr": "0.0.0.0/0", "action": "deny"}


class Sbc(Caller):
    """A caller who looks at one SBC."""

    def __init__(self, instance: ServiceInstance, role: Role = Role.OPERATOR) -> None:
        super().__init__(instance.tenant, role)
        self.at = f"sbc/{instance.pk}"

    def get(self, path: str, **query: Any) -> Any:
        return super().get(f"{self.at}/{path}", **query)

    def delete(self, path: str, **headers: str) -> Any:
        return super().delete(f"{self.at}/{path}", **headers)

    def raw(self, method: str, path: str, body: Any, *more: Any, **headers: Any) -> Any:
        return super().raw(method, f"{self.at}/{path}", body, *more, **headers)

    def put(self, path: str, body: Any) -> Any:
        return self.raw("PUT", path, json.dumps(body))


@pytest.fixture
def caller(sbc: ServiceInstance) -> Sbc:
    return Sbc(sbc)


# --- documents ---


@pytest.mark.parametrize(
    ("path", "document", "change"),
    [
        ("trunks", PBX, {"most_calls": 7}),
        ("routes", OUT | {"from_trunk": None, "targets": [{"trunk": "base"}]}, {"timeout": 9}),
        ("sources", NOBODY, {"note": "not yet"}),
    ],
    ids=["trunks", "routes", "sources"],
)
def test_a_document_is_made_read_changed_and_removed(
    caller: Sbc, path: str, document: dict[str, Any], change: dict[str, Any]
) -> None:
    base = {"name": "base", "side": "inside", "addresses": [{"host": "10.1.0.99"}]}
    assert caller.post("trunks", base).status_code == 201
    made = caller.post(path, document)
    assert made.status_code == 201, made.content
    where = made["Location"].removeprefix(f"/api/v1/{caller.at}/")
    assert where == f"{path}/{document['name']}"
    shown = caller.get(where).json()
    assert shown == made.json()
    assert document.keys() <= shown.keys()
    patched = caller.patch(where, change)
    assert patched.status_code == 200, patched.content
    assert change.items() <= patched.json().items()
    put_back = caller.put(where, shown)
    assert put_back.status_code == 200, put_back.content
    assert put_back.json() | {"changed_at": shown["changed_at"]} == shown
    assert document["name"] in [row["name"] for row in caller.get(path).json()["results"]]
    assert caller.delete(where).status_code == 204
    assert_problem(caller.get(where), 404)


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("trunks", {}, "name"),
        ("trunks", [], ""),
        ("trunks", PBX | {"surprise": 1}, "surprise"),
        ("trunks", PBX | {"side": "nowhere"}, "side"),
        ("trunks", PBX | {"addresses": [{"host": "x" * 300}]}, "addresses[0].host"),
        ("trunks", PBX | {"addresses": [{"host": "pbx.example"}], "sources": ["10.1.0.20/32"]}, "addresses[0].host"),
        (
            "trunks",
            {"name": "line", "side": "outside", "sources": ["10.255.0.4/32"], "domain": "sip.example"}
            | {"authentication": CARRIER["authentication"] | {"method": "register"}},
            "authentication.registrar",
        ),
        (
            "trunks",
            {"name": "line", "side": "outside"}
            | {"authentication": CARRIER["authentication"] | {"method": "register", "registrar": "2001:db8::1"}},
            "authentication.registrar",
        ),
        ("trunks", PBX | {"health_check": {"every": 1}}, "health_check.every"),
        ("trunks", PBX | {"most_calls": "7"}, "most_calls"),
        ("routes", OUT | {"targets": []}, "targets"),
        ("routes", OUT, "targets[0].trunk"),
        ("sources", NOBODY | {"cidr": "everyone"}, "cidr"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(caller: Sbc, path: str, body: Any, where: str) -> None:
    assert_problem(caller.raw("POST", path, json.dumps(body)), 400, "invalid", where)


def test_a_secret_is_masked_and_stays_when_it_is_sent_masked(caller: Sbc) -> None:
    made = caller.post("trunks", CARRIER)
    assert made.json()["authentication"]["password"] == "********"
    assert "horse" not in made.content.decode()
    sent_back = caller.put("trunks/carrier", made.json() | {"most_calls": 5})
    assert sent_back.status_code == 200
    fresh_one = CARRIER | {"name": "x", "addresses": [{"host": "10.255.0.5"}]}
    fresh_one["authentication"] = CARRIER["authentication"] | {"password": "********"}
    assert_problem(caller.post("trunks", fresh_one), 400, "invalid", "authentication.password")
    assert "horse" not in json.dumps([event.detail for event in AuditEvent.unscoped.all()])


def test_lists_are_narrowed_and_ordered(caller: Sbc) -> None:
    caller.post("trunks", PBX)
    caller.post("trunks", CARRIER | {"enabled": False})
    caller.post("routes", OUT)
    caller.post(
        "routes", OUT | {"name": "home", "from_trunk": "carrier", "prefix": "+49", "targets": [{"trunk": "pbx"}]}
    )

    def names(path: str, **query: Any) -> list[str]:
        return [row["name"] for row in caller.get(path, **query).json()["results"]]

    assert names("trunks", ordering="-name") == ["pbx", "carrier"]
    assert names("trunks", side="inside") == ["pbx"]
    assert names("trunks", enabled="false") == ["carrier"]
    assert names("routes", to_trunk="pbx") == ["home"]
    assert names("routes", from_trunk="pbx") == ["out"]
    assert names("routes", begins_with="+4") == ["home"]
    assert_problem(caller.get("routes", surprise=1), 400)
    assert_problem(caller.get("routes", ordering="document"), 400)


def test_a_trunk_in_use_is_not_removed(caller: Sbc) -> None:
    caller.post("trunks", PBX)
    caller.post("trunks", CARRIER)
    caller.post("routes", OUT)
    refused = assert_problem(caller.delete("trunks/carrier"), 409, "conflict")
    assert "route out" in refused["detail"]


def test_a_repeated_request_makes_one_trunk(caller: Sbc) -> None:
    answers = [caller.post("trunks", PBX, key="k") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert caller.get("trunks").json()["count"] == 1


def test_emergency_numbers_are_read_and_set(caller: Sbc) -> None:
    assert caller.get("emergency").json() == {"numbers": [], "targets": [], "changed_at": None}
    caller.post("trunks", CARRIER)
    numbers = {"numbers": ["112"], "targets": [{"trunk": "carrier"}]}
    assert caller.put("emergency", numbers).json()["numbers"] == ["112"]
    assert caller.get("emergency").json()["targets"] == [{"trunk": "carrier", "priority": 10, "weight": 10}]
    assert_problem(caller.put("emergency", {"numbers": ["112"]}), 400, "invalid", "targets")


def test_viewers_look_and_do_not_touch(sbc: ServiceInstance, caller: Sbc) -> None:
    caller.post("trunks", PBX)
    viewer = Sbc(sbc, Role.VIEWER)
    assert viewer.get("trunks/pbx").status_code == 200
    for answer in (
        viewer.post("trunks", CARRIER),
        viewer.patch("trunks/pbx", {}),
        viewer.put("trunks/pbx", PBX),
        viewer.delete("trunks/pbx"),
        viewer.put("emergency", {}),
        viewer.delete("bans/192.0.2.1"),
        viewer.delete("calls/1700000000123-12-34"),
        viewer.post("test-calls"),
        viewer.put("certificate", {}),
        viewer.delete("certificate"),
        viewer.post("certificate/renewal", {}),
    ):
        assert_problem(answer, 403, "forbidden")


def test_a_router_has_no_trunks(standing: ServiceInstance) -> None:
    assert_problem(Sbc(standing).get("trunks"), 404, "not-found")
    assert_problem(Sbc(standing).post("trunks", PBX), 404, "not-found")


# --- how it stands ---


def test_whether_all_is_in_force_can_be_seen(caller: Sbc, sbc: ServiceInstance) -> None:
    nothing = dict.fromkeys(("changed_at", "sent_at", "found", "found_at")) | {"wanted": 0, "reason": ""}
    assert caller.get("tables").json() == nothing | {"in_force": False}
    caller.post("trunks", PBX)
    assert caller.get("tables").json()["in_force"] is False
    tables.take(TablesAt("fra1", sbc.pk, "sbc", 1, 2e9))
    state = caller.get("tables").json()
    assert (state["wanted"], state["found"], state["in_force"]) == (1, 1, True)


def test_a_certificate_is_brought_seen_and_given_back(caller: Sbc, sbc: ServiceInstance) -> None:
    assert caller.get("certificate").json()["source"] == "none"
    chain, key = certificate("sbc.example.net")
    ordered = caller.put("certificate", {"certificate": chain, "key": key})
    assert ordered.status_code == 202, ordered.content
    assert "PRIVATE" not in ordered.content.decode()
    orders.start(order_id=ordered.json()["id"])
    found(fresh(sbc), Phase.CONVERGED)
    shown = caller.get("certificate").json()
    assert (shown["source"], shown["subject"], shown["names"]) == (
        "customer",
        "CN=sbc.example.net",
        ["sbc.example.net"],
    )
    returned = caller.delete("certificate")
    assert returned.status_code == 202, returned.content
    assert caller.get("certificate").json()["source"] == "platform"


@pytest.mark.parametrize(
    ("days", "other_key", "path"), [(-1, False, "certificate"), (30, True, "key")], ids=["ended", "of another"]
)
def test_a_certificate_that_is_no_good_is_refused(caller: Sbc, days: int, other_key: bool, path: str) -> None:
    chain, key = certificate(days=days)
    body = {"certificate": chain, "key": certificate()[1] if other_key else key}
    assert_problem(caller.put("certificate", body), 400, "invalid", path)
    assert_problem(caller.put("certificate", {"certificate": "x", "key": key}), 400, "invalid", "certificate")
    assert_problem(caller.delete("certificate"), 409)


# --- records ---


@pytest.fixture
def recorded(sbc: ServiceInstance) -> None:
    hour = 3_600_000
    later = ANSWERED | {"id": "later", "caller": "=1+1", "to_trunk": "second"}
    moved = {name: ANSWERED[name] + hour for name in ("started", "answered", "ended")}
    poor = {"quality": {"caller": {"mos": 2.0, "loss": 9.0, "jitter": 40, "round_trip": 300}, "callee": None}}
    records.take(batch(sbc, ANSWERED, later | moved | poor, REFUSED | {"id": "refused"}))


def test_records_are_shown_newest_first_with_totals(caller: Sbc, recorded: None) -> None:
    shown = caller.get("records").json()
    assert shown["totals"] == {"calls": 3, "answered": 2, "duration_ms": 120_500}
    assert shown["count"] == 3
    assert [row["key"] for row in shown["results"]] == ["later", "refused", ANSWERED["id"]]
    one = caller.get(f"records/{shown['results'][2]['id']}").json()
    assert one == shown["results"][2]
    assert (one["started"], one["mos"], one["attempts"][0]["code"]) == ("2023-11-14T22:13:20.123000Z", 4.1, 200)


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({"answered": "false"}, ["refused"]),
        ({"trunk": "second"}, ["later"]),
        ({"to_trunk": "carrier"}, [ANSWERED["id"]]),
        ({"cause": "no-route"}, ["refused"]),
        ({"code": "404"}, ["refused"]),
        ({"mos_below": "3.5"}, ["later"]),
        ({"longer_than": "61"}, []),
        ({"called": "+4940222", "ordering": "started", "limit": "1"}, [ANSWERED["id"]]),
        ({"since": "2023-11-14T23:00:00Z"}, ["later"]),
        ({"until": "2023-11-14T23:00:00Z", "answered": "true"}, [ANSWERED["id"]]),
        ({"ordering": "mos", "answered": "true"}, ["later", ANSWERED["id"]]),
    ],
    ids=str,
)
def test_records_are_narrowed(caller: Sbc, recorded: None, query: dict[str, str], keys: list[str]) -> None:
    assert [row["key"] for row in caller.get("records", **query).json()["results"]] == keys


def test_records_come_as_csv_in_which_a_callers_name_is_no_formula(caller: Sbc, recorded: None) -> None:
    wants_csv = caller.headers | {"Accept": "text/csv"}
    answers: list[Any] = [
        caller.get("records", format="csv", ordering="started"),
        caller.client.get(f"/api/v1/{caller.at}/records?ordering=started", headers=wants_csv),
    ]
    for answer in answers:
        assert answer["Content-Type"] == "text/csv"
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
        assert [row["caller"] for row in rows] == ["+4930111", "+4930111", "'=1+1"]
        assert rows[0]["started"] == "2023-11-14T22:13:20.123Z"
        assert (rows[0]["emergency"], rows[0]["duration_ms"]) == ("false", "60250")


def test_statistics_are_by_trunk_direction_and_time(caller: Sbc, recorded: None) -> None:
    span = {"since": "2023-11-14T00:00:00Z", "until": "2023-11-15T00:00:00Z"}
    found = caller.get("statistics", **span).json()["results"]
    assert [(f["trunk"], f["direction"], f["calls"], f["answered"]) for f in found] == [
        ("pbx", "from", 3, 2),
        ("carrier", "to", 1, 1),
        ("second", "to", 1, 1),
    ]
    pbx = found[0]
    assert pbx["answer_seizure_ratio"] == 66.67
    assert pbx["causes"] == {"caller-hung-up": 2, "no-route": 1}
    assert pbx["quality"]["mos"] == {"p5": 2.0, "p50": 2.0, "p95": 4.1}
    assert pbx["start"] is None
    hourly = caller.get("statistics", interval="hour", trunk="pbx", **span).json()["results"]
    assert [(f["start"], f["calls"]) for f in hourly] == [("2023-11-14T22:00:00Z", 2), ("2023-11-14T23:00:00Z", 1)]
    assert "quality" in hourly[0]
    daily = caller.get("statistics", interval="day", trunk="carrier", **span).json()["results"]
    assert [(f["start"], f["calls"]) for f in daily] == [("2023-11-14T00:00:00Z", 1)]


def test_statistics_have_a_bounded_span(caller: Sbc) -> None:
    assert caller.get("statistics").json()["results"] == []
    assert_problem(caller.get("statistics", since="2020-01-01T00:00:00Z"), 400, "invalid", "since")
    assert_problem(caller.get("statistics", interval="week"), 400, "invalid", "interval")
    assert_problem(caller.get("statistics", surprise="1"), 400, "invalid", "surprise")


# --- what happens now ---

CALL = {
    "id": "1700000000123-12-34",
    "started": 1_700_000_000_123,
    "answered": None,
    "caller": "+4930111",
    "called": "+4940222",
    "from_trunk": "pbx",
    "to_trunk": "carrier",
    "codec": None,
    "quality": None,
}
RESULT = {"passed": True, "message": "set up in 40 ms over TCP with RTP, MOS 4.4", "mos": 4.4}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str]]:
    """What a PoP answers to each question while the API waits for it: exit status and output."""
    known: dict[str, tuple[int, str]] = {}

    def answer(_seconds: float) -> None:
        for asked in Inquiry.unscoped.filter(state=Inquiry.State.OPEN, question__in=known):
            inquiries.take(Answer(asked.pk, asked.instance_id, *known[asked.question]), pop="fra1")

    monkeypatch.setattr("services.inquiries.time.sleep", answer)
    return known


Answers = dict[str, tuple[int, str]]


def test_what_stands_now_is_asked_of_the_sbc(caller: Sbc, answers: Answers) -> None:
    ban = {"address": "192.0.2.66", "reason": "scanner", "until": 1_800_000_000}
    answers |= {"calls": (0, json.dumps({"count": 3, "calls": [CALL]})), "bans": (0, json.dumps([ban]))}
    shown = caller.get("calls", limit="1", trunk="pbx").json()
    assert (shown["count"], shown["results"], shown["previous"]) == (3, [CALL], None)
    assert "offset=1" in shown["next"]
    assert Inquiry.unscoped.get().arguments == {"first": 0, "most": 1, "trunk": "pbx"}
    assert_problem(caller.get("calls", trunck="pbx"), 400, "invalid", "trunck")
    assert_problem(caller.get("calls", trunk="--no"), 400, "invalid", "arguments.trunk")
    assert caller.get("bans").json() == [ban]


STATE = {
    "trunk": "carrier",
    "state": "degraded",
    "addresses": [
        {
            "uri": "sip:10.255.0.4:5060",
            "state": "down",
            "since": 1_700_000_000_123,
            "failures": 3,
            "code": None,
            "answered": None,
        },
    ],
    "registration": {
        "state": "registered",
        "until": 1_700_001_800_123,
        "since": 1_700_000_000_123,
        "code": 200,
        "answered": 1_700_000_000_123,
        "tries": 0,
    },
}


def test_whether_trunks_answer_is_asked_of_the_sbc(caller: Sbc, answers: Answers) -> None:
    answers |= {"trunks": (0, json.dumps({"count": 1, "trunks": [STATE]}))}
    assert caller.get("trunk-states").json()["results"] == [STATE]
    assert caller.get("trunk-states", limit=5, offset=3).json()["count"] == 1
    assert caller.get("trunk-states/carrier").json() == STATE
    asked = list(Inquiry.unscoped.order_by("asked_at").values_list("arguments", flat=True))
    assert [(a["first"], a["most"], a["trunk"]) for a in asked] == [(0, 50, None), (3, 5, None), (0, 200, "carrier")]
    assert_problem(caller.get("trunk-states", surprise="1"), 400, "invalid", "surprise")


def test_a_trunk_that_is_not_asked_has_no_state_and_the_answer_says_why(caller: Sbc, answers: Answers) -> None:
    answers |= {"trunks": (0, json.dumps({"count": 0, "trunks": []}))}
    assert caller.get("trunk-states").json()["results"] == []
    assert "health_check" in assert_problem(caller.get("trunk-states/pbx"), 404)["detail"]
    assert_problem(caller.get("trunk-states/Not_A_Name"), 400)


def test_a_ban_is_lifted(caller: Sbc, answers: Answers) -> None:
    answers |= {"lift": (0, "")}
    assert caller.delete("bans/2001:db8::1").status_code == 204
    assert caller.delete("bans/2001:db8:7::/64").status_code == 204
    asked = list(Inquiry.unscoped.order_by("asked_at").values_list("question", "arguments"))
    assert asked == [("lift", {"address": "2001:db8::1"}), ("lift", {"address": "2001:db8:7::"})]
    assert AuditEvent.unscoped.filter(verb="service.ask").count() == 2


def test_a_call_is_ended_and_the_trail_says_by_whom(caller: Sbc, answers: Answers) -> None:
    answers |= {"end-call": (0, "")}
    assert caller.delete(f"calls/{CALL['id']}").status_code == 204
    (asked,) = Inquiry.unscoped.values_list("question", "arguments")
    assert asked == ("end-call", {"call": CALL["id"]})
    assert AuditEvent.unscoped.filter(verb="service.ask").count() == 1


def test_a_call_that_does_not_stand_is_not_found(caller: Sbc, answers: Answers) -> None:
    answers |= {"end-call": (1, f"there is no call {CALL['id']}")}
    assert CALL["id"] in assert_problem(caller.delete(f"calls/{CALL['id']}"), 404)["detail"]
    assert_problem(caller.delete("calls/nobody"), 404)


def test_what_the_sbc_does_not_know_is_not_found(caller: Sbc, answers: Answers) -> None:
    answers |= {"lift": (1, "")}
    assert_problem(caller.delete("bans/192.0.2.1"), 404)
    assert_problem(caller.delete("bans/not-an-address"), 400)


def test_who_does_not_answer_or_says_nothing_sensible_is_asked_again(caller: Sbc, answers: Answers) -> None:
    late = caller.client.get(f"/api/v1/{caller.at}/calls", headers=caller.headers | {"Prefer": "wait=1"})
    assert_problem(late, 503, "unavailable")
    assert late["Retry-After"] == "2"
    answers |= {"calls": (1, "Traceback: no")}
    assert "no" in assert_problem(caller.get("calls"), 503, "unavailable")["detail"]


def test_a_test_call_is_made_and_kept(caller: Sbc, answers: Answers) -> None:
    answers |= {"test-call": (0, json.dumps(RESULT))}
    made = caller.post("test-calls", {"transport": "tcp"}, Prefer="wait=10")
    assert made.status_code == 201, made.content
    assert (made.json()["passed"], made.json()["result"]) == (True, RESULT)
    where = made["Location"].removeprefix(f"/api/v1/{caller.at}/")
    assert caller.get(where).json() == made.json()
    assert caller.get("test-calls", passed="true").json()["count"] == 1
    assert_problem(caller.post("test-calls", {"transport": "sctp"}), 400, "invalid", "transport")


def test_a_test_call_need_not_be_waited_for(caller: Sbc) -> None:
    made = caller.post("test-calls")
    assert (made.status_code, made.json()["passed"]) == (202, None)
