"""The demo: what it orders is valid, and what it tells can be read."""

from __future__ import annotations

import json

import httpx
import pytest

from sbc.kind import KIND as SBC
from sbc.kind.route import RouteSpec
from sbc.kind.trunk import TrunkSpec
from scripts import calls, customer, demo
from services.kinds.router import KIND
from services.management.commands.demo_tenant import SITES as UNIS


@pytest.mark.parametrize("site", demo.SITES, ids=lambda site: site.name)
def test_what_the_demo_orders_is_a_valid_router(site: demo.Site) -> None:
    item = demo._item(site, None, "secret")
    spec = KIND.spec.model_validate_json(json.dumps(item["spec"]))
    assert [port.segment for port in KIND.ports(spec)] == [site.segment, demo.TRANSPORT]


def test_the_two_routers_name_each_other_as_neighbours() -> None:
    specs = {site.name: demo._item(site, None, "secret")["spec"] for site in demo.SITES}
    for site, peer in (demo.SITES, demo.SITES[::-1]):
        neighbours = {n["address"]: n["remote_asn"] for n in specs[site.name]["bgp"]["neighbours"]}
        assert neighbours == {peer.transport4: peer.asn, peer.transport6: peer.asn}


def test_a_router_that_is_there_already_is_modified_instead_of_added() -> None:
    item = demo._item(demo.SITE_A, {"id": "svc-1"}, "secret")
    assert (item["action"], item["service"]) == ("modify", "svc-1")


def test_hosts_and_gateways_are_in_the_sites_networks() -> None:
    assert (demo.SITE_A.host(4), demo.SITE_A.gateway(4)) == ("10.10.0.10", "10.10.0.1")
    assert (demo.SITE_A.host(6), demo.SITE_A.gateway(6)) == ("fd00:10::10", "fd00:10::1")


def test_each_ended_step_is_told_once() -> None:
    step = {
        "run": "r1",
        "position": 0,
        "total": 2,
        "action": "add VNF",
        "subject": "router",
        "state": "done",
        "started_at": "2026-01-01T00:00:00Z",
        "duration_ms": 12.4,
        "message": "",
    }
    order = {"items": [{"id": "itm-1", "service": {"name": "edge-a"}, "steps": [step, step | {"state": "running"}]}]}
    shown: set[tuple[str, str, int]] = set()
    (line,) = customer._news(order, shown)
    assert line.split() == ["edge-a", "1/2", "add", "VNF", "router", "12", "ms"]
    assert list(customer._news(order, shown)) == []


def test_a_failed_step_is_told_with_its_reason() -> None:
    step = {"position": 0, "total": 1, "action": "plug", "subject": "router:lan", "duration_ms": None}
    line = customer._step_line("edge-a", step | {"state": "failed", "message": "no uplink"})
    assert line.endswith("failed: no uplink")


def test_a_refusal_is_told_with_its_fields() -> None:
    body = {"title": "Some fields are not valid", "errors": [{"path": "items[0].size", "message": "is not sold"}]}
    assert customer._problem(httpx.Response(400, json=body)) == "Some fields are not valid: items[0].size: is not sold"


def test_an_answer_that_is_no_problem_document_is_told_as_it_is() -> None:
    assert customer._problem(httpx.Response(502, text="Bad gateway")) == "502 Bad gateway"


def test_the_sbc_that_the_demo_orders_is_valid_and_plugged_into_the_demos_segments() -> None:
    spec = SBC.spec.model_validate_json(json.dumps(calls.SPEC))
    segments = {end.segment for end in calls.ENDS}
    assert {port.segment for port in SBC.ports(spec)} == segments


def test_the_demos_trunks_and_routes_are_valid_and_name_each_other() -> None:
    trunks = [TrunkSpec.model_validate_json(json.dumps(document)) for document in calls.TRUNKS]
    (route,) = (RouteSpec.model_validate_json(json.dumps(document)) for document in calls.ROUTES)
    assert {trunk.name for trunk in trunks} == {route.from_trunk, *(target.trunk for target in route.targets)}
    assert {trunk.side for trunk in trunks} == {end.port for end in calls.ENDS}


def test_the_demos_customer_has_a_uni_for_each_place() -> None:
    places = [*(site.name for site in demo.SITES), *(end.site for end in calls.ENDS)]
    assert sorted(places) == sorted(UNIS)


def test_a_record_is_told_in_a_few_lines() -> None:
    heard = {"mos": 4.39, "loss": 0, "jitter": 1, "round_trip": 0.5}
    record = {
        "started": "2026-01-01T00:00:00Z",
        "duration_ms": 7345,
        "caller": "probe",
        "called": "+49301234567",
        "from_trunk": "pbx",
        "route": "out",
        "to_trunk": "carrier",
        "code": 200,
        "cause": "caller-hung-up",
        "codec": "PCMA",
        "srtp_in": True,
        "srtp_out": False,
        "quality": {"caller": heard, "callee": None},
    }
    assert list(calls.record_lines(record)) == [
        "2026-01-01T00:00:00Z  probe > +49301234567, 7.3 s",
        "pbx > route out > carrier: 200 caller-hung-up",
        "PCMA, SRTP > RTP",
        "caller: MOS 4.39, loss 0.0 %, jitter 1.0 ms, round trip 0.5 ms",
        "callee: quality not reported",
    ]
