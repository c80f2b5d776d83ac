"""The portal's pages about an SBC: documents by forms, the dial simulator, records."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from sbc import policy
from sbc.documents import read
from sbc.kind import compile
from sbc.kind.route import RouteSpec
from sbc.models import CallRecord, Emergency, Route, SourceRule, TableLog, TestCall, Trunk
from services import certificates, inquiries
from services.design import needs_of
from services.models import Inquiry, Revision, Segment, ServiceInstance
from services.secrets import reveal
from tenants.models import Tenant, User
from tests import world
from worker.report import Answer

pytestmark = pytest.mark.django_db


@pytest.fixture
def border(db: None) -> ServiceInstance:
    tenant, segment = world.customer("acme", world.pop())
    return world.sbc(tenant, segment)


@pytest.fixture
def owner(border: ServiceInstance) -> Client:
    client = Client()
    client.force_login(User.objects.get(email="owner@acme.example"))
    return client


def at(border: ServiceInstance, page: str) -> str:
    return f"/t/acme/services/{border.pk}/sbc/{page}"


PBX = {
    "name": "pbx",
    "side": "inside",
    "transport": "udp",
    "enabled": "on",
    "addresses.rows": "1",
    "addresses[0].host": "10.1.0.20",
    "act": "save",
}


def problems(answer: Any) -> dict[str, tuple[str, ...]]:
    """What a form says is wrong, by field."""
    found: dict[str, tuple[str, ...]] = {"": tuple(answer.context["general"])}

    def walk(node: Any) -> None:
        if node.problems:
            found[node.path] = node.problems
        for part in (*getattr(node, "shown", ()), *getattr(node, "more", ()), *getattr(node, "rows", ())):
            walk(part)

    for _, nodes in answer.context["form"].boxes:
        for node in nodes:
            walk(node)
    return {path: said for path, said in found.items() if said}


def test_a_trunk_is_made_changed_and_removed_by_forms(border: ServiceInstance, owner: Client) -> None:
    made = owner.post(at(border, "trunks/new/"), PBX, follow=True)
    assert "Trunk pbx is saved" in made.content.decode()
    trunk = Trunk.unscoped.get(name="pbx")
    assert (trunk.side, trunk.document["addresses"][0]["host"]) == ("inside", "10.1.0.20")
    shown = owner.get(at(border, "trunks/of/pbx/")).content.decode()
    assert "10.1.0.20" in shown
    owner.post(at(border, "trunks/of/pbx/"), PBX | {"most_calls": "7", "name": "other"})
    trunk.refresh_from_db()
    assert (trunk.name, trunk.document["most_calls"]) == ("pbx", 7)
    gone = owner.post(at(border, "trunks/of/pbx/remove/"), follow=True)
    assert "Trunk pbx is removed" in gone.content.decode()
    assert not Trunk.unscoped.filter(name="pbx").exists()


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_written(border: ServiceInstance, owner: Client) -> None:
    before = TableLog.unscoped.count()
    for wrong, where in (
        ({"name": "Not A Name"}, "name"),
        ({"name": "carrier"}, "name"),
        ({"side": "nowhere"}, "side"),
        ({"addresses[0].host": "-oProxy"}, "addresses[0].host"),
        ({"addresses[0].host": "2001:db8::1"}, "addresses[0].host"),
        ({"transport": "tls"}, "transport"),
        ({"most_calls": "many"}, "most_calls"),
    ):
        answer = owner.post(at(border, "trunks/new/"), PBX | wrong)
        assert answer.status_code == 200
        assert where in problems(answer), (wrong, problems(answer))
    assert Trunk.unscoped.count() == 1
    assert TableLog.unscoped.count() == before


def test_checking_a_form_writes_nothing(border: ServiceInstance, owner: Client) -> None:
    before = TableLog.unscoped.count()
    answer = owner.post(at(border, "trunks/new/"), PBX | {"act": "check"})
    assert problems(answer) == {}
    assert Trunk.unscoped.count() == 1
    assert TableLog.unscoped.count() == before


def test_a_stored_password_is_kept_and_never_shown(border: ServiceInstance, owner: Client) -> None:
    shown = owner.get(at(border, "trunks/of/carrier/"))
    assert world.PASSWORD not in shown.content.decode()
    document = {
        "name": "carrier",
        "side": "outside",
        "enabled": "on",
        "addresses.rows": "1",
        "addresses[0].host": "192.0.2.5",
        "authentication.user": "trunk-1",
        "authentication.password": "********",
        "act": "save",
    }
    before = Trunk.unscoped.get(name="carrier").document
    assert owner.post(at(border, "trunks/of/carrier/"), document).status_code == 303
    after = Trunk.unscoped.get(name="carrier").document
    assert reveal(after)["authentication"]["password"] == world.PASSWORD
    assert "sources" in before


def test_a_trunk_that_is_needed_is_not_removed_and_it_is_said_by_whom(border: ServiceInstance, owner: Client) -> None:
    answer = owner.post(at(border, "trunks/of/carrier/remove/"), follow=True)
    assert "trunk carrier is used by the emergency numbers, route out" in answer.content.decode()
    assert Trunk.unscoped.filter(name="carrier").exists()


def test_a_route_chooses_among_the_trunks(border: ServiceInstance, owner: Client) -> None:
    page = owner.get(at(border, "routes/new/")).content.decode()
    assert '<option value="carrier">carrier</option>' in page
    document = {
        "name": "germany",
        "prefix": "+49",
        "enabled": "on",
        "targets.rows": "1",
        "targets[0].trunk": "carrier",
        "act": "save",
    }
    assert owner.post(at(border, "routes/new/"), document).status_code == 303
    assert Route.unscoped.get(name="germany").prefix == "+49"
    assert "germany" in owner.get(at(border, "routes/?q=carrier")).content.decode()


def test_routes_are_listed_in_the_order_in_which_they_are_decided(border: ServiceInstance, owner: Client) -> None:
    to = {"enabled": "on", "targets.rows": "1", "targets[0].trunk": "carrier", "act": "save"}
    for name, document in {
        "any-49": {"prefix": "+49"},
        "own-49": {"prefix": "+49", "from_trunk": "carrier"},
        "longer": {"prefix": "+4940", "order": "900"},
        "second": {"prefix": "+49", "order": "150"},
        "service": {"pattern": "118XX"},
        "own-service": {"pattern": "118XX", "from_trunk": "carrier", "order": "900"},
    }.items():
        assert owner.post(at(border, "routes/new/"), to | {"name": name} | document).status_code == 303, name
    page = owner.get(at(border, "routes/"))
    listed = [route.name for route in page.context["rows"]]
    assert listed == ["own-service", "service", "longer", "own-49", "any-49", "second", "out"]
    specs = [read(RouteSpec, row.document) for row in Route.unscoped.all()]
    decided = sorted((compile.route(spec, timezone.now()) for spec in specs), key=policy.rank)
    assert listed == [route.id for route in decided]
    assert "In the order in which they are decided" in page.content.decode()
    assert [route.name for route in owner.get(at(border, "routes/?sort=name")).context["rows"]] == sorted(listed)


def test_source_rules_and_emergency_numbers_have_forms_too(border: ServiceInstance, owner: Client) -> None:
    rule = {"name": "office", "cidr": "198.51.100.0/24", "action": "allow", "act": "save"}
    assert owner.post(at(border, "sources/new/"), rule).status_code == 303
    assert SourceRule.unscoped.get(name="office").cidr == "198.51.100.0/24"
    numbers = {"numbers": "112\r\n110", "targets.rows": "1", "targets[0].trunk": "carrier", "act": "save"}
    assert owner.post(at(border, "emergency/"), numbers).status_code == 303
    assert Emergency.unscoped.get().document["numbers"] == ["112", "110"]


def test_the_simulator_tells_where_a_call_would_go_and_why(border: ServiceInstance, owner: Client) -> None:
    owner.post(at(border, "trunks/new/"), PBX)
    found = owner.get(at(border, "simulator/?number=%2B4930123&trunk=pbx"))
    page = found.content.decode()
    assert "It goes out." in page
    assert found.context["found"].decision.route == "out"
    assert "192.0.2.5" in page
    refused = owner.get(at(border, "simulator/?number=911&trunk=pbx")).content.decode()
    assert "It is refused with 404." in refused
    wrong = owner.get(at(border, "simulator/?number=911&trunk=nobody")).content.decode()
    assert "there is no trunk nobody" in wrong


def call(border: ServiceInstance, key: str, **of_it: Any) -> CallRecord:
    now = timezone.now()
    made: CallRecord = CallRecord.unscoped.create(
        **{
            "tenant": border.tenant,
            "instance": border,
            "key": key,
            "started": now,
            "received_at": now,
            "cause": "caller-hung-up",
            **of_it,
        }
    )
    return made


def test_records_are_searched_narrowed_and_summed_up(border: ServiceInstance, owner: Client) -> None:
    now = timezone.now()
    call(border, "a", caller="+491", called="+4922", from_trunk="pbx", answered=now, duration_ms=90_000, mos=4.3)
    call(border, "b", caller="=cmd()", called="+4933", cause="busy", started=now - timedelta(days=3))

    def shown(query: str) -> set[str]:
        answer = owner.get(at(border, f"records/{query}"))
        assert answer.status_code == 200
        return {row.key for row in answer.context["rows"]}

    assert shown("") == {"a", "b", "k"}
    assert shown("?q=%2B4922") == {"a"}
    assert shown("?answered=False") == {"a"}
    assert shown("?answered=True") == {"b", "k"}
    assert shown("?seconds=89.5") == {"a"}
    assert shown("?seconds=91") == set()
    assert shown("?hours=24") == {"a", "k"}
    assert shown("?cause=caller-hung-up") == {"a"}
    assert shown("?mos=4.0") == set()
    assert shown(f"?until={(now - timedelta(days=2)).strftime('%Y-%m-%dT%H:%M')}") == {"b"}
    for wrong in ("?hours=x", "?seconds=1;", "?seconds=-1", "?seconds=1e9", "?answered=1", "?cause=none", "?mos=nan"):
        assert shown(wrong) == set(), wrong
    assert shown("?until=never") == {"a", "b", "k"}
    page = owner.get(at(border, "records/?q=%2B4922"))
    assert (page.context["totals"]["calls"], page.context["ratio"]) == (1, 100.0)
    export = b"".join(owner.get(at(border, "records/?format=csv"))).decode()
    assert "'=cmd()" in export, "no formula reaches a spreadsheet"
    export = b"".join(owner.get(at(border, "records/?format=csv&seconds=30"))).decode()
    assert len(export.splitlines()) == 2, "an export is what was narrowed to"


def test_quality_is_told_by_trunk_over_time_and_in_sum(border: ServiceInstance, owner: Client) -> None:
    now = timezone.now()
    for number, (mos, answered) in enumerate([(4.3, now), (3.1, now), (None, None)]):
        call(border, f"q{number}", to_trunk="carrier", mos=mos, answered=answered, duration_ms=60_000, cause="busy")
    page = owner.get(at(border, "quality/"))
    (carrier,) = page.context["sums"]
    assert (carrier["who"], carrier["calls"], carrier["ratio"]) == ("to carrier", 3, 66.67)
    charts = {chart["title"]: chart for chart in page.context["charts"]}
    assert set(charts) == {"Calls", "Answered", "MOS"}, "what nobody reported has no chart"
    assert charts["MOS"]["data"]["series"][0]["points"][0][1:] == [3.1, 3.1, 4.3]
    CallRecord.unscoped.update(started=now - timedelta(days=40))
    assert "Every call that has ended" in owner.get(at(border, "quality/?range=31d")).content.decode()


def test_why_calls_failed_is_told_over_time_and_in_sum(border: ServiceInstance, owner: Client) -> None:
    now = timezone.now()
    for number, (trunk, cause) in enumerate(
        [("pbx", "busy"), ("pbx", "busy"), ("carrier", "busy"), ("pbx", "no-answer"), ("pbx", "caller-hung-up")]
    ):
        started = now - timedelta(hours=3 * number)
        call(border, f"f{number}", from_trunk=trunk, to_trunk="x", cause=cause, started=started)
    page = owner.get(at(border, "quality/"))
    (chart,) = (chart for chart in page.context["charts"] if chart["title"] == "Failures")
    busy, unanswered = chart["data"]["series"]
    assert (busy["title"], unanswered["title"]) == ("busy", "no answer"), "hanging up is no failure"
    assert sum(point[2] for point in busy["points"]) == 3
    assert [point[2] for point in unanswered["points"]].count(0) == len(unanswered["points"]) - 1, "noughts, not gaps"
    assert [(f["cause"], f["calls"], f["share"]) for f in page.context["failures"]] == [
        ("busy", 3, 60.0),
        ("no-answer", 1, 20.0),
    ]
    narrowed = owner.get(at(border, "quality/?trunk=carrier"))
    assert [(f["cause"], f["calls"]) for f in narrowed.context["failures"]] == [("busy", 1)]
    assert "trunk=carrier&amp;range=7d" in narrowed.content.decode(), "the range is changed, and the trunk kept"


def test_one_record_tells_both_legs_and_says_what_was_not_reported(border: ServiceInstance, owner: Client) -> None:
    heard = {"mos": 4.21, "loss": 0.5, "jitter": 3, "round_trip": None}
    made = call(border, "a", caller="+491", called="+4922", quality={"caller": heard, "callee": None}, attempts=[
        {"trunk": "carrier", "uri": "sip:192.0.2.5", "code": 486}
    ])  # fmt: skip
    page = owner.get(at(border, f"records/{made.pk}/")).content.decode()
    assert "4.21" in page
    assert "not reported" in page
    assert "sip:192.0.2.5" in page
    assert owner.get(at(border, "records/999999/")).status_code == 404


# --- what the SBC says ---


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str]]:
    """What a PoP answers to each question while a page waits for it: exit status and output."""
    known: dict[str, tuple[int, str]] = {}

    def answer(_seconds: float) -> None:
        for asked in Inquiry.unscoped.filter(state=Inquiry.State.OPEN, question__in=known):
            inquiries.take(Answer(asked.pk, asked.instance_id, *known[asked.question]), pop="fra1")

    monkeypatch.setattr("services.inquiries.time.sleep", answer)
    return known


Answers = dict[str, tuple[int, str]]


def test_calls_that_stand_are_shown_and_can_be_ended(border: ServiceInstance, owner: Client, answers: Answers) -> None:
    now = int(timezone.now().timestamp() * 1000)
    stands = {
        "id": "1-2-3",
        "started": now - 5000,
        "answered": now - 4000,
        "caller": "+491",
        "called": "+492<b>",
        "from_trunk": "pbx",
        "to_trunk": "carrier",
        "codec": "PCMA",
        "quality": {"caller": {"mos": 4.1}, "callee": {"mos": 3.2}},
    }
    rings = stands | {"id": "4", "answered": None, "codec": None, "quality": None}
    answers["calls"] = (0, json.dumps({"count": 2, "calls": [stands, rings]}))
    page = owner.get(at(border, "calls/")).content.decode()
    assert "+492&lt;b&gt;" in page
    assert "3.20" in page, "the end that hears worse"
    assert page.count("not reported") == 1
    answers["end-call"] = (0, "")
    ended = owner.post(at(border, "calls/"), {"call": "1-2-3"}, follow=True).content.decode()
    assert "The call is ended" in ended
    assert Inquiry.unscoped.get(question="end-call").arguments == {"call": "1-2-3"}
    answers["end-call"] = (1, "there is no call 9")
    assert owner.post(at(border, "calls/"), {"call": "9"}).status_code == 404


def test_an_sbc_that_does_not_answer_is_said_so(
    border: ServiceInstance, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sbc.portal.live.AT_ONCE", 0)
    assert "The SBC has not answered yet" in owner.get(at(border, "calls/")).content.decode()


def test_a_ban_is_seen_and_lifted(border: ServiceInstance, owner: Client, answers: Answers) -> None:
    until = int(timezone.now().timestamp()) + 600
    answers["bans"] = (0, json.dumps([{"address": "2001:db8::/64", "reason": "scanner", "until": until}]))
    page = owner.get(at(border, "bans/")).content.decode()
    assert "2001:db8::/64" in page
    answers["lift"] = (0, "")
    lifted = owner.post(at(border, "bans/"), {"address": "2001:db8::/64"}, follow=True).content.decode()
    assert "2001:db8::/64 is heard again" in lifted
    assert Inquiry.unscoped.get(question="lift").arguments == {"address": "2001:db8::"}
    refused = owner.post(at(border, "bans/"), {"address": "; reboot"}, follow=True).content.decode()
    assert "is heard again" not in refused


def test_how_trunks_fare_is_told(border: ServiceInstance, owner: Client, answers: Answers) -> None:
    down = {"uri": "sip:192.0.2.5", "state": "down", "since": 1_700_000_000_000, "failures": 3, "code": None}
    registration = {"state": "refused", "until": None, "since": None, "code": 403, "answered": None, "tries": 4}
    name: dict[str, Any] = {
        "name": "sip:carrier.example",
        "found": [],
        "since": None,
        "until": None,
        "error": "no such name",
    }
    trunk = {"trunk": "carrier", "state": "down", "addresses": [down | {"answered": None}], "names": [name]}
    answers["trunks"] = (0, json.dumps({"count": 1, "trunks": [trunk | {"registration": registration}]}))
    page = owner.get(at(border, "trunks/states/")).content.decode()
    assert "sip:192.0.2.5" in page
    assert "no such name" in page
    assert "4 tries" in page


LIVE = {"HX-Request": "true"}


def said_of_trunks(**of_it: Any) -> tuple[int, str]:
    address = {"uri": "sip:192.0.2.5", "state": "up", "since": 1, "failures": 0, "code": 200, "answered": 1}
    registered = {"state": "registered", "until": 1, "since": 1, "code": 200, "answered": 1, "tries": 0}
    trunk = {"trunk": "carrier", "state": "up", "addresses": [address], "names": [], "registration": registered}
    return 0, json.dumps({"count": 1, "trunks": [trunk | of_it]})


def test_an_sbc_is_shown_at_a_glance(border: ServiceInstance, owner: Client, answers: Answers) -> None:
    CallRecord.unscoped.all().delete()
    for number in range(4):
        now = timezone.now()
        call(border, f"g{number}", from_trunk="carrier", answered=now if number else None, ended=now, mos=4.0)
    at_once = owner.get(at(border, "")).content.decode()
    assert Inquiry.unscoped.count() == 0, "the page waits for nothing"
    assert 'hx-trigger="load"' in at_once
    until = int(timezone.now().timestamp()) + 600
    answers |= {
        "load": (0, json.dumps({"calls": 7, "trunks": {"carrier": 6}})),
        "trunks": said_of_trunks(state="down"),
        "bans": (0, json.dumps([{"address": "192.0.2.99", "reason": "scanner", "until": until}])),
    }
    page = owner.get(at(border, ""), headers=LIVE)
    assert page.context["load"]["calls"] == 7
    text = page.content.decode()
    for shown in ("of 4 in the last hour", "192.0.2.99", "does not answer", "registered", "Birth certificate of"):
        assert shown in text, shown
    assert page.context["hour"]["ratio"] == 75
    assert [trunk.calls for trunk in page.context["trunks"]] == [6]


def test_what_an_sbc_does_not_say_is_not_known(border: ServiceInstance, owner: Client, answers: Answers) -> None:
    answers |= {"load": (1, "refused"), "trunks": (0, "nonsense"), "bans": (0, "[]")}
    page = owner.get(at(border, ""), headers=LIVE)
    assert (page.context["load"], page.context["bans"]) == (None, [])
    assert "not known" in page.content.decode()
    assert "Nobody is banned now" in page.content.decode()


def test_all_is_asked_at_once_against_one_deadline(
    border: ServiceInstance, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sbc.portal.states.PATIENCE", 0.2)
    began = time.monotonic()
    page = owner.get(at(border, ""), headers=LIVE)
    assert time.monotonic() - began < 1
    assert (page.context["load"], page.context["bans"]) == (None, None)
    assert Inquiry.unscoped.count() == 3
    ServiceInstance.unscoped.filter(pk=border.pk).update(state="inactive")
    assert owner.get(at(border, ""), headers=LIVE).context["load"] is None
    assert Inquiry.unscoped.count() == 3, "what does not run is not asked"


def test_trunks_are_listed_with_their_calls_and_how_they_fare(
    border: ServiceInstance, owner: Client, answers: Answers
) -> None:
    assert "hx-get" in owner.get(at(border, "trunks/")).content.decode()
    assert Inquiry.unscoped.count() == 0
    answers |= {"load": (0, json.dumps({"calls": 7, "trunks": {"carrier": 6}})), "trunks": said_of_trunks()}
    page = owner.get(at(border, "trunks/?q=carrier"), headers=LIVE)
    assert [(row.name, row.calls) for row in page.context["rows"]] == [("carrier", 6)]
    assert "registered" in page.content.decode()
    answers |= {"load": (1, ""), "trunks": (1, "")}
    assert "not known" in owner.get(at(border, "trunks/"), headers=LIVE).content.decode()


def test_a_test_call_is_made_and_its_result_is_shown(border: ServiceInstance, owner: Client, answers: Answers) -> None:
    assert "MOS 4.4" in owner.get(at(border, "test-calls/")).content.decode(), "the one of acceptance"
    assert owner.post(at(border, "test-calls/"), {"transport": "tcp", "srtp": "off"}).status_code == 303
    inquiry = Inquiry.unscoped.get(question="test-call")
    assert inquiry.arguments == {"transport": "tcp", "srtp": False}
    waiting = owner.get(at(border, "test-calls/")).content.decode()
    assert "A test call is being made" in waiting
    result = {"passed": True, "message": "set up in 40 ms over TCP", "setup": 40.2, "mos": 4.37}
    inquiries.take(Answer(inquiry.pk, border.pk, 0, json.dumps(result)), pop="fra1")
    page = owner.get(at(border, "test-calls/")).content.decode()
    assert "A test call is being made" not in page
    assert "4.37" in page
    wrong = owner.post(at(border, "test-calls/"), {"transport": "pigeon"}, follow=True).content.decode()
    assert "transport" in wrong
    assert TestCall.unscoped.count() == 2


def test_a_certificate_that_is_none_is_refused_at_its_field(border: ServiceInstance, owner: Client) -> None:
    assert "speaks no TLS" in owner.get(at(border, "certificate/")).content.decode()
    answer = owner.post(at(border, "certificate/"), {"certificate": "nonsense", "key": "none"})
    assert answer.status_code == 200
    assert answer.context["said"]["certificate"]


def test_the_chain_of_a_certificate_is_shown_and_it_is_renewed_at_once(border: ServiceInstance, owner: Client) -> None:
    Revision.unscoped.update(worked_at=timezone.now())
    none = owner.post(at(border, "certificate/"), {"act": "renew"}, follow=True)
    assert "shows no certificate of the platform" in none.content.decode()
    spec = border.spec | {"tls": {}}
    ServiceInstance.unscoped.filter(pk=border.pk).update(spec=spec)
    Revision.unscoped.filter(instance=border).update(spec=spec)
    instance = ServiceInstance.unscoped.get(pk=border.pk)
    _, names = needs_of(instance, Revision.unscoped.get(instance=border))
    certificates.ensure(instance, names)
    page = owner.get(at(border, "certificate/"))
    shown = page.context["shown"]
    assert [above.subject == above.issuer for above in shown.above] == [True], "up to the authority"
    assert shown.serial in page.content.decode()
    assert shown.key == "ECDSA, secp256r1"
    said = owner.post(at(border, "certificate/"), {"act": "renew"}, follow=True)
    assert said.context["shown"].serial != shown.serial
    assert said.context["shown"].serial in said.content.decode()


def test_the_birth_certificate_tells_what_was_measured(border: ServiceInstance, owner: Client) -> None:
    assert "MOS 4.4" in owner.get(at(border, "birth/")).content.decode()
    TestCall.unscoped.all().delete()
    assert "No birth certificate" in owner.get(at(border, "birth/")).content.decode()
    said = "set up in 42 ms over TLS with SRTP, MOS 4.3, loss 0.1 %, jitter 0.7 ms, tone and DTMF came back"
    conditions = [
        {"type": "test-call", "status": "true", "message": said},
        {"type": "MediaAlive", "status": "true", "message": ""},
    ]
    born = {"at": timezone.now().isoformat(), "generation": 1, "conditions": conditions}
    ServiceInstance.unscoped.filter(pk=border.pk).update(birth_certificate=born)
    page = owner.get(at(border, "birth/"))
    measured = {"transport": "tls", "srtp": True, "setup": 42, "mos": 4.3, "loss": 0.1, "jitter": 0.7}
    assert page.context["measured"] == measured
    assert "encrypted (SRTP)" in page.content.decode()


def test_a_router_has_no_such_pages(border: ServiceInstance, owner: Client) -> None:
    world.service(Tenant.objects.get(), Segment.unscoped.get(name="lan"), "edge")
    router = ServiceInstance.unscoped.get(kind="router")
    assert owner.get(f"/t/acme/services/{router.pk}/sbc/trunks/").status_code == 404
