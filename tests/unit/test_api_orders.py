"""The API of what is sold and what stands, as a customer uses it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection

from services import orders, reports
from services.models import Inquiry, Pop, ProductOrder, Segment, ServiceInstance, Uni
from tenants.actor import Role
from tenants.models import AuditEvent, Tenant
from tests.callers import Caller, assert_problem
from tests.unit.conftest import found, router
from worker.report import Condition, Phase, Report, Status, StepReport, StepState

SPEC = {
    "ports": [
        {"name": "lan", "segment": "lan", "addresses": ["10.1.0.1/24"]},
        {"name": "wan", "segment": "core"},
    ]
}
BGP = {"asn": 65001, "neighbours": [{"address": "10.255.0.2", "remote_asn": 65002, "password": "hunter2"}]}


def add(name: str = "edge", **changes: Any) -> dict[str, Any]:
    return {"action": "add", "kind": "router", "pop": "fra1", "name": name, "size": "S", "spec": SPEC} | changes


@pytest.fixture
def caller(tenant: Tenant) -> Caller:
    return Caller(tenant, Role.OPERATOR)


@pytest.fixture
def site(lan: Segment, core: Segment) -> tuple[Segment, Segment]:
    return lan, core


# --- what can be had and where ----------------------------------------------------------


def test_an_offering_says_everything_that_an_order_needs(caller, pop):
    offering = caller.get("offerings", kind="router").json()["results"][0]
    assert {size["size"] for size in offering["sizes"]} == {"S", "M", "L"}
    assert offering["sizes"][0]["monthly_price"] == "29.00"
    assert offering["schema"]["properties"]["ports"]
    assert "bgp-summary" in [question["name"] for question in offering["questions"]]
    assert caller.get(f"offerings/{offering['id']}").json() == offering
    assert caller.get("offerings", on_sale="false", version=1).json()["count"] == 0


def test_a_pop_is_shown_unless_it_is_only_planned(caller, pop):
    Pop.objects.create(slug="ams1", name="Amsterdam")
    listed = caller.get("pops").json()["results"]
    assert [(row["slug"], row["status"], row["online"]) for row in listed] == [("fra1", "open", False)]
    assert "identity" not in str(listed)
    assert_problem(caller.get("pops/ams1"), 404)


def test_a_pop_that_was_heard_of_is_online(caller, pop):
    Pop.objects.update(last_seen_at=datetime.now(UTC))
    assert caller.get("pops/fra1").json()["online"] is True


def test_a_uni_names_the_segment_on_it(caller, uni, lan):
    shown = caller.get(f"unis/{uni.pk}").json()
    assert (shown["name"], shown["pop"], shown["segment"]) == ("site-a", "fra1", lan.pk)


def test_a_segment_is_made_changed_and_removed(caller, pop):
    made = caller.post("segments", {"name": "office", "pop": "fra1", "prefixes": ["10.30.0.0/24"]})
    assert made.status_code == 201
    where = made["Location"].removeprefix("/api/v1/")
    changed = caller.patch(where, {"name": "branch", "prefixes": ["10.30.0.0/24", "2001:db8:30::/64"]}).json()
    assert (changed["name"], changed["prefixes"]) == ("branch", ["10.30.0.0/24", "2001:db8:30::/64"])
    assert caller.get(where).json() == changed
    assert caller.delete(where).status_code == 204
    assert_problem(caller.get(where), 404)


def test_a_segment_in_use_cannot_be_removed(caller, standing, lan):
    assert "edge" in assert_problem(caller.delete(f"segments/{lan.pk}"), 409, "conflict")["detail"]


# --- orders -----------------------------------------------------------------------------


def test_an_order_is_placed_followed_and_found_completed(caller, site):
    placed = caller.post("orders", {"items": [add()], "external_id": "po-7", "note": "first"})
    assert placed.status_code == 201
    order = placed.json()
    assert (order["state"], order["external_id"], order["items"][0]["steps"]) == ("acknowledged", "po-7", [])
    orders.start(order_id=order["id"])
    instance = ServiceInstance.unscoped.get()
    step = StepReport("r", 0, 1, "add-vnf", "router", "missing", StepState.DONE, 2e9, 0.25)
    reports.take(Report("fra1", instance.pk, 1, Phase.CONVERGED, steps=(step,), at=2e9))
    followed = caller.get(placed["Location"].removeprefix("/api/v1/")).json()
    assert (followed["state"], followed["items"][0]["service"]["state"]) == ("completed", "active")
    assert [(s["action"], s["state"], s["duration_ms"]) for s in followed["items"][0]["steps"]] == [
        ("add-vnf", "done", 250.0)
    ]


def test_an_order_is_audited_with_who_and_from_where(caller, site):
    order = caller.post("orders", {"items": [add()]}).json()
    line = AuditEvent.unscoped.get(verb="order.place", object_id=order["id"])
    assert (line.actor_kind, line.address) == ("token", "127.0.0.1")


def test_the_same_order_twice_under_one_key_is_one_order(caller, site):
    first, second = (caller.post("orders", {"items": [add()]}, key="k") for _ in range(2))
    assert first.json() == second.json()
    assert ProductOrder.unscoped.count() == 1


def test_a_preview_tells_steps_and_prices_and_writes_nothing(caller, site):
    shown = caller.post("orders/preview", {"items": [add(), add("core-1", spec=SPEC | {"ports": SPEC["ports"][1:]})]})
    assert shown.status_code == 200
    preview = shown.json()
    assert [item["service"] for item in preview["items"]] == ["edge", "core-1"]
    assert preview["items"][0]["steps"]
    assert (preview["monthly_difference"], preview["items"][0]["currency"]) == ("58.00", "EUR")
    assert not ServiceInstance.unscoped.exists()


def test_a_preview_under_a_key_writes_nothing_either(caller, site):
    assert caller.post("orders/preview", {"items": [add()]}, key="k").status_code == 200
    assert not ProductOrder.unscoped.exists()


def test_an_order_can_be_cancelled_once(caller, site):
    order = caller.post("orders", {"items": [add()]}).json()
    assert caller.post(f"orders/{order['id']}/cancel").json()["state"] == "pendingCancellation"
    assert_problem(caller.post(f"orders/{order['id']}/cancel"), 409, "conflict")


def test_a_failed_order_can_be_tried_again(caller, site):
    order = caller.post("orders", {"items": [add()]}).json()
    orders.start(order_id=order["id"])
    found(ServiceInstance.unscoped.get(), Phase.PARKED, "no such image")
    found(ServiceInstance.unscoped.get(), Phase.GONE)
    again = caller.post(f"orders/{order['id']}/retry")
    assert (again.status_code, again.json()["retry_of"]) == (201, order["id"])
    assert "no such image" in caller.get(f"orders/{order['id']}").json()["reason"]


def test_orders_can_be_found_by_state_service_and_reference(caller, standing):
    caller.post("orders", {"items": [{"action": "delete", "service": standing.pk}], "external_id": "po-8"})
    assert caller.get("orders").json()["count"] == 2
    assert caller.get("orders", state="completed").json()["count"] == 1
    assert caller.get("orders", service=standing.pk).json()["count"] == 2
    assert caller.get("orders", external_id="po-8").json()["count"] == 1
    assert caller.get("orders", ordering="placed_at").json()["results"][0]["state"] == "completed"


# --- services ---------------------------------------------------------------------------


def test_a_service_shows_what_is_wanted_and_what_was_found(caller, standing, lan):
    found(standing, Phase.CONVERGED, "", Condition("BgpUp", Status.FALSE, "10.255.0.2 is idle"))
    shown = caller.get(f"services/{standing.pk}").json()
    assert (shown["state"], shown["health"], shown["size"]) == ("active", "degraded", "S")
    assert shown["conditions"] == [
        {"type": "BgpUp", "status": "false", "message": "10.255.0.2 is idle", "readiness": False}
    ]
    assert {"port": "lan", "segment": lan.pk, "address": "10.1.0.1/24", "automatic": False} in shown["addresses"]
    assert shown["deployments"][0]["observed_generation"] == 1
    assert shown["events"][0]["type"] == "health.degraded"


def test_no_answer_holds_a_secret(caller, site):
    order = caller.post("orders", {"items": [add(spec=SPEC | {"bgp": BGP})]}, key="k")
    assert order.status_code == 201, order.content
    service = order.json()["items"][0]["service"]["id"]
    pages = (f"services/{service}", f"orders/{order.json()['id']}", "orders", "services", "audit")
    answers = [order, *(caller.get(page) for page in pages)]
    for answer in answers:
        assert answer.status_code < 300
        assert b"hunter2" not in answer.content
    masked = answers[1].json()["spec"]["bgp"]["neighbours"][0]["password"]
    assert masked == "********"


def test_a_masked_secret_is_kept_when_it_comes_back(caller, site):
    order = caller.post("orders", {"items": [add(spec=SPEC | {"bgp": BGP})]}).json()
    orders.start(order_id=order["id"])
    instance = ServiceInstance.unscoped.get()
    found(instance, Phase.CONVERGED)
    spec = caller.get(f"services/{instance.pk}").json()["spec"]
    assert caller.patch(f"services/{instance.pk}", {"spec": spec}).status_code == 202


def test_changing_a_service_places_an_order(caller, standing):
    answer = caller.patch(f"services/{standing.pk}", {"size": "M", "name": "bigger"})
    assert answer.status_code == 202
    order = answer.json()
    assert answer["Location"] == f"/api/v1/orders/{order['id']}"
    assert (order["items"][0]["action"], order["items"][0]["generation"]) == ("modify", 2)
    assert caller.get(f"services/{standing.pk}").json()["name"] == "bigger"


def test_what_is_wrong_with_a_change_is_said_as_of_the_change(caller, standing):
    spec = {"ports": [{"name": "lan", "segment": "nowhere"}]}
    assert_problem(caller.patch(f"services/{standing.pk}", {"spec": spec}), 400, "invalid", "spec.ports[0].segment")
    assert_problem(caller.patch(f"services/{standing.pk}", {}), 400, "invalid", "spec")


def test_deleting_a_service_places_an_order(caller, standing):
    answer = caller.delete(f"services/{standing.pk}")
    assert (answer.status_code, answer.json()["items"][0]["action"]) == (202, "delete")
    assert_problem(caller.delete(f"services/{standing.pk}"), 409, "conflict")


def arrived(service: ServiceInstance) -> None:
    orders.start(order_id=ProductOrder.unscoped.latest("placed_at").pk)
    service.refresh_from_db()
    found(service, Phase.CONVERGED)


def test_a_service_goes_back_to_an_earlier_generation_with_its_secrets(caller, standing):
    place = f"services/{standing.pk}"
    first = caller.get(place).json()["spec"]
    assert caller.patch(place, {"spec": SPEC}).status_code == 202
    arrived(standing)
    order = caller.patch(place, {"revert_to": 1})
    assert order.status_code == 202
    assert caller.get(place).json()["spec"] == first
    generations = caller.get(f"{place}/generations").json()["results"]
    assert [(row["generation"], row["reason"]) for row in generations] == [
        (3, "as generation 1 was"),
        (2, "modified"),
        (1, "ordered"),
    ]
    assert_problem(caller.patch(place, {"revert_to": 1}), 409)
    arrived(standing)
    for wrong, where in (
        ({"revert_to": 3}, "revert_to"),
        ({"revert_to": 9}, "revert_to"),
        ({"revert_to": 1, "spec": SPEC}, "spec"),
        ({"revert_to": "1"}, "revert_to"),
        ({"revert_to": 0}, "revert_to"),
    ):
        assert_problem(caller.patch(place, wrong), 400, "invalid", where)


def test_who_may_order_may_have_a_service_healed(caller, standing, tenant):
    healed = caller.post(f"services/{standing.pk}/heal", {})
    assert (healed.status_code, healed.json()["id"]) == (202, standing.pk)
    assert AuditEvent.unscoped.filter(verb="deployment.heal").count() == 1
    assert_problem(Caller(tenant, Role.VIEWER).post(f"services/{standing.pk}/heal", {}), 403)


def test_services_can_be_filtered(caller, standing):
    for query, count in (
        ({"name": "edge"}, 1),
        ({"name": "other"}, 0),
        ({"state": "active"}, 1),
        ({"pop": "fra1", "kind": "router", "size": "S"}, 1),
        ({"health": "down"}, 0),
    ):
        assert caller.get("services", **query).json()["count"] == count, query
    problem = assert_problem(caller.get("services", state="on"), 400, "invalid", "state")
    assert problem["detail"].startswith("state: use one of: feasibilityChecked, designed,")


def test_events_come_newest_first(caller, standing):
    found(standing, Phase.CONVERGED, "", Condition("BgpUp", Status.FALSE, "idle"))
    events = caller.get(f"services/{standing.pk}/events").json()
    assert events["count"] == len(events["results"]) > 1
    assert events["results"][0]["id"] > events["results"][-1]["id"]
    assert caller.get(f"services/{standing.pk}/events", type="nothing").json()["count"] == 0


def test_a_viewer_reads_everything_and_changes_nothing(tenant, standing, lan):
    viewer = Caller(tenant, Role.VIEWER)
    assert viewer.get(f"services/{standing.pk}").status_code == 200
    for answer in (
        viewer.post("orders", {"items": [add("other")]}),
        viewer.post("orders/preview", {"items": [add("other")]}),
        viewer.patch(f"services/{standing.pk}", {"size": "M"}),
        viewer.delete(f"services/{standing.pk}"),
        viewer.delete(f"segments/{lan.pk}"),
    ):
        assert_problem(answer, 403, "forbidden")


# --- the looking glass ------------------------------------------------------------------


def test_a_question_is_taken_down_and_answered_later(tenant, standing):
    viewer = Caller(tenant, Role.VIEWER)
    asked = viewer.post(f"services/{standing.pk}/inquiries", {"question": "bgp-summary"})
    assert (asked.status_code, asked.json()["state"]) == (202, "open")
    Inquiry.unscoped.update(state="answered", output="all well", status=0)
    answer = viewer.get(asked["Location"].removeprefix("/api/v1/")).json()
    assert (answer["state"], answer["output"], answer["status"]) == ("answered", "all well", 0)
    assert viewer.get(f"services/{standing.pk}/inquiries", state="answered").json()["count"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_question_with_patience_is_answered_at_once(tenant, standing):
    def answer() -> None:
        for _ in range(100):
            # SQLite in memory refuses where a file would wait: try again.
            with suppress(OperationalError):
                if Inquiry.unscoped.update(state="answered", output="pong", status=0):
                    break
            time.sleep(0.02)
        connection.close()

    pop = threading.Thread(target=answer)
    pop.start()
    asked = Caller(tenant).post(
        f"services/{standing.pk}/inquiries",
        {"question": "ping", "arguments": {"destination": "10.1.0.2"}},
        key="k",
        Prefer="respond-async, wait=10",
    )
    pop.join()
    assert (asked.status_code, asked.json()["output"]) == (201, "pong")
    assert asked["Preference-Applied"] == "wait=10"


def test_patience_ends(caller, standing):
    began = time.monotonic()
    asked = caller.post(f"services/{standing.pk}/inquiries", {"question": "bgp-summary"}, Prefer="wait=1")
    assert asked.status_code == 202
    assert 1 <= time.monotonic() - began < 3


def test_only_an_active_service_answers(caller, standing):
    ServiceInstance.unscoped.update(state="inactive")
    answer = caller.post(f"services/{standing.pk}/inquiries", {"question": "bgp-summary"})
    assert_problem(answer, 409, "conflict")


# --- how much is asked of the database ----------------------------------------------------


@pytest.mark.parametrize("path", ["services", "orders", "segments", "unis"])
def test_a_longer_list_takes_no_more_queries(
    caller, actor, standing, uni, path, django_assert_max_num_queries, django_assert_num_queries
):
    caller.get(path)
    with django_assert_max_num_queries(8) as first:
        caller.get(path)
        taken = len(first.captured_queries)
    for number in range(3):
        order = orders.place(actor=actor, items=[small(f"more-{number}")])
        Uni.unscoped.create(tenant=uni.tenant, pop=uni.pop, name=f"u{number}", interface=f"u{number}")
        caller.post("segments", {"name": f"s{number}", "pop": "fra1", "prefixes": [f"10.4{number}.0.0/24"]})
        assert order.pk
    with django_assert_num_queries(taken):
        caller.get(path)


def small(name: str) -> Any:
    return router(name, ports=[{"name": "wan", "segment": "core"}])


def test_a_longer_order_takes_no_more_queries(
    caller, actor, site, django_assert_max_num_queries, django_assert_num_queries
):
    one = orders.place(actor=actor, items=[small("one")])
    more = orders.place(actor=actor, items=[small("two"), small("three")])
    caller.get(f"orders/{one.pk}")
    with django_assert_max_num_queries(9) as first:
        caller.get(f"orders/{one.pk}")
        taken = len(first.captured_queries)
    with django_assert_num_queries(taken):
        caller.get(f"orders/{more.pk}")
