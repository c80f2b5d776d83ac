"""Trunks, routes, source rules and emergency numbers in the portal: lists, and a form for each made of its spec.

A form is checked by doing what it would do and taking that back, so it refuses what the API refuses, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Case, Model, QuerySet, Value, When
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import BaseModel

from naas.core.errors import Conflict, Invalid, NotFound, Problem
from sbc import configuration
from sbc.kind import KIND, security
from sbc.kind.route import RouteSpec
from sbc.kind.security import EmergencySpec
from sbc.kind.spec import SbcSpec
from sbc.kind.trunk import TrunkSpec
from sbc.models import Emergency, Route, SourceRule, Trunk
from sbc.models.configuration import Named
from sbc.portal import states
from sbc.sections.base import Section
from sbc.sections.routes import ROUTES
from sbc.sections.sources import SOURCES
from sbc.sections.trunks import TRUNKS
from services.design import wanted
from services.kind import Group
from services.portal import fields
from services.portal.fields import Source
from services.portal.ordering import without_defaults
from services.portal.tabs import ServicePage
from services.secrets import mask
from tenants.actor import Role
from tenants.portal.lists import Column, Empty, Filter, ListPage

#: More trunks than this are not listed in a field, where their names are typed then.
MOST_CHOICES = 500

TRUNK_FORM = (
    Group("Trunk", ("name", "side", "transport", "enabled"), "A PBX or a carrier, on one side of the SBC."),
    Group("Where it is", ("addresses", "domain", "sources", "nat")),
    Group("Who it is", ("authentication", "trusted", "caller_id")),
    Group("Media", ("srtp", "codecs", "transcode")),
    Group("Limits", ("most_calls", "most_calls_per_second", "health_check", "session_timer")),
    Group("Numbers", ("number_plan", "number_format", "numbers_in", "numbers_out")),
    Group("Headers", ("headers",)),
)
ROUTE_FORM = (
    Group("Calls", ("name", "from_trunk", "prefix", "pattern", "order", "enabled"), "Which calls the route takes."),
    Group("Where they go", ("targets", "failover", "timeout")),
    Group("When", ("window",), "Without a window it is open at all times."),
    Group("Headers", ("headers",)),
)
SOURCE_FORM = (Group("Rule", ("name", "cidr", "action", "side", "note")),)
EMERGENCY_FORM = (Group("Emergency", ("numbers", "targets"), "They go first, as dialled, whatever the limits say."),)


class OfSbc(ServicePage):
    """A page of one SBC."""

    kind = KIND.name

    def choices(self) -> dict[str, Sequence[tuple[str, str]]]:
        """What the fields of a form can refer to: trunks, unless they are too many, and sides."""
        spec, _ = wanted(self.service)
        assert isinstance(spec, SbcSpec)
        listed: dict[str, Sequence[tuple[str, str]]] = {"side": [(port.name, port.name) for port in spec.ports]}
        names = self.scope.all(Trunk).filter(instance=self.service).order_by("name").values_list("name", flat=True)
        if len(known := list(names[: MOST_CHOICES + 1])) <= MOST_CHOICES:
            listed["trunk"] = [(name, name) for name in known]
        return listed


class Documents(OfSbc, ListPage):
    """A list of documents. `form` and `adding` are the names of the pages for one, and for a new one."""

    template = "portal/sbc/documents.html"
    form: str
    adding: str
    noun: str
    #: What one should know of the list.
    says: str = ""

    def rows(self) -> QuerySet[Any]:
        return super().rows().filter(instance=self.service).distinct()

    @property
    def empty_url(self) -> str:
        return self.url(self.adding, id=self.service.pk)


def _on(_page: ListPage) -> list[tuple[str, str]]:
    return [("True", "in use"), ("False", "switched off")]


def _addresses(trunk: Trunk) -> list[str]:
    shown = []
    for address in trunk.document.get("addresses", ()):
        port = f":{address['port']}" if address.get("port") else ""
        shown.append(f"{address['host']}{port}")
    return shown


class Trunks(Documents):
    title = "Trunks"
    tab = "sbc-trunks"
    form, adding, noun = "sbc-trunk", "sbc-trunk-new", "trunk"
    model = Trunk
    search = ("name", "sources__cidr")
    row = "portal/sbc/trunks_row.html"
    columns = (
        Column("Name", lambda trunk: trunk.name, "name"),
        Column("Side", lambda trunk: trunk.side, "side"),
        Column("Transport", lambda trunk: trunk.transport, "transport"),
        Column("Addresses", lambda trunk: " ".join(_addresses(trunk))),
        Column("Known by", lambda trunk: trunk.document.get("authentication", {}).get("method", "address")),
        Column("Calls at most", lambda trunk: trunk.document.get("most_calls"), figure=True),
        Column("In use", lambda trunk: trunk.enabled, "enabled"),
    )
    filters: ClassVar = (
        Filter("side", "Side", "side", lambda page: page.choices()["side"]),  # type: ignore[attr-defined]
        Filter("transport", "Transport", "transport", lambda _page: [(t, t) for t in ("udp", "tcp", "tls")]),
        Filter("enabled", "In use", "enabled", _on),
    )
    empty = Empty(
        "phone",
        "No trunks yet",
        "A trunk is a PBX or a carrier. Calls come from trunks and go to trunks; nobody else is heard.",
        "Add a trunk",
        "sbc-trunk-new",
    )

    def context(self) -> Mapping[str, Any]:
        """With what the SBC says of each, where the page asks for that once it stands."""
        found = super().context()
        asked, rows = "HX-Request" in self.request.headers, found["rows"]
        if asked:
            rows.object_list = states.with_states(rows.object_list, states.ask(self, {**states.LOAD, **states.TRUNKS}))
        return {**found, "asked_live": asked}


class Routes(Documents):
    title = "Routes"
    tab = "sbc-routes"
    form, adding, noun = "sbc-route", "sbc-route-new", "route"
    model = Route
    row = "portal/sbc/routes_row.html"
    columns = (
        Column("Name", lambda route: route.name, "name"),
        Column("From", lambda route: route.from_trunk.name if route.from_trunk else "any trunk", "from_trunk__name"),
        Column("Numbers", lambda route: route.document.get("pattern") or route.prefix or "all", "prefix"),
        Column("To", lambda route: " ".join(target["trunk"] for target in route.document.get("targets", ()))),
        Column("Order", lambda route: route.order, "order", figure=True),
        Column("In use", lambda route: route.enabled, "enabled"),
    )
    search = ("name", "prefix", "from_trunk__name", "targets__trunk__name")
    filters: ClassVar = (Filter("enabled", "In use", "enabled", _on),)
    empty = Empty(
        "route",
        "No routes yet",
        "A route says to which trunks calls go, by the number that was dialled and the trunk they come from.",
        "Add a route",
        "sbc-route-new",
    )

    says = (
        "In the order in which they are decided: patterns before prefixes, longer prefixes before shorter, routes of "
        "one trunk before those of any, then by order and name. The first that is open and fits takes the call; "
        "emergency numbers go before all."
    )

    def rows(self) -> QuerySet[Any]:
        """As `sbc.policy.best_route` looks at them."""
        rows: QuerySet[Any] = super().rows()
        ranked: QuerySet[Any] = rows.annotate(
            stage=Case(When(prefix=None, then=Value(0)), default=Value(1)),
            length=Length("prefix"),
            of_any=Case(When(from_trunk=None, then=Value(1)), default=Value(0)),
        )
        ranked = ranked.order_by("stage", "-length", "of_any", "order", "name")
        return ranked.select_related("from_trunk")


class Sources(Documents):
    title = "Source rules"
    tab = "sbc-sources"
    form, adding, noun = "sbc-source", "sbc-source-new", "source rule"
    model = SourceRule
    row = "portal/sbc/sources_row.html"
    columns = (
        Column("Name", lambda rule: rule.name, "name"),
        Column("Sources", lambda rule: rule.cidr, "cidr"),
        Column("Side", lambda rule: rule.side or "every side", "side"),
        Column("Action", lambda rule: rule.document.get("action", "")),
        Column("Note", lambda rule: rule.document.get("note", "")),
    )
    search = ("name", "cidr")
    empty = Empty(
        "shield",
        "No source rules yet",
        "A source without a rule is heard. To hear nobody but some, deny 0.0.0.0/0 and ::/0, and allow those.",
        "Add a source rule",
        "sbc-source-new",
    )


class Form(OfSbc):
    """A form for one document: a new one, or the one that the address names."""

    template = "portal/sbc/document.html"
    reads = Role.OPERATOR
    spec: type[BaseModel]
    layout: tuple[Group, ...]
    noun: str

    @property
    def schema(self) -> Mapping[str, Any]:
        return self.spec.model_json_schema()

    def stored(self) -> Any:
        """The document as it is kept, None for a new one. Raises `NotFound`."""
        raise NotImplementedError

    def save(self, document: dict[str, Any]) -> Model:
        """Do what the form is for. Raises `Invalid`, `Conflict`."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        stored = self.stored()
        return self.form(without_defaults(self.schema, mask(stored)) if stored is not None else {}, ())

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        self.stored()
        document = fields.read(self.schema, {name: request.POST.getlist(name) for name in request.POST})
        act, _, path = request.POST.get("act", "check").partition(" ")
        match act:
            case "add":
                fields.add(document, path)
                return self.form(document, ())
            case "remove":
                fields.remove(document, path)
                return self.form(document, ())
        try:
            with transaction.atomic():
                row = self.save(document)
                transaction.set_rollback(act == "check")
        except (Invalid, Conflict) as refused:
            problems = refused.problems if isinstance(refused, Invalid) else (Problem("", refused.detail),)
            return self.form(document, problems)
        if act == "check":
            return self.form(document, ())
        self.say(f"{self.noun.capitalize()} {getattr(row, 'name', '')} is saved; it holds for the next call.")
        return self.redirect(self.tab, id=self.service.pk)

    def form(self, document: dict[str, Any], problems: Sequence[Problem]) -> HttpResponse:
        source = Source(self.choices(), {}, problems)
        page = fields.build(self.schema, self.layout, document, source)
        return self.show({"form": page, "general": page.problems, "noun": self.noun, "name": self.kwargs.get("named")})


class SectionForm(Form):
    documents: Section[Any, Any]

    def row(self) -> Named | None:
        name = self.kwargs.get("named")
        if name is None:
            return None
        found: Named | None = self.scope.all(self.documents.model).filter(instance=self.service, name=name).first()
        if found is None:
            raise NotFound(f"{self.service.name} has no {self.noun} {name}")
        return found

    def stored(self) -> Any:
        row = self.row()
        return row.document if row else None

    def save(self, document: dict[str, Any]) -> Model:
        row = self.row()
        if row is None:
            made: Model = configuration.create(
                actor=self.actor, instance=self.service, section=self.documents, document=document
            )
            return made
        # Its name is not asked again: it stays.
        document |= {"name": row.name}
        changed: Model = configuration.change(actor=self.actor, row=row, section=self.documents, document=document)
        return changed


class TrunkForm(SectionForm):
    tab, documents, noun, spec, layout = "sbc-trunks", TRUNKS, "trunk", TrunkSpec, TRUNK_FORM


class RouteForm(SectionForm):
    tab, documents, noun, spec, layout = "sbc-routes", ROUTES, "route", RouteSpec, ROUTE_FORM


class SourceForm(SectionForm):
    tab, documents, noun, spec, layout = "sbc-sources", SOURCES, "source rule", security.SourceRule, SOURCE_FORM


class EmergencyForm(Form):
    tab, noun, spec, layout = "sbc-routes", "emergency numbers", EmergencySpec, EMERGENCY_FORM

    def stored(self) -> Any:
        row = self.scope.all(Emergency).filter(instance=self.service).first()
        return row.document if row else {}

    def save(self, document: dict[str, Any]) -> Model:
        return configuration.set_emergency(actor=self.actor, instance=self.service, document=document)


class Remove(OfSbc):
    """Takes a document away."""

    documents: Section[Any, Any]

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        self.row()
        return self.redirect(self.tab, id=self.service.pk)

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        row = self.row()
        configuration.remove(actor=self.actor, row=row, section=self.documents)
        self.say(f"{self.documents.noun.capitalize()} {row.name} is removed.")
        return self.redirect(self.tab, id=self.service.pk)

    def row(self) -> Any:
        name = self.kwargs["named"]
        found = self.scope.all(self.documents.model).filter(instance=self.service, name=name).first()
        if found is None:
            raise NotFound(f"{self.service.name} has no {self.documents.noun} {name}")
        return found


class TrunkRemove(Remove):
    tab, documents = "sbc-trunks", TRUNKS


class RouteRemove(Remove):
    tab, documents = "sbc-routes", ROUTES


class SourceRemove(Remove):
    tab, documents = "sbc-sources", SOURCES
