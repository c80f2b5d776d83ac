"""The verbs of orders: place, preview, start, hasten, cancel, retry, expire, renew; what a found state means for them.

Everything that changes what is wanted of a service goes through here. An order is written
whole or not at all; what a PoP did about it is brought by `services.reports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from naas.core.errors import Conflict, Invalid, Problem
from services import certificates, dispatch, events
from services.addresses import release_unused
from services.design import design, needs_of
from services.entry import ItemRequest, enter, withdraw
from services.kind import SpecError
from services.lifecycle import (
    ENDED,
    OPEN,
    ORDER,
    SERVICE,
    UNDER_WAY,
    OrderEvent,
    OrderState,
    ServiceEvent,
    ServiceState,
    after,
    order_outcome,
)
from services.limits import check_limits
from services.locks import lock_pops, lock_tenant
from services.models import (
    Action,
    Address,
    Deployment,
    OfferingSize,
    OrderItem,
    ProductOrder,
    Revision,
    ServiceInstance,
)
from services.rehearsal import Rehearsal, rehearse
from services.secrets import reveal
from tenants import changes, scope
from tenants.actor import Actor, Role
from tenants.models import TenantStatus
from tenants.verbs import audit
from worker.errors import PermanentError
from worker.report import Phase
from worker.topology import DesiredState

#: Name of the core's task that starts an order.
START = "services.start_order"
#: Name of the core's task that tells one deployment's PoP what is wanted.
SEND = "services.send_deployment"
MOST_ITEMS = 50
#: The longest that a removal may wait.
LONGEST_GRACE = timedelta(days=30)


@dataclass(frozen=True)
class ItemPreview:
    """What one item would do: the steps at its PoP, and its price a month against that of today."""

    action: str
    service: str
    kind: str
    rehearsal: Rehearsal
    setup: Decimal
    monthly_before: Decimal
    monthly_after: Decimal
    hourly_before: Decimal
    hourly_after: Decimal
    currency: str


def place(
    *,
    actor: Actor,
    items: Sequence[ItemRequest],
    external_id: str = "",
    note: str = "",
    deadline: timedelta | None = None,
    retry_of: ProductOrder | None = None,
    grace: timedelta | None = None,
) -> ProductOrder:
    """Write an order and reserve all it needs; the core starts it as soon as that is committed.

    An order that only removes services may be given a `grace`: it waits so long, in which the services run on,
    cannot be changed otherwise, and `cancel` undoes it without a trace at a PoP.

    Raises `Invalid` with every problem of every item, `QuotaExceeded`, `CapacityExceeded`,
    `Conflict` when a service is being changed by another order; then nothing was written.
    """
    actor.require(Role.OPERATOR)
    starts_at = _begin(grace, items)
    with transaction.atomic():
        order = _enter_all(
            ProductOrder(
                tenant=actor.tenant,
                external_id=external_id,
                note=note,
                placed_by=actor.label,
                starts_at=starts_at,
                deadline=_deadline(deadline) + (grace or timedelta(0)),
                retry_of=retry_of,
            ),
            items,
        )
        waits = {"starts_at": starts_at.isoformat()} if starts_at else {}
        audit.record(actor, "order.place", order, items=_contents(order), **waits)
        if starts_at:
            _wait(order)
        else:
            transaction.on_commit(partial(dispatch.wake, START, order.pk))
    return order


def preview(*, actor: Actor, items: Sequence[ItemRequest]) -> tuple[ItemPreview, ...]:
    """What `place` would do with these items, found by doing it and taking it back. Raises what `place` raises."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        before = {
            instance.pk: (instance, design(instance)[instance.pop_id])
            for instance in scope.of(actor)
            .all(ServiceInstance)
            .filter(pk__in=[item.service for item in items if item.service])
            .exclude(state=ServiceState.TERMINATED)
            .select_related("size")
        }
        draft = ProductOrder(tenant=actor.tenant, placed_by=actor.label, deadline=_deadline(None))
        order = _enter_all(draft, items)
        listed = list(order.items.select_related("instance"))
        found = tuple(_preview(item, before.get(item.instance_id), _shared(listed, item)) for item in listed)
        transaction.set_rollback(True)
    return found


def start(*, order_id: str, now: datetime | None = None) -> None:
    """Set an order going that was acknowledged or has waited long enough: tell each item's PoP what is wanted.

    Doing it twice does no harm.
    """
    now = now or timezone.now()
    with transaction.atomic():
        order = _locked(order_id)
        if not _is_due(order, now):
            return
        if order.starts_at:
            order.deadline = now + (order.deadline - order.starts_at)
            order.save(update_fields=["deadline"])
        _move(order, OrderEvent.START)
        for item in order.items.select_related("instance"):
            if item.state == OrderState.PENDING:
                withdraw(item)
            _move(item, OrderEvent.START)
    for deployment in Deployment.unscoped.filter(instance__order_items__order=order).select_related("instance", "pop"):
        tell(deployment)


def tell(deployment: Deployment) -> None:
    """Tell a deployment's PoP what is wanted there. What can never be told parks the deployment with the reason."""
    try:
        dispatch.send_desired(deployment)
    except (PermanentError, SpecError) as error:
        with transaction.atomic():
            lock_tenant(deployment.tenant)
            deployment = Deployment.unscoped.get(pk=deployment.pk)
            deployment.phase, deployment.reason, deployment.sent_at = Phase.PARKED, str(error), timezone.now()
            deployment.save(update_fields=["phase", "reason", "sent_at"])
            settle(deployment=deployment)


def hasten(*, actor: Actor, order: ProductOrder) -> ProductOrder:
    """Have an order that waits begin now. Raises `Conflict` when it does not wait."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        order = _locked(order.pk)
        if order.state != OrderState.PENDING or order.starts_at is None:
            raise Conflict(f"order {order.pk} is {order.state}; only one that waits can begin earlier")
        now = timezone.now()
        order.starts_at, order.deadline = now, now + (order.deadline - order.starts_at)
        order.save(update_fields=["starts_at", "deadline"])
        audit.record(actor, "order.hasten", order, items=_contents(order))
        transaction.on_commit(partial(dispatch.wake, START, order.pk))
    return order


def cancel(*, actor: Actor, order: ProductOrder) -> ProductOrder:
    """Stop an order that is on its way and undo what it has done so far; of one that waits that is nothing.

    Items that are complete stay as they are. Raises `Conflict` when the order has ended.
    """
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        order = _locked(order.pk)
        if order.state in ENDED | {OrderState.PENDING_CANCELLATION}:
            raise Conflict(f"order {order.pk} is {order.state} and cannot be cancelled")
        _move(order, OrderEvent.REQUEST_CANCELLATION, OrderEvent.ACCEPT_CANCELLATION)
        order.deadline = _deadline(None)
        order.save(update_fields=["deadline"])
        for item in order.items.filter(state__in=OPEN).select_related("instance"):
            waited = item.state == OrderState.PENDING
            _move(item, OrderEvent.REQUEST_CANCELLATION, OrderEvent.ACCEPT_CANCELLATION)
            if waited:
                _move(item, OrderEvent.CANCEL)
                events.note(item.instance, "termination.undone", f"its removal was undone by {actor.label}")
            else:
                _compensate(item)
        _settle_order(order)
        audit.record(actor, "order.cancel", order, items=_contents(order))
    return order


def retry(*, actor: Actor, order: ProductOrder) -> ProductOrder:
    """Place what failed or was cancelled of an ended order again, as a new order.

    Raises `Conflict` when the order is on its way or nothing of it failed, else what `place` raises.
    """
    lost = order.items.filter(state__in=[OrderState.FAILED, OrderState.CANCELLED]).select_related("instance", "size")
    if order.state in OPEN or not lost:
        raise Conflict(f"order {order.pk} is {order.state}; only what failed or was cancelled can be tried again")
    return place(
        actor=actor,
        items=[_again(item) for item in lost],
        external_id=order.external_id,
        note=order.note,
        retry_of=order,
        grace=order.starts_at - order.placed_at if order.starts_at else None,
    )


def expire(*, order_id: str, now: datetime) -> None:
    """Fail what an order has not done by its deadline, with the reason that its PoP gave last."""
    with transaction.atomic():
        order = _locked(order_id)
        if order.state in ENDED | {OrderState.PENDING} or order.deadline > now:
            return
        if order.state == OrderState.ACKNOWLEDGED:
            _move(order, OrderEvent.START)
        for item in order.items.filter(state__in=OPEN).select_related("instance"):
            if item.state == OrderState.ACKNOWLEDGED:
                _move(item, OrderEvent.START)
            _fail(item, f"not done by its deadline ({order.deadline:%H:%M:%S} UTC): {_why_behind(item)}")
        _settle_order(order)


#: Why there is a generation that only has another certificate.
RENEWED = "certificate renewed"


def renew(*, instance_id: str, now: datetime) -> None:
    """Give a service a new certificate before the one it uses ends, as a new generation of the same spec.

    While something else is changed about it nothing is done: the next sweep asks again.
    """
    with transaction.atomic():
        lock_tenant(ServiceInstance.unscoped.select_related("tenant").get(pk=instance_id).tenant)
        instance, revision = _present(instance_id)
        if _why_not_renewed(instance, revision):
            return
        _, names = needs_of(instance, revision)
        if certificates.ensure(instance, names, now):
            _next_generation(instance, revision.spec, revision.size, RENEWED)


@transaction.atomic
def renew_now(*, actor: Actor, instance: ServiceInstance) -> ServiceInstance:
    """Give a service a new certificate at once, as a new generation of the same spec. Raises `Conflict`."""
    actor.require(Role.OPERATOR)
    lock_tenant(actor.tenant)
    instance, revision = _present(instance.pk)
    if reason := _why_not_renewed(instance, revision):
        raise Conflict(f"{instance.name} {reason}")
    _, names = needs_of(instance, revision)
    if not names:
        raise Conflict(f"{instance.name} shows no certificate of the platform")
    certificates.replace(instance, names)
    _next_generation(instance, revision.spec, revision.size, RENEWED)
    audit.record(actor, "certificate.renew", instance, generation=instance.generation)
    return instance


def _present(instance_id: str) -> tuple[ServiceInstance, Revision]:
    """A service and what is wanted of it. Its tenant's lock is held."""
    instance = ServiceInstance.unscoped.select_related("size", "tenant").get(pk=instance_id)
    return instance, Revision.unscoped.select_related("size").get(instance=instance, generation=instance.generation)


def _why_not_renewed(instance: ServiceInstance, revision: Revision) -> str:
    if revision.spec is None:
        return "is being removed, or gone"
    # A removal that waits is no change yet, and may wait longer than a certificate lasts.
    is_ordered = OrderItem.unscoped.filter(instance=instance, state__in=UNDER_WAY).exists()
    if revision.worked_at is None or is_ordered:
        return "is being changed just now; ask again when that is done"
    return ""


def settle(*, deployment: Deployment) -> None:
    """Draw the conclusions from what a PoP was found to have: for the service, its open item and its order.

    Runs inside the transaction that recorded what was found, which holds the tenant's lock.
    Doing it twice changes nothing.
    """
    instance = ServiceInstance.unscoped.select_related("tenant").get(pk=deployment.instance_id)
    item = OrderItem.unscoped.filter(instance=instance, state__in=OPEN).select_related("order").first()
    if deployment.observed_generation >= instance.generation:
        _arrive(instance)
        if item is not None:
            _finish(item)
    elif deployment.phase == Phase.PARKED and item is not None and item.state == OrderState.IN_PROGRESS:
        _fail(item, deployment.reason)
    if item is not None:
        _settle_order(ProductOrder.unscoped.get(pk=item.order_id))


def _locked(order_id: str) -> ProductOrder:
    """The order as it is now, its tenant's lock held to the end of the transaction."""
    lock_tenant(ProductOrder.unscoped.select_related("tenant").get(pk=order_id).tenant)
    order: ProductOrder = ProductOrder.unscoped.get(pk=order_id)
    return order


def _enter_all(order: ProductOrder, items: Sequence[ItemRequest]) -> ProductOrder:
    tenant = lock_tenant(order.tenant)
    if tenant.status != TenantStatus.ACTIVE:
        raise Conflict(f"{tenant.name} is {tenant.status}; ask your provider")
    if not 1 <= len(items) <= MOST_ITEMS:
        raise Invalid([Problem("items", f"an order has 1 to {MOST_ITEMS} items, this one has {len(items)}")])
    pops = lock_pops(item.pop for item in items if item.pop)
    order.save(force_insert=True)
    problems: list[Problem] = []
    for position, request in enumerate(items):
        try:
            with transaction.atomic():
                enter(order, position, request, pops)
        except Invalid as refused:
            problems.extend(problem.under(f"items[{position}]") for problem in refused.problems)
    if problems:
        raise Invalid(problems)
    entered = order.items.select_related("instance__pop")
    check_limits(tenant, {item.instance.pop for item in entered})
    for item in entered:
        changes.note(item.instance)
    return order


def _begin(grace: timedelta | None, items: Sequence[ItemRequest]) -> datetime | None:
    """When an order with this grace begins; None: at once. Raises `Invalid`."""
    if not grace:
        return None
    if any(item.action != Action.DELETE for item in items):
        raise Invalid([Problem("grace", "only an order that removes services and does nothing else can wait")])
    if not timedelta(0) < grace <= LONGEST_GRACE:
        raise Invalid([Problem("grace", f"an order waits for {LONGEST_GRACE.days} days at most")])
    return timezone.now() + grace


def _wait(order: ProductOrder) -> None:
    """Leave an order that was entered until its time comes."""
    _move(order, OrderEvent.WAIT)
    for item in order.items.select_related("instance"):
        _move(item, OrderEvent.WAIT)
        when = f"{order.starts_at:%Y-%m-%d %H:%M:%S} UTC"
        events.note(
            item.instance, "termination.scheduled", f"{order.placed_by} has it removed at {when}; until then it runs"
        )


def _is_due(order: ProductOrder, now: datetime) -> bool:
    if order.state == OrderState.PENDING:
        return order.starts_at is not None and order.starts_at <= now
    return order.state == OrderState.ACKNOWLEDGED


def _contents(order: ProductOrder) -> list[str]:
    """What an order does, in words."""
    return [f"{item.action} {item.instance.name}" for item in order.items.select_related("instance")]


def _shared(items: Sequence[OrderItem], item: OrderItem) -> frozenset[str]:
    """The segments on which services stand that neither this item nor an earlier one takes away."""
    leaving = {earlier.instance_id for earlier in items[: item.position] if earlier.action == Action.DELETE}
    others = Address.unscoped.filter(tenant=item.tenant_id, instance__state=ServiceState.ACTIVE)
    return frozenset(
        others.exclude(instance__in=leaving | {item.instance_id}).values_list("segment_id", flat=True).distinct()
    )


def _preview(
    item: OrderItem, before: tuple[ServiceInstance, DesiredState] | None, shared: frozenset[str]
) -> ItemPreview:
    size = before[0].size if before else None
    return ItemPreview(
        action=item.action,
        service=item.instance.name,
        kind=item.instance.kind,
        rehearsal=rehearse(before[1] if before else None, design(item.instance)[item.instance.pop_id], shared),
        setup=item.setup_price,
        monthly_before=size.monthly_price if size else Decimal(0),
        monthly_after=item.monthly_price,
        hourly_before=size.hourly_price if size else Decimal(0),
        hourly_after=item.hourly_price,
        currency=item.currency,
    )


def _again(item: OrderItem) -> ItemRequest:
    if item.action == Action.ADD:
        instance = item.instance
        return ItemRequest(
            action=Action.ADD,
            kind=instance.kind,
            pop=instance.pop_id,
            name=instance.name,
            size=item.size.size,
            spec=reveal(item.spec),
        )
    if item.action == Action.MODIFY:
        return ItemRequest(action=Action.MODIFY, service=item.instance_id, size=item.size.size, spec=reveal(item.spec))
    return ItemRequest(action=Action.DELETE, service=item.instance_id)


def _arrive(instance: ServiceInstance) -> None:
    """The present generation stands: the service is what its revision says, and holds no address beyond it."""
    revision = Revision.unscoped.get(instance=instance, generation=instance.generation)
    if revision.generation > 1:  # the first one took just what it uses
        ports, names = needs_of(instance, revision)
        release_unused(instance, ports)
        certificates.release_unused(instance, names)
    if revision.worked_at is not None:
        return
    now = timezone.now()
    Revision.unscoped.filter(pk=revision.pk).update(worked_at=now)
    if revision.spec is None:
        instance.state = after(SERVICE, ServiceState(instance.state), ServiceEvent.TERMINATE)
        instance.terminated_at = now
    else:
        instance.state = after(SERVICE, ServiceState(instance.state), ServiceEvent.ACTIVATE)
        if instance.activated_at is None:
            instance.activated_at, instance.birth_certificate = now, _birth_certificate(instance, now)
    instance.save(update_fields=["state", "terminated_at", "activated_at", "birth_certificate"])
    changes.note(instance)


def _birth_certificate(instance: ServiceInstance, now: datetime) -> dict[str, Any]:
    """What proved that the service works, as its PoPs found it."""
    found = Deployment.unscoped.filter(instance=instance).order_by("pop").values_list("conditions", flat=True)
    conditions = [condition for of_pop in found for condition in of_pop]
    return {"at": now.isoformat(), "generation": instance.generation, "conditions": conditions}


def _finish(item: OrderItem) -> None:
    if item.state == OrderState.PENDING_CANCELLATION:
        _move(item, OrderEvent.CANCEL)
    elif item.state == OrderState.IN_PROGRESS:
        _move(item, OrderEvent.COMPLETE)


def _fail(item: OrderItem, reason: str) -> None:
    cancelling = item.state == OrderState.PENDING_CANCELLATION
    if not cancelling and item.action != Action.DELETE:
        undone = "it is being removed again" if item.action == Action.ADD else "its last working spec is restored"
        reason = f"{reason}; {undone}"
    else:
        reason = f"{reason}; the platform goes on trying"
    item.reason = reason
    _move(item, OrderEvent.FAIL)
    item.save(update_fields=["reason"])
    if not cancelling and item.action != Action.DELETE:
        _compensate(item)


def _compensate(item: OrderItem) -> None:
    """Undo an item by a new generation: an add is removed, anything else returns to the last working spec."""
    instance = ServiceInstance.unscoped.get(pk=item.instance_id)
    working = Revision.unscoped.filter(
        instance=instance, worked_at__isnull=False, spec__isnull=False, generation__lt=item.generation
    ).first()
    back = item.action != Action.ADD and working is not None
    if back and working:
        instance.spec, instance.size = working.spec, working.size
        instance.save(update_fields=["spec", "size"])
    spec = working.spec if back and working else None
    _next_generation(instance, spec, instance.size, f"undoes generation {item.generation}")
    item.compensation = instance.generation
    item.save(update_fields=["compensation"])


def _next_generation(instance: ServiceInstance, spec: Any, size: OfferingSize, reason: str) -> None:
    """Make this what is wanted, by nobody's order, and send it."""
    instance.generation += 1
    instance.save(update_fields=["generation"])
    Revision.unscoped.create(
        tenant=instance.tenant,
        instance=instance,
        generation=instance.generation,
        spec=spec,
        size=size,
        reason=reason,
    )
    Deployment.unscoped.filter(instance=instance).update(generation=instance.generation, phase=Phase.CONVERGING)
    changes.note(instance)
    for deployment in Deployment.unscoped.filter(instance=instance):
        transaction.on_commit(partial(dispatch.wake, SEND, str(deployment.pk)))


def _why_behind(item: OrderItem) -> str:
    deployment: Deployment = Deployment.unscoped.get(instance=item.instance)
    if deployment.reason:
        return deployment.reason
    if deployment.reported_at is None:
        return f"PoP {deployment.pop_id} has not answered"
    return f"PoP {deployment.pop_id} is still at it"


def _settle_order(order: ProductOrder) -> None:
    states = [OrderState(state) for state in order.items.values_list("state", flat=True)]
    event = order_outcome(OrderState(order.state), states)
    if event is None or order.state in ENDED:
        return
    order.reason = "; ".join(order.items.exclude(reason="").values_list("reason", flat=True))
    _move(order, event)
    order.save(update_fields=["reason"])


def _move(row: ProductOrder | OrderItem, *events: OrderEvent) -> None:
    for event in events:
        row.state = after(ORDER, OrderState(row.state), event)
    if row.state in ENDED:
        row.completed_at = timezone.now()
    row.save(update_fields=["state", "completed_at"])
    changes.note(row.order if isinstance(row, OrderItem) else row)


def _deadline(given: timedelta | None) -> datetime:
    return timezone.now() + (given or timedelta(seconds=settings.NAAS_ORDER_DEADLINE))
