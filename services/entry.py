"""Enters one item of an order into the rows: checks it, reserves for it, and says what is wrong with it.

Runs inside the transaction of `services.orders`, with the tenant's and the PoPs' locks held;
what it raises undoes everything it wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from naas.core.errors import Conflict, Invalid, NotFound, Problem
from services import certificates
from services.addresses import allocate
from services.catalogue import size_on_sale
from services.design import certified_names, compose, parse, placed_ports
from services.kind import Kind, Spec, SpecError
from services.lifecycle import OPEN, SERVICE, OrderState, ServiceEvent, ServiceState, after
from services.models import (
    Action,
    Deployment,
    OfferingSize,
    OrderItem,
    Pop,
    PopStatus,
    ProductOrder,
    Revision,
    ServiceInstance,
)
from services.registry import check_spec, kind_named, kinds
from services.secrets import keep, new_seed, protect, reveal
from tenants import scope

T = TypeVar("T")

SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}")


@dataclass(frozen=True)
class ItemRequest:
    """One thing asked for.

    An add takes kind, pop, name, size and spec; a modify takes service and any of name, size
    and spec, or in place of size and spec `revert_to`, a generation whose size and spec are meant; a delete takes
    service alone.
    """

    action: str
    kind: str | None = None
    pop: str | None = None
    name: str | None = None
    size: str | None = None
    spec: Mapping[str, Any] | None = None
    service: str | None = None
    revert_to: int | None = None


def enter(order: ProductOrder, position: int, request: ItemRequest, pops: Mapping[str, Pop]) -> OrderItem:
    """Write the item with the generation that does it. Raises `Invalid`, `Conflict`."""
    match request.action:
        case Action.ADD:
            return _add(order, position, request, pops)
        case Action.MODIFY:
            return _modify(order, position, request)
        case Action.DELETE:
            return _delete(order, position, request)
    raise Invalid([Problem("action", f"{request.action!r} is not one of add, modify, delete")])


def _add(order: ProductOrder, position: int, request: ItemRequest, pops: Mapping[str, Pop]) -> OrderItem:
    _refuse_fields(request, "service", "revert_to")
    if request.kind is None or request.spec is None or request.pop is None:
        missing = [field for field in ("kind", "pop", "spec") if getattr(request, field) is None]
        raise Invalid(Problem(field, "an add needs this") for field in missing)
    kind = kind_named(request.kind)
    size = size_on_sale(kind.name, request.size or "S")
    pop = _open_pop(request.pop, pops)
    name = _name(order, request.name)
    spec = _under_spec(lambda: parse(kind, _wanted(None, request.spec)))
    instance = ServiceInstance.unscoped.create(
        tenant=order.tenant,
        pop=pop,
        kind=kind.name,
        name=name,
        size=size,
        spec={},
        seed=new_seed(),
        state=ServiceState.DESIGNED,
    )
    Deployment.unscoped.create(tenant=order.tenant, instance=instance, pop=pop, generation=1)
    stored = _want(instance, kind, spec, size, "ordered")
    instance.state = after(SERVICE, ServiceState(instance.state), ServiceEvent.RESERVE)
    instance.save(update_fields=["state"])
    return _item(order, position, Action.ADD, instance, size, stored)


def _modify(order: ProductOrder, position: int, request: ItemRequest) -> OrderItem:
    _refuse_fields(request, "kind", "pop")
    instance = _service(order, request)
    kind = kinds()[instance.kind]
    asked, reason = request.size, "modified"
    if request.revert_to is not None:
        _refuse_fields(request, "size", "spec", beside="revert_to")
        earlier = _earlier(instance, request.revert_to)
        asked, wanted, reason = earlier.size.size, reveal(earlier.spec), f"as generation {earlier.generation} was"
    else:
        if request.spec is None and request.size is None and request.name is None:
            raise Invalid([Problem("spec", "a modify needs a spec, a size or a name")])
        wanted = _under_spec(lambda: _wanted(instance, request.spec))
    size = instance.size
    if asked is not None and asked != size.size:
        size = size_on_sale(kind.name, asked)
    spec = _under_spec(lambda: parse(kind, wanted))
    if request.name is not None and request.name != instance.name:
        instance.name = _name(order, request.name)
    _next_generation(instance)
    stored = _want(instance, kind, spec, size, reason)
    return _item(order, position, Action.MODIFY, instance, size, stored)


def _delete(order: ProductOrder, position: int, request: ItemRequest) -> OrderItem:
    _refuse_fields(request, "kind", "pop", "name", "size", "spec", "revert_to")
    instance = _service(order, request)
    item = _item(order, position, Action.DELETE, instance, instance.size, None)
    if order.starts_at is None:
        withdraw(item)
    else:
        item.generation = 0
        item.save(update_fields=["generation"])
    return item


def withdraw(item: OrderItem) -> None:
    """From now on nothing is wanted of the service that the item removes."""
    instance = item.instance
    _next_generation(instance)
    Revision.unscoped.create(
        tenant_id=item.tenant_id,
        instance=instance,
        generation=instance.generation,
        spec=None,
        size=instance.size,
        reason="deleted",
    )
    instance.save(update_fields=["generation"])
    item.generation = instance.generation
    item.save(update_fields=["generation"])


def _want(instance: ServiceInstance, kind: Kind, spec: Spec, size: OfferingSize, reason: str) -> dict[str, Any]:
    """Make this spec what is wanted of the instance.

    It is pinned to segments, gets addresses and certificate, and is rendered once as a check.
    """
    _under_spec(lambda: check_spec(instance, spec))
    ports = _under_spec(lambda: placed_ports(instance, kind.ports(spec)))
    stored = protect(spec)
    for port in ports:
        _pin(stored, f"{port.request.path}.segment", port.segment.pk)
    instance.spec, instance.size = stored, size
    instance.save(update_fields=["spec", "size", "generation", "name"])
    Revision.unscoped.create(
        tenant=instance.tenant,
        instance=instance,
        generation=instance.generation,
        spec=stored,
        size=size,
        reason=reason,
    )
    _under_spec(lambda: allocate(instance, ports))
    _under_spec(lambda: certificates.ensure(instance, certified_names(instance, kind, spec, size, ports)))
    _under_spec(lambda: compose(instance, kind, spec, size, ports))
    return stored


def _next_generation(instance: ServiceInstance) -> None:
    instance.generation += 1
    Deployment.unscoped.filter(instance=instance).update(generation=instance.generation)


def _item(
    order: ProductOrder,
    position: int,
    action: Action,
    instance: ServiceInstance,
    size: OfferingSize,
    stored: dict[str, Any] | None,
) -> OrderItem:
    item: OrderItem = OrderItem.unscoped.create(
        tenant=order.tenant,
        order=order,
        position=position,
        action=action,
        instance=instance,
        size=size,
        spec=stored,
        generation=instance.generation,
        setup_price=size.setup_price if action is Action.ADD else 0,
        monthly_price=size.monthly_price if action is not Action.DELETE else 0,
        hourly_price=size.hourly_price if action is not Action.DELETE else 0,
        currency=size.currency,
    )
    return item


def _open_pop(slug: str, pops: Mapping[str, Pop]) -> Pop:
    pop = pops.get(slug)
    if pop is None:
        known = ", ".join(Pop.objects.filter(status=PopStatus.OPEN).values_list("slug", flat=True))
        raise Invalid([Problem("pop", f"there is no PoP {slug!r}; open are: {known or 'none'}")])
    if pop.status != PopStatus.OPEN:
        raise Invalid([Problem("pop", f"PoP {slug} takes no new services now ({pop.get_status_display()})")])
    return pop


def _name(order: ProductOrder, name: str | None) -> str:
    if name is None:
        raise Invalid([Problem("name", "give the service a name")])
    if not SERVICE_NAME.fullmatch(name):
        raise Invalid([Problem("name", "use up to 63 letters, digits, spaces, '.', '_' and '-', the first no sign")])
    living = scope.of(order.tenant).all(ServiceInstance).exclude(state=ServiceState.TERMINATED)
    if living.filter(name=name).exists():
        raise Invalid([Problem("name", f"you have a service called {name!r} already")])
    return name


def _service(order: ProductOrder, request: ItemRequest) -> ServiceInstance:
    if request.service is None:
        raise Invalid([Problem("service", f"a {request.action} needs the id of a service")])
    try:
        instance = scope.of(order.tenant).get(ServiceInstance, request.service)
    except NotFound as error:
        raise Invalid([Problem("service", str(error))]) from error
    if instance.state == ServiceState.TERMINATED:
        raise Invalid([Problem("service", f"{instance.name} is terminated")])
    pending = OrderItem.unscoped.filter(instance=instance, state__in=OPEN).select_related("order").first()
    if pending is not None and pending.order_id == order.pk:
        raise Invalid([Problem("service", f"items[{pending.position}] is about {instance.name} already; join the two")])
    if pending is not None and pending.state == OrderState.PENDING:
        raise Conflict(
            f"{instance.name} is removed by order {pending.order_id} at {pending.order.starts_at:%Y-%m-%d %H:%M} UTC;"
            " undo that (cancel the order), or have the order begin now",
            Problem("service", "its removal is under way; it can be undone"),
        )
    if pending is not None:
        raise Conflict(
            f"{instance.name} is being changed by order {pending.order_id}; wait for it or cancel it",
            Problem("service", "an order is in flight"),
        )
    latest = Revision.unscoped.get(instance=instance, generation=instance.generation)
    if latest.spec is None:
        raise Conflict(f"{instance.name} is being removed", Problem("service", "it is being removed"))
    return instance


def _earlier(instance: ServiceInstance, generation: int) -> Revision:
    """A generation to go back to: another than the one that is wanted now, and not a removal."""
    found = Revision.unscoped.filter(instance=instance, generation=generation, spec__isnull=False)
    revision: Revision | None = found.select_related("size").first()
    if revision is None or generation == instance.generation:
        known = instance.revisions.filter(spec__isnull=False).exclude(generation=instance.generation)
        others = ", ".join(str(number) for number in known.order_by("generation").values_list("generation", flat=True))
        why = "is what is wanted now" if revision else "is not there"
        raise Invalid([Problem("revert_to", f"generation {generation} {why}; there are: {others or 'no others'}")])
    return revision


def _wanted(instance: ServiceInstance | None, given: Mapping[str, Any] | None) -> Any:
    """The spec that is meant, its kept secrets in the clear: the given one, or the one that is there.

    A new service has no secret to keep: a spec copied from an answer must not make the mask a password.
    """
    stored = instance.spec if instance else None
    if given is None:
        return reveal(stored)
    wanted, problems = keep(given, stored)
    if problems:
        raise Invalid(problems)
    return wanted


def _under_spec(step: Callable[[], T]) -> T:
    """What `step` gives; the problems it raises come out as problems of the item's `spec`."""
    try:
        return step()
    except (Invalid, SpecError) as error:
        raise Invalid(problem.under("spec") for problem in error.problems) from error


def _pin(document: Any, path: str, value: str) -> None:
    """Set the field at `path` (as in `ports[1].segment`), so that a renamed segment stays the same one."""
    *way, last = re.findall(r"\w+", path)
    for part in way:
        document = document[int(part) if part.isdigit() else part]
    document[last] = value


def _refuse_fields(request: ItemRequest, *fields: str, beside: str = "") -> None:
    given = [field for field in fields if getattr(request, field) is not None]
    if given:
        what = f"a {request.action} with {beside}" if beside else f"a {request.action}"
        raise Invalid(Problem(field, f"{what} does not take this") for field in given)
