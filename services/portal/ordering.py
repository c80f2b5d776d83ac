"""From the catalogue to an order: what is sold, a form for any kind, and the plan that is placed.

A form is the spec's (`services.portal.fields`); it is checked by previewing the very order that it would place. Nothing
is written before the plan is confirmed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from naas.core.errors import CapacityExceeded, Forbidden, Invalid, NotFound, Problem, Refusal
from services import cart, orders
from services.api.write import OrderBody
from services.bill import Price, Sum, summed
from services.catalogue import size_on_sale
from services.design import parse
from services.entry import ItemRequest
from services.kind import Kind
from services.limits import pops_with_room
from services.models import Action, CartItem, Offering, OfferingSize, Pop, PopStatus, Segment, ServiceInstance
from services.orders import ItemPreview
from services.portal import fields
from services.portal.fields import Source
from services.registry import kinds
from services.secrets import MASK, mask
from tenants.actor import Role
from tenants.api.problems import flatten
from tenants.portal.page import Page

#: AS numbers for private use (RFC 6996), from which one is proposed.
PRIVATE_ASNS = range(64512, 65535)
#: What is asked besides the spec.
HEAD = ("name", "pop", "size")
#: What stands in place of a secret where a request is shown.
HIDDEN = "SECRET"


class Catalogue(Page):
    """What can be ordered, and for how much."""

    section = "order"
    title = "Order a service"
    template = "portal/catalogue.html"
    reads = Role.OPERATOR

    def context(self) -> Mapping[str, Any]:
        offerings = Offering.objects.filter(on_sale=True, kind__in=kinds()).prefetch_related("sizes")
        blueprints = [blueprint for offering in offerings for blueprint in kinds()[offering.kind].blueprints]
        return {
            "offerings": offerings,
            "blueprints": blueprints,
            "segments": self.scope.all(Segment).exists(),
            "beside": cart.items(self.actor),
        }


class SpecForm(Page):
    """A form for the spec of a kind, checked as it is filled in."""

    template = "portal/spec_form.html"
    reads = Role.OPERATOR
    kind: Kind
    #: The size that is meant when none is asked for.
    chosen = "S"
    #: Where it can be ordered; None where that is no question.
    pops: Sequence[Pop] | None = None

    def begin(self) -> None:
        """Find what the address names. Raises `NotFound`."""
        raise NotImplementedError

    def request_of(self, document: Mapping[str, Any]) -> ItemRequest:
        """What would be ordered with this spec and what else was typed."""
        raise NotImplementedError

    def opening(self) -> dict[str, Any]:
        """The spec that the form begins with."""
        raise NotImplementedError

    @cached_property
    def sizes(self) -> list[OfferingSize]:
        rows = OfferingSize.objects.filter(offering__kind=self.kind.name, offering__on_sale=True)
        return list(rows.order_by("vcpu"))

    @property
    def pop(self) -> str:
        """The PoP whose segments can be chosen."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        self.begin()
        return self.form(self.opening(), ())

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        self.begin()
        typed = {name: request.POST.getlist(name) for name in request.POST}
        document = fields.read(self.schema, typed)
        act, _, path = request.POST.get("act", "check").partition(" ")
        match act:
            case "add":
                fields.add(document, path)
                return self.form(document, ())
            case "remove":
                fields.remove(document, path)
                return self.form(document, ())
        item = self.request_of(document)
        try:
            found = orders.preview(actor=self.actor, items=[*self.beside, self.whole(item)])
        except Forbidden:
            raise
        except Refusal as refused:
            problems = self.problems(refused, item)
            if all(problem.path in HEAD for problem in problems):
                problems = (*problems, *self.of_spec(document))
            if act == "check":
                problems = tuple(problem for problem in problems if _is_typed(problem.path, item, document))
            return self.form(document, problems)
        return self.form(document, ()) if act == "check" else self.done(act, item, found)

    @cached_property
    def beside(self) -> list[ItemRequest]:
        """What is ordered together with this, and looked at with it."""
        return []

    def whole(self, item: ItemRequest) -> ItemRequest:
        """The item with the secrets that the form does not show."""
        return item

    def done(self, act: str, item: ItemRequest, found: Sequence[ItemPreview]) -> HttpResponse:
        """What follows when all of it can be had."""
        del act
        return plan(self, [item], found)

    @property
    def schema(self) -> Mapping[str, Any]:
        return self.kind.spec.model_json_schema()

    def of_spec(self, document: Mapping[str, Any]) -> tuple[Problem, ...]:
        """What is wrong with the spec by itself, where more was not looked at yet."""
        try:
            parse(self.kind, document)
        except Invalid as refused:
            return refused.problems
        return ()

    def problems(self, refused: Refusal, item: ItemRequest) -> tuple[Problem, ...]:
        """What is wrong, by the fields of this form."""
        if isinstance(refused, CapacityExceeded) and item.kind and item.size:
            room = [pop.name for pop in pops_with_room(size_on_sale(item.kind, item.size))]
            where = f"there is room at: {', '.join(room)}" if room else "no PoP has room for this size now"
            together = ", with what else is in your order" if self.beside else ""
            return (Problem("pop", f"{refused.detail}{together}; {where}"),)
        found = (
            refused.problems if isinstance(refused, Invalid) else (Problem("", f"{refused.title}: {refused.detail}"),)
        )
        return tuple(self.by_field(problem) for problem in found)

    def by_field(self, problem: Problem) -> Problem:
        """The problem by the field of this form; one of another service of the order names that."""
        for at, other in enumerate(self.beside):
            if problem.path.startswith(f"items[{at}]"):
                return Problem("", f"{other.name}, in the same order: {problem.message}")
        own = problem.path.removeprefix(f"items[{len(self.beside)}]").removeprefix(".")
        return Problem(own.removeprefix("spec."), problem.message)

    def form(self, document: dict[str, Any], problems: Sequence[Problem]) -> HttpResponse:
        source = Source(
            {"segment": [(s.name, f"{s.name} ({_prefixes(s)})") for s in self.segments()]},
            self.proposals(document),
            problems,
        )
        page = fields.build(self.schema, self.kind.form, document, source)
        item = self.request_of(document)
        service: ServiceInstance | None = getattr(self, "service", None)
        return self.show(
            {
                "kind": self.kind,
                "form": page,
                "said": {name: [p.message for p in problems if p.path == name] for name in HEAD},
                "general": [words for words in page.problems if not words.startswith(tuple(f"{n}:" for n in HEAD))],
                "sizes": [(size, price_of(size)) for size in self.sizes],
                "bill": self.bill(item),
                "chosen": item.size or self.chosen,
                "service": service,
                "name": self.request.POST.get("name", service.name if service else self.named),
                "beside": self.beside,
                "together": self.together(item),
                "segments": bool(source.choices["segment"]),
                **shown([item]),
            }
        )

    def segments(self) -> list[Segment]:
        rows = self.scope.all(Segment).prefetch_related("prefixes")
        return list(rows.filter(pop=self.pop) if self.pop else rows)

    def proposals(self, document: Mapping[str, Any]) -> dict[str, str]:
        del document
        return {path: free_asn(self) for path, what in self.kind.proposals.items() if what == "asn"}

    #: What the service is called at first.
    named = ""

    def together(self, item: ItemRequest) -> Any:
        """What all that is ordered together costs, where that is more than this."""
        del item

    def bill(self, item: ItemRequest) -> dict[str, Any]:
        """What the chosen size costs."""
        chosen = next((size for size in self.sizes if size.size == item.size), None)
        if chosen is None:
            return {}
        price = price_of(chosen)
        return {"price": price, "first": price.first_bill(timezone.now())}


class Add(SpecForm):
    """A new service of a kind, to be ordered by itself or, by way of the cart, with others."""

    section = "order"
    has_cart = True
    #: What it takes the place of, in the cart.
    edited: CartItem | None = None

    def begin(self) -> None:
        kind = kinds().get(self.kwargs["kind"])
        if kind is None or not self.sizes_of(kind.name):
            raise NotFound(f"{self.kwargs['kind']} is not on sale")
        self.kind, self.title = kind, f"Order: {kind.title}"
        self.pops = list(Pop.objects.filter(status=PopStatus.OPEN))

    def sizes_of(self, kind: str) -> bool:
        return OfferingSize.objects.filter(offering__kind=kind, offering__on_sale=True).exists()

    @property
    def pop(self) -> str:
        first = self.edited.pop_id if self.edited else ""
        given = self.request.POST.get("pop") or self.request.GET.get("pop") or first
        pops = self.pops or ()
        return given or (pops[0].pk if len(pops) == 1 else "")

    def opening(self) -> dict[str, Any]:
        return {}

    def request_of(self, document: Mapping[str, Any]) -> ItemRequest:
        typed = self.request.POST
        return ItemRequest(
            action=Action.ADD,
            kind=self.kind.name,
            pop=self.pop or None,
            name=typed.get("name", "").strip() or None,
            size=typed.get("size") or (self.edited.size if self.edited else "S"),
            spec=document,
        )

    @property
    def named(self) -> str:  # type: ignore[override]  # read only
        return self.edited.name if self.edited else ""

    @cached_property
    def beside(self) -> list[ItemRequest]:
        others = cart.items(self.actor)
        return [cart.request_of(other) for other in others if self.edited is None or other.pk != self.edited.pk]

    def whole(self, item: ItemRequest) -> ItemRequest:
        return replace(item, spec=cart.with_secrets(item.spec, self.edited)) if self.edited else item

    def together(self, item: ItemRequest) -> Any:
        if not self.beside:
            return None
        asked = [*self.beside, item]
        found = [sizes_sold().get((str(one.kind), str(one.size))) for one in asked]
        return summed([price_of(size) for size in found if size], timezone.now())

    def done(self, act: str, item: ItemRequest, found: Sequence[ItemPreview]) -> HttpResponse:
        if act == "plan" and not self.beside and self.edited is None:
            return super().done(act, item, found)
        kept = cart.put(actor=self.actor, request=item, replaces=self.edited)
        self.say(f"{kept.name} is in your order; nothing is ordered yet.")
        return self.redirect("order-new" if act == "another" else "cart")


class Configuration(SpecForm):
    """Another spec or size for a service that stands."""

    section = "services"

    def begin(self) -> None:
        self.service = self.scope.get(ServiceInstance, self.kwargs["id"])
        self.kind, self.title = kinds()[self.service.kind], f"Configure {self.service.name}"
        self.chosen = self.service.size.size

    @property
    def pop(self) -> str:
        return self.service.pop_id

    def opening(self) -> dict[str, Any]:
        stored: dict[str, Any] = without_defaults(self.schema, mask(self.service.spec))
        names = dict(self.scope.all(Segment).values_list("pk", "name"))
        renamed: dict[str, Any] = _renamed(stored, names)
        return renamed

    def request_of(self, document: Mapping[str, Any]) -> ItemRequest:
        size = self.request.POST.get("size") or self.service.size.size
        name = self.request.POST.get("name", "").strip() or self.service.name
        return ItemRequest(
            action=Action.MODIFY,
            service=self.service.pk,
            size=size if size != self.service.size.size else None,
            name=name if name != self.service.name else None,
            spec=document,
        )

    def bill(self, item: ItemRequest) -> dict[str, Any]:
        chosen = item.size or self.service.size.size
        size = next((size for size in self.sizes if size.size == chosen), self.service.size)
        return {"price": price_of(size), "before": price_of(self.service.size)}


class Remove(Page):
    """What removing a service would do. The plan asks before it is done."""

    section = "services"
    reads = Role.OPERATOR

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        service = self.scope.get(ServiceInstance, self.kwargs["id"])
        items = [ItemRequest(action=Action.DELETE, service=service.pk)]
        return plan(self, items, orders.preview(actor=self.actor, items=items))


class Place(Page):
    """Places the order of a plan."""

    section = "order"
    template = "portal/plan.html"

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        return self.redirect("order-new")

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        body = _parsed(request.POST.get("items", ""), request.POST.get("note", "").strip(), request.POST.get("grace"))
        order = orders.place(actor=self.actor, items=body.requests(), **body.options())
        cart.take_out(actor=self.actor, ids=request.POST.getlist("cart"))
        return self.redirect("order", id=order.pk)

    def refuse(self, refused: Refusal) -> HttpResponse:
        """Between plan and order something has changed: it is said where the plan was."""
        return self.show({"refused": refused}, template="portal/refused.html", status=refused.status)


def plan(
    page: Page, items: Sequence[ItemRequest], found: Sequence[ItemPreview], taken: Sequence[str] = ()
) -> HttpResponse:
    """The page that says what an order would do, and places it; then these are taken out of the cart."""
    before = sum((item.monthly_before for item in found), Decimal(0))
    after = sum((item.monthly_after for item in found), Decimal(0))
    grace = settings.NAAS_TERMINATION_GRACE if all(item.action == Action.DELETE for item in items) else 0
    context = {
        "title": "The plan",
        "found": found,
        "setup": sum((item.setup for item in found), Decimal(0)),
        "before": before,
        "after": after,
        "difference": after - before,
        "currency": found[0].currency if found else "EUR",
        "document": json.dumps([_plain(item) for item in items]),
        "interrupts": sorted({name for item in found for name in item.rehearsal.interrupts}),
        "removes": [item.service for item in found if item.action == Action.DELETE],
        "grace": grace,
        "taken": taken,
        "bill": _bill(found) if any(item.action == Action.ADD for item in items) else None,
        **shown(items, grace),
    }
    answer = page.show(context, template="portal/plan.html")
    # It may hold secrets that were just typed.
    answer["Cache-Control"] = "no-store"
    return answer


def _bill(found: Sequence[ItemPreview]) -> Sum:
    """What the new services of an order cost together."""
    added = [item for item in found if item.action == Action.ADD]
    return summed(
        [Price(item.setup, item.hourly_after, item.monthly_after, item.currency) for item in added], timezone.now()
    )


def sizes_sold() -> dict[tuple[str, str], OfferingSize]:
    """What is on sale, by kind and size."""
    rows = OfferingSize.objects.filter(offering__on_sale=True).select_related("offering")
    return {(size.offering.kind, size.size): size for size in rows}


def shown(items: Sequence[ItemRequest], grace: int = 0) -> dict[str, str]:
    """The same order as a request to the API, its secrets left out."""
    body: dict[str, Any] = {"items": [_without_secrets(_plain(item)) for item in items]}
    if grace:
        body["grace"] = grace
    compact = json.dumps(body).replace("'", "'\\''")
    header = '-H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json"'
    return {
        "as_json": json.dumps(body, indent=2),
        "as_curl": f"curl -s {header} \\\n  $API/orders -d '{compact}'",
    }


def price_of(size: OfferingSize) -> Price:
    return Price(size.setup_price, size.hourly_price, size.monthly_price, size.currency)


def free_asn(page: Page) -> str:
    """A private AS number that none of the tenant's services has, and none that is about to be ordered."""
    taken = set(page.scope.all(ServiceInstance).values_list("spec__bgp__asn", flat=True))
    taken |= set(page.scope.all(CartItem).values_list("spec__bgp__asn", flat=True))
    return str(next((asn for asn in PRIVATE_ASNS if asn not in taken), ""))


def without_defaults(schema: Mapping[str, Any], document: Any, root: Mapping[str, Any] | None = None) -> Any:
    """A document without what would hold anyway, so that a form shows what somebody decided."""
    root = root or schema
    if isinstance(document, list):
        item = fields.resolved(schema["items"], root) if "items" in schema else {}
        return [without_defaults(item, entry, root) for entry in document]
    if not isinstance(document, dict) or "properties" not in schema:
        return document
    kept = {}
    for name, value in document.items():
        place = schema["properties"].get(name, {})
        inner = fields.resolved(place, root)
        shorter = without_defaults(inner, value, root)
        default = place.get("default", inner.get("default"))
        nested = isinstance(value, dict) and "properties" in inner and isinstance(default, dict)
        if name in schema.get("required", ()) or (value != default and not (nested and not shorter)):
            kept[name] = shorter
    return kept


def _prefixes(segment: Segment) -> str:
    return ", ".join(prefix.cidr for prefix in segment.prefixes.all()) or "no prefix"


def _renamed(document: Any, names: Mapping[str, str]) -> Any:
    """With segments by the names under which they can be chosen."""
    if isinstance(document, dict):
        return {
            key: names.get(value, value) if key == "segment" and isinstance(value, str) else _renamed(value, names)
            for key, value in document.items()
        }
    return [_renamed(entry, names) for entry in document] if isinstance(document, list) else document


def _plain(item: ItemRequest) -> dict[str, Any]:
    return {name: value for name, value in asdict(item).items() if value is not None}


def _without_secrets(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_secrets(entry, name) for entry in value]
    secret = name in ("password", "key") and isinstance(value, str) and value != MASK
    return HIDDEN if secret else value


def _parsed(text: str, note: str, grace: str | None) -> OrderBody:
    """The order of a plan. Raises `Invalid`, as the API does, also for what this page did not write."""
    try:
        asked = {"note": note} if note else {}
        waits = {"grace": int(grace)} if grace else {}
        body = OrderBody(data={"items": json.loads(text), **asked, **waits})
        body.is_valid(raise_exception=True)
    except ValueError:
        raise Invalid([Problem("items", "this plan cannot be read; make it again")]) from None
    except ValidationError as refused:
        raise Invalid(flatten(refused.detail)) from None
    return body


def _is_typed(path: str, item: ItemRequest, document: Mapping[str, Any]) -> bool:
    """Whether a problem is about something that was typed, and not about what is still to come."""
    if path in ("name", "pop"):
        return bool(getattr(item, path))
    value: Any = document
    for name, position in fields.PART.findall(path):
        if isinstance(value, dict) and name:
            value = value.get(name)
        elif isinstance(value, list) and position and int(position) < len(value):
            value = value[int(position)]
        else:
            return False
    return value not in (None, "", {}, []) if path else True
