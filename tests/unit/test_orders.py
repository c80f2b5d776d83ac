"""The verbs of orders against the tables: what is written, what follows from what a PoP finds, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from naas.core.errors import CapacityExceeded, Conflict, Forbidden, Invalid, QuotaExceeded
from services import orders, reports, sweep
from services.design import design
from services.entry import ItemRequest
from services.lifecycle import Health, OrderState, ServiceState
from services.models import (
    Address,
    Deployment,
    DeploymentStep,
    OrderItem,
    Pop,
    PopStatus,
    ProductOrder,
    Revision,
    Segment,
    ServiceInstance,
)
from tenants.actor import Actor, ActorKind, Role
from tenants.models import AuditEvent, Quota, Tenant, TenantStatus
from tests.unit.conftest import found, fresh, ordered, router
from worker.report import Condition, Phase, Report, Status, StepReport, StepState

pytestmark = pytest.mark.django_db


def placed(actor: Actor, *items: ItemRequest) -> ProductOrder:
    order = orders.place(actor=actor, items=items or [router()])
    orders.start(order_id=order.pk)
    return fresh(order)


def test_a_placed_order_reserves_addresses_and_is_acknowledged(actor: Actor, lan: Segment, core: Segment) -> None:
    order = orders.place(actor=actor, items=[router()])
    instance = order.items.get().instance
    assert order.state == OrderState.ACKNOWLEDGED
    assert instance.state == ServiceState.RESERVED
    assert sorted(map(str, instance.addresses.all())) == ["10.1.0.1/24", "10.255.0.1/29"]
    assert AuditEvent.unscoped.filter(verb="order.place", object_id=order.pk).count() == 1


def test_an_order_is_complete_when_the_pop_found_its_generation(actor: Actor, lan: Segment, core: Segment) -> None:
    order = placed(actor)
    assert order.state == OrderState.IN_PROGRESS
    instance = order.items.get().instance
    found(instance, Phase.CONVERGING)
    assert fresh(order).state == OrderState.IN_PROGRESS
    found(instance, Phase.CONVERGED)
    assert fresh(order).state == OrderState.COMPLETED
    assert fresh(instance).state == ServiceState.ACTIVE
    assert fresh(instance).health == Health.HEALTHY


def test_a_report_about_an_older_generation_completes_nothing(standing: ServiceInstance, actor: Actor) -> None:
    order = placed(actor, ItemRequest(action="modify", service=standing.pk, size="M"))
    from services import reports
    from worker.report import Report

    reports.take(Report("fra1", standing.pk, 1, Phase.CONVERGED, at=2_100_000_000.0))
    assert fresh(order).state == OrderState.IN_PROGRESS


def test_the_segments_of_a_spec_are_pinned_to_their_ids(standing: ServiceInstance, lan: Segment) -> None:
    assert standing.spec["ports"][0]["segment"] == lan.pk


def test_a_design_wires_each_port_with_its_address_rate_and_uplink(standing: ServiceInstance) -> None:
    state = design(standing)["fra1"]
    wires = {wire.port: wire for wire in state.wires}
    assert wires["lan"].addresses == ("10.1.0.1/24",)
    assert wires["lan"].rate_in == wires["lan"].rate_out == 1_000_000_000
    assert state.segment(wires["lan"].segment).uplink is not None
    assert state.segment(wires["wan"].segment).uplink is None
    assert wires["lan"].mac != wires["wan"].mac
    assert design(standing)["fra1"] == state


def test_a_deletion_gives_everything_back(standing: ServiceInstance, actor: Actor) -> None:
    order = placed(actor, ItemRequest(action="delete", service=standing.pk))
    assert design(fresh(standing))["fra1"].is_deletion
    found(standing, Phase.GONE)
    assert fresh(order).state == OrderState.COMPLETED
    assert fresh(standing).state == ServiceState.TERMINATED
    assert not Address.unscoped.exists()


def test_the_name_of_a_terminated_service_can_be_used_again(standing: ServiceInstance, actor: Actor) -> None:
    placed(actor, ItemRequest(action="delete", service=standing.pk))
    found(standing, Phase.GONE)
    assert orders.place(actor=actor, items=[router()]).items.get().instance.name == standing.name


def test_a_parked_add_fails_with_the_reason_and_is_torn_down(actor: Actor, lan: Segment, core: Segment) -> None:
    order = placed(actor)
    instance = order.items.get().instance
    found(instance, Phase.PARKED, "image naas/router:1 is missing")
    assert fresh(order).state == OrderState.FAILED
    assert "image naas/router:1 is missing" in fresh(order).reason
    assert design(fresh(instance))["fra1"].is_deletion
    found(instance, Phase.GONE)
    assert fresh(instance).state == ServiceState.TERMINATED
    assert not Address.unscoped.exists()
    assert fresh(order).state == OrderState.FAILED


def test_a_modify_that_misses_its_deadline_returns_to_the_last_working_spec(
    standing: ServiceInstance, actor: Actor
) -> None:
    before = design(standing)["fra1"]
    order = placed(actor, ItemRequest(action="modify", service=standing.pk, size="L"))
    sweep.sweep(order.deadline + timedelta(seconds=1))
    order, instance = fresh(order), fresh(standing)
    assert order.state == OrderState.FAILED
    assert "deadline" in order.reason
    assert instance.generation == 3
    restored = design(instance)["fra1"]
    assert (restored.vnfs, restored.wires) == (before.vnfs, before.wires)
    found(instance, Phase.CONVERGED)
    assert fresh(instance).state == ServiceState.ACTIVE


def test_one_failed_item_makes_an_order_partial(actor: Actor, lan: Segment, core: Segment) -> None:
    second = ItemRequest(
        action="add", kind="router", pop="fra1", name="two", spec={"ports": [{"name": "wan", "segment": "core"}]}
    )
    order = placed(actor, router(), second)
    one, two = order.items.all()
    found(one.instance, Phase.CONVERGED)
    assert fresh(order).state == OrderState.IN_PROGRESS
    found(two.instance, Phase.PARKED, "no room on disk")
    assert fresh(order).state == OrderState.PARTIAL
    assert fresh(one.instance).state == ServiceState.ACTIVE


def test_a_cancelled_add_is_cancelled_once_it_is_gone(actor: Actor, lan: Segment, core: Segment) -> None:
    order = placed(actor)
    orders.cancel(actor=actor, order=order)
    assert fresh(order).state == OrderState.PENDING_CANCELLATION
    found(order.items.get().instance, Phase.GONE)
    assert fresh(order).state == OrderState.CANCELLED
    assert not Address.unscoped.exists()


def test_a_cancelled_modify_returns_to_what_was_there(standing: ServiceInstance, actor: Actor) -> None:
    order = placed(actor, ItemRequest(action="modify", service=standing.pk, size="L"))
    orders.cancel(actor=actor, order=order)
    assert fresh(standing).size.size == "S"
    found(standing, Phase.CONVERGED)
    assert fresh(order).state == OrderState.CANCELLED
    assert fresh(standing).state == ServiceState.ACTIVE


def test_a_cancelled_deletion_leaves_the_service_standing(standing: ServiceInstance, actor: Actor) -> None:
    order = placed(actor, ItemRequest(action="delete", service=standing.pk))
    orders.cancel(actor=actor, order=order)
    found(standing, Phase.CONVERGED)
    assert fresh(order).state == OrderState.CANCELLED
    assert fresh(standing).state == ServiceState.ACTIVE
    assert Address.unscoped.count() == 2


def test_an_ended_order_cannot_be_cancelled(standing: ServiceInstance, actor: Actor) -> None:
    with pytest.raises(Conflict, match="completed"):
        orders.cancel(actor=actor, order=ProductOrder.unscoped.get())


def test_a_failed_order_can_be_tried_again(actor: Actor, lan: Segment, core: Segment) -> None:
    order = placed(actor)
    instance = order.items.get().instance
    found(instance, Phase.PARKED, "disk full")
    found(instance, Phase.GONE)
    again = orders.retry(actor=actor, order=fresh(order))
    assert again.retry_of == order
    assert again.items.get().instance.name == instance.name


def test_a_completed_order_cannot_be_tried_again(standing: ServiceInstance, actor: Actor) -> None:
    with pytest.raises(Conflict):
        orders.retry(actor=actor, order=ProductOrder.unscoped.get())


def test_two_orders_cannot_change_one_service_at_once(standing: ServiceInstance, actor: Actor) -> None:
    placed(actor, ItemRequest(action="modify", service=standing.pk, size="M"))
    with pytest.raises(Conflict, match="is being changed"):
        orders.place(actor=actor, items=[ItemRequest(action="modify", service=standing.pk, size="L")])


def test_one_order_cannot_change_a_service_twice(standing: ServiceInstance, actor: Actor) -> None:
    items = [ItemRequest(action="modify", service=standing.pk, size=size) for size in ("M", "L")]
    with pytest.raises(Invalid) as refused:
        orders.place(actor=actor, items=items)
    (problem,) = refused.value.problems
    assert (problem.path, problem.message) == ("items[1].service", "items[0] is about edge already; join the two")


def test_a_step_whose_end_was_never_told_is_not_running_for_ever(standing: ServiceInstance) -> None:
    deployment = Deployment.unscoped.get(instance=standing)
    begun = StepReport("r1", 0, 2, "plug", "router:lan", "missing", StepState.RUNNING, 2e9)
    progress = Report(deployment.pop_id, standing.pk, 1, Phase.CONVERGING, steps=(begun,), at=2e9)
    reports.take(progress)
    assert DeploymentStep.unscoped.get().state == StepState.RUNNING
    found(standing, Phase.CONVERGED)
    step = DeploymentStep.unscoped.get()
    assert (step.state, step.message) == (StepState.FAILED, "broken off; the PoP went on without it")


def test_a_preview_writes_nothing_and_tells_steps_and_prices(actor: Actor, lan: Segment, core: Segment) -> None:
    (item,) = orders.preview(actor=actor, items=[router()])
    assert [step.action for step in item.rehearsal.steps][:2] == ["add segment", "add segment"]
    assert item.monthly_before == 0 < item.monthly_after
    assert not ProductOrder.unscoped.exists()
    assert not ServiceInstance.unscoped.exists()
    assert not Address.unscoped.exists()


def test_a_preview_of_a_larger_size_says_what_is_interrupted(standing: ServiceInstance, actor: Actor) -> None:
    (item,) = orders.preview(actor=actor, items=[ItemRequest(action="modify", service=standing.pk, size="L")])
    assert item.rehearsal.interrupts
    assert item.monthly_after > item.monthly_before > 0
    assert fresh(standing).generation == 1


def previewed(actor: Actor, *items: ItemRequest) -> list[list[str]]:
    """The steps of each item that concern segments."""
    previews = orders.preview(actor=actor, items=items)
    return [[step.action for step in item.rehearsal.steps if "segment" in step.action] for item in previews]


def test_a_preview_leaves_a_segment_to_the_others_on_it(standing: ServiceInstance, actor: Actor) -> None:
    second = {"ports": [{"name": "lan", "segment": "lan"}]}
    assert previewed(actor, replace(router("second"), spec=second)) == [[]]
    other = ordered(actor, replace(router("second"), spec=second))
    leaving, last = (ItemRequest(action="delete", service=instance.pk) for instance in (other, standing))
    assert previewed(actor, leaving) == [[]]
    assert previewed(actor, leaving, last) == [[], ["remove segment", "remove segment"]]


def test_addresses_that_a_modify_no_longer_uses_are_given_back_only_when_it_stands(
    standing: ServiceInstance, actor: Actor
) -> None:
    ports = [{"name": "lan", "segment": "lan", "addresses": ["10.1.0.2/24"]}]
    placed(actor, ItemRequest(action="modify", service=standing.pk, spec={"ports": ports}))
    assert Address.unscoped.count() == 3
    found(standing, Phase.CONVERGED)
    assert [str(address) for address in Address.unscoped.all()] == ["10.1.0.2/24"]


def bgp(password: str) -> dict[str, Any]:
    neighbour = {"address": "10.255.0.2", "remote_asn": 65020, "password": password}
    return {"asn": 65010, "neighbours": [neighbour]}


def test_a_secret_is_encrypted_in_every_row_and_clear_only_in_the_design(
    actor: Actor, lan: Segment, core: Segment
) -> None:
    order = placed(actor, router(bgp=bgp("s3cret-of-bgp")))
    instance = order.items.get().instance
    for row in (instance, order.items.get(), Revision.unscoped.get(instance=instance)):
        assert "s3cret-of-bgp" not in str(row.spec)
    files = [file.content for c in design(instance)["fra1"].vnfs[0].containers for file in c.files]
    assert any("s3cret-of-bgp" in content for content in files)


def test_a_masked_secret_keeps_the_one_that_is_there(actor: Actor, lan: Segment, core: Segment) -> None:
    from services.secrets import mask, reveal

    order = placed(actor, router(bgp=bgp("s3cret-of-bgp")))
    instance = order.items.get().instance
    found(instance, Phase.CONVERGED)
    shown = mask(fresh(instance).spec)
    assert "s3cret-of-bgp" not in str(shown)
    placed(actor, ItemRequest(action="modify", service=instance.pk, spec=shown))
    assert reveal(fresh(instance).spec)["bgp"]["neighbours"][0]["password"] == "s3cret-of-bgp"


def test_a_masked_secret_that_is_not_there_is_refused(standing: ServiceInstance, actor: Actor) -> None:
    from services.secrets import mask

    spec = {**mask(standing.spec), "bgp": bgp("********")}
    with pytest.raises(Invalid) as refused:
        orders.place(actor=actor, items=[ItemRequest(action="modify", service=standing.pk, spec=spec)])
    assert refused.value.problems[0].path == "items[0].spec.bgp.neighbours[0].password"


def test_every_problem_of_every_item_is_told_at_once_and_nothing_is_written(
    actor: Actor, lan: Segment, core: Segment
) -> None:
    bad = [
        router(name="../etc"),
        ItemRequest(action="add", kind="teapot", pop="fra1", name="x", spec={}),
        ItemRequest(action="add", kind="router", pop="mars", name="y", spec={"ports": []}),
        ItemRequest(action="explode"),
    ]
    with pytest.raises(Invalid) as refused:
        orders.place(actor=actor, items=bad)
    paths = [problem.path for problem in refused.value.problems]
    assert {"items[0].name", "items[1].kind", "items[2].pop", "items[3].action"} <= set(paths)
    assert not ProductOrder.unscoped.exists()
    assert not OrderItem.unscoped.exists()


@pytest.mark.parametrize(
    ("address", "why"),
    [("10.2.0.1/24", "not an address of segment"), ("10.1.0.1/25", "not an address of segment")],
)
def test_an_address_outside_its_segment_is_refused(
    actor: Actor, lan: Segment, core: Segment, address: str, why: str
) -> None:
    spec = {"ports": [{"name": "lan", "segment": "lan", "addresses": [address]}]}
    item = ItemRequest(action="add", kind="router", pop="fra1", name="edge", spec=spec)
    with pytest.raises(Invalid, match=why) as refused:
        orders.place(actor=actor, items=[item])
    assert refused.value.problems[0].path == "items[0].spec.ports[0].addresses[0]"


def test_an_address_has_one_owner_in_a_segment(standing: ServiceInstance, actor: Actor) -> None:
    with pytest.raises(Invalid, match="is held by port lan of edge"):
        orders.place(actor=actor, items=[router(name="second")])


def test_an_exhausted_segment_says_so(actor: Actor, lan: Segment, core: Segment) -> None:
    port = {"ports": [{"name": "wan", "segment": "core"}]}
    for number in range(6):
        item = ItemRequest(action="add", kind="router", pop="fra1", name=f"r{number}", spec=port)
        orders.place(actor=actor, items=[item])
    with pytest.raises(Invalid, match="no free address left"):
        orders.place(actor=actor, items=[ItemRequest(action="add", kind="router", pop="fra1", name="r7", spec=port)])


def test_the_quota_is_kept(actor: Actor, lan: Segment, core: Segment, tenant: Tenant) -> None:
    Quota.unscoped.update_or_create(tenant=tenant, defaults={"services": 0})
    with pytest.raises(QuotaExceeded, match="your quota is 0"):
        orders.place(actor=actor, items=[router()])
    assert not ServiceInstance.unscoped.exists()


def test_the_capacity_of_a_pop_is_kept(actor: Actor, lan: Segment, core: Segment, pop: Pop) -> None:
    Pop.objects.filter(pk=pop.pk).update(memory_capacity_mb=100)
    with pytest.raises(CapacityExceeded, match="fra1 has no room"):
        orders.place(actor=actor, items=[router()])


def test_a_pop_in_maintenance_takes_no_new_services(actor: Actor, lan: Segment, core: Segment, pop: Pop) -> None:
    Pop.objects.filter(pk=pop.pk).update(status=PopStatus.MAINTENANCE)
    with pytest.raises(Invalid, match="takes no new services"):
        orders.place(actor=actor, items=[router()])


def test_a_viewer_may_not_order(tenant: Tenant, lan: Segment, core: Segment) -> None:
    viewer = Actor(tenant=tenant, role=Role.VIEWER, label="v", kind=ActorKind.USER)
    with pytest.raises(Forbidden):
        orders.place(actor=viewer, items=[router()])


def test_a_suspended_tenant_may_not_order(actor: Actor, lan: Segment, core: Segment, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(status=TenantStatus.SUSPENDED)
    with pytest.raises(Conflict, match="suspended"):
        orders.place(actor=actor, items=[router()])


def test_the_segment_of_another_tenant_does_not_exist(actor: Actor, lan: Segment, core: Segment) -> None:
    stranger = Actor.system(Tenant.objects.create(name="Other", slug="other"))
    spec = {"ports": [{"name": "lan", "segment": lan.pk}]}
    with pytest.raises(Invalid) as refused:
        orders.place(actor=stranger, items=[ItemRequest(action="add", kind="router", pop="fra1", name="x", spec=spec)])
    assert refused.value.problems[0].message == f"you have no segment '{lan.pk}'"


def test_the_sweep_starts_an_order_whose_wake_up_was_lost(actor: Actor, lan: Segment, core: Segment) -> None:
    order = orders.place(actor=actor, items=[router()])
    sweep.sweep(timezone.now() + timedelta(seconds=10))
    assert fresh(order).state == OrderState.IN_PROGRESS
    assert Deployment.unscoped.get().sent_at is not None


def test_the_sweep_tells_again_what_is_behind_but_not_too_often(actor: Actor, lan: Segment, core: Segment) -> None:
    placed(actor)
    Pop.objects.update(last_seen_at=timezone.now())
    now = timezone.now()
    assert not sweep.behind(now)
    assert sweep.behind(now + timedelta(seconds=20)).count() == 1


def test_a_pop_that_lost_its_disk_is_told_again(standing: ServiceInstance) -> None:
    from services import reports
    from worker.report import Beat

    reports.beat(Beat("fra1", 2_000_009_999.0))
    deployment = Deployment.unscoped.get()
    assert deployment.observed_generation == 0
    found(standing, Phase.CONVERGED)
    assert Deployment.unscoped.get().observed_generation == 1
    assert fresh(standing).state == ServiceState.ACTIVE


def test_a_failing_condition_degrades_and_a_failing_gate_takes_down(standing: ServiceInstance) -> None:
    found(standing, Phase.CONVERGED, "", Condition("NeighboursUp", Status.FALSE, "10.0.0.2 is idle"))
    assert fresh(standing).health == Health.DEGRADED
    assert "10.0.0.2 is idle" in fresh(standing).health_reason
    found(standing, Phase.CONVERGING, "", Condition("DaemonsAlive", Status.FALSE, "bgpd died", readiness=True))
    assert fresh(standing).health == Health.DOWN
    assert fresh(standing).state == ServiceState.ACTIVE


def test_an_order_for_a_pop_without_keys_fails_and_says_what_to_do(
    actor: Actor, lan: Segment, core: Segment, pop: Pop
) -> None:
    Pop.objects.filter(pk=pop.pk).update(public_identity=None)
    order = placed(actor)
    assert order.state == OrderState.FAILED
    assert "enroll_pop fra1" in order.reason
