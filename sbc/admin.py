"""The console's pages over SBCs: what their tenants configured, how far it has come, and what calls were made.

Nothing is changed here: an SBC is its tenant's. Documents are shown with their secrets masked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import F, Model, Q
from django.http import HttpRequest

from sbc.models import CallRecord, Emergency, Route, SourceRule, Tables, TestCall, Trunk
from services.secrets import mask
from tenants import looks
from tenants.console import BY_TENANT, Behind, Console, Table, list_of


class OfSbc(Console):
    """A page of something that belongs to an SBC."""

    list_select_related: Any = ("instance", "tenant")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "instance__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="SBC", ordering="instance__name")
    def service(self, row: Any) -> str:
        return looks.link(row.instance, row.instance.name)


class DocumentPage(OfSbc):
    """A page of a document."""

    list_filter: Any = (BY_TENANT,)
    search_fields: Any = ("name", "instance__name", "instance__id")

    @admin.display(description="Document, secrets masked")
    def written(self, row: Any) -> str:
        return looks.document(mask(row.document))

    changed = looks.moment("changed_at", "Changed")


@admin.register(Trunk)
class TrunkPage(DocumentPage):
    about = "PBXs and carriers of the tenants' SBCs."
    empty = "No SBC has a trunk yet."
    list_display = ("name", "service", "tenant", "side", "transport", "enabled", "changed")
    list_filter = (BY_TENANT, "transport", "enabled")
    fieldsets = (
        ("Trunk", {"fields": (("name", "service"), ("tenant", "changed"), ("side", "transport"), "enabled")}),
        ("What it is", {"fields": ("written",)}),
    )

    def tables(self, request: HttpRequest, row: Trunk) -> Iterable[Table]:
        leading = Route.unscoped.filter(targets__trunk=row) | Route.unscoped.filter(from_trunk=row)
        yield Table(
            "Routes from it and to it",
            ("Route", "Prefix"),
            [(looks.link(route, route.name), _prefix(route)) for route in leading.distinct()[:20]],
            "No route names it.",
        )


@admin.register(Route)
class RoutePage(DocumentPage):
    about = "Where the calls of the tenants' SBCs go."
    empty = "No SBC has a route yet."
    list_display = ("name", "service", "tenant", "from_trunk", "beginning", "order", "enabled", "changed")
    list_select_related = ("instance", "tenant", "from_trunk")
    list_filter = (BY_TENANT, "enabled")
    fieldsets = (
        ("Route", {"fields": (("name", "service"), ("tenant", "changed"), ("from_trunk", "beginning"), "enabled")}),
        ("What it is", {"fields": ("written",)}),
    )

    @admin.display(description="Numbers", ordering="prefix")
    def beginning(self, route: Route) -> str:
        return _prefix(route)


def _prefix(route: Route) -> str:
    if route.prefix is None:
        return f"pattern {route.document.get('pattern')}"
    return route.prefix or "all"


@admin.register(SourceRule)
class SourceRulePage(DocumentPage):
    about = "Who may send anything at all to the tenants' SBCs."
    empty = "No SBC has a source rule yet."
    list_display = ("name", "service", "tenant", "cidr", "action", "side", "changed")
    fieldsets = (
        ("Source rule", {"fields": (("name", "service"), ("tenant", "changed"), ("cidr", "side"))}),
        ("What it is", {"fields": ("written",)}),
    )

    @admin.display(description="Action")
    def action(self, rule: SourceRule) -> str:
        return str(rule.document.get("action"))


@admin.register(Emergency)
class EmergencyPage(DocumentPage):
    about = "Numbers that go before all else, and where they lead."
    empty = "No SBC has emergency numbers yet."
    list_display = ("__str__", "service", "tenant", "numbers", "changed")
    search_fields = ("instance__name", "instance__id")
    fieldsets = (
        ("Emergency numbers", {"fields": (("service", "tenant"), "changed")}),
        ("What they are", {"fields": ("written",)}),
    )

    @admin.display(description="Numbers")
    def numbers(self, row: Emergency) -> str:
        return ", ".join(row.document.get("numbers", ())) or looks.NOTHING


class NotInForce(Behind):
    title = "in force"
    behind = Q(found=None) | ~Q(found=F("wanted"))


@admin.register(Tables)
class TablesPage(OfSbc):
    about = "How far what tenants configured has come to the PoPs. Whoever is behind is told again by itself."
    empty = "No SBC has tables yet."
    list_display = ("__str__", "service", "tenant", "standing", "changed", "sent", "told")
    list_filter = (BY_TENANT, NotInForce)
    search_fields = ("instance__name", "instance__id")
    fieldsets = (
        (
            "Tables",
            {"fields": (("service", "tenant"), ("standing", "generation"), ("changed", "sent"), ("told", "reason"))},
        ),
    )

    def is_live(self, row: Tables) -> bool:
        return row.found != row.wanted

    @admin.display(description="Found of wanted", ordering="wanted")
    def standing(self, tables: Tables) -> str:
        tone = looks.Tone.GOOD if tables.found == tables.wanted else looks.Tone.WARNING
        found = "nothing" if tables.found is None else tables.found
        return looks.badge("tables", f"{found} of {tables.wanted}", tone)

    changed = looks.moment("changed_at", "Changed")
    sent = looks.moment("sent_at", "Last sent")
    told = looks.moment("found_at", "Last report")

    def tables(self, request: HttpRequest, row: Tables) -> Iterable[Table]:
        sections: tuple[tuple[str, type[Model]], ...] = (
            ("Trunks", Trunk),
            ("Routes", Route),
            ("Source rules", SourceRule),
        )
        counted = [
            (looks.anchor(list_of(model, instance__id__exact=row.pk), name), _count(model, row))
            for name, model in sections
        ]
        yield Table("Configured", ("What", "How many"), counted, "Nothing.")


def _count(model: Any, tables: Tables) -> int:
    return int(model.unscoped.filter(instance=tables.pk).count())


@admin.register(CallRecord)
class CallRecordPage(OfSbc):
    about = "Every call of every SBC, and every attempt of a trunk that was refused."
    empty = "No SBC has recorded a call yet."
    list_display = ("started", "caller", "called", "service", "tenant", "from_trunk", "to_trunk", "ended_by", "talked")
    list_filter = (BY_TENANT, "cause", "emergency")
    search_fields = ("caller", "called", "call_id", "key", "instance__name", "instance__id")
    date_hierarchy = "started"
    fieldsets = (
        (
            "Call",
            {
                "fields": (
                    ("caller", "called"),
                    ("service", "tenant"),
                    ("from_trunk", "to_trunk"),
                    ("route", "emergency"),
                    ("started", "answered"),
                    ("ended", "talked"),
                    ("ended_by", "code"),
                    ("codec", "key"),
                    ("call_id", "call_id_out"),
                )
            },
        ),
        ("Where it was tried", {"fields": ("tried",)}),
        ("How it sounded", {"fields": (("mos", "loss"), ("jitter", "round_trip"), "heard")}),
    )

    @admin.display(description="Cause", ordering="cause")
    def ended_by(self, record: CallRecord) -> str:
        return looks.badge(record.cause, record.cause.replace("-", " "))

    @admin.display(description="Talked", ordering="duration_ms")
    def talked(self, record: CallRecord) -> str:
        return looks.took(record.duration_ms)

    @admin.display(description="Attempts")
    def tried(self, record: CallRecord) -> str:
        return looks.document(record.attempts) or looks.NOTHING

    @admin.display(description="Both ends")
    def heard(self, record: CallRecord) -> str:
        return looks.document(record.quality) or "not reported"


@admin.register(TestCall)
class TestCallPage(OfSbc):
    __test__ = False  # it is no test, whatever its name tells pytest

    about = "Calls that prove that an SBC works. The one of acceptance is its birth certificate."
    empty = "No test call was made yet."
    list_display = ("made_at", "service", "tenant", "occasion", "outcome", "message", "made_by")
    list_filter = (BY_TENANT, "occasion", "passed")
    search_fields = ("id", "instance__name", "instance__id")
    date_hierarchy = "made_at"
    fieldsets = (
        (
            "Test call",
            {
                "fields": (
                    ("service", "tenant"),
                    ("occasion", "generation"),
                    ("made_at", "made_by"),
                    ("outcome", "message"),
                )
            },
        ),
        ("What was measured", {"fields": ("measured",)}),
    )

    @admin.display(description="Passed", ordering="passed")
    def outcome(self, call: TestCall) -> str:
        return looks.badge({True: "true", False: "false", None: "unknown"}[call.passed])

    @admin.display(description="Result")
    def measured(self, call: TestCall) -> str:
        return looks.document(call.result) or looks.NOTHING
