"""Pages over what stands: services, their history, and how far each PoP has come with them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from textwrap import shorten

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from services.admin.places import MOST
from services.admin.progress import conditions, steps_table
from services.healing import heal
from services.lifecycle import ServiceState
from services.models import Deployment, DeploymentStep, Inquiry, OrderItem, Revision, ServiceEvent, ServiceInstance
from services.secrets import mask
from tenants import looks
from tenants.console import BY_TENANT, Behind, Console, Table, asks, list_of, page_of, staff_of


@admin.register(ServiceInstance)
class ServicePage(Console):
    about = (
        "The network functions that customers have. A service is active because its PoP found it so. "
        "It changes by orders alone."
    )
    empty = "No customer has a service yet."
    list_display = ("name", "tenant", "kind", "pop", "size_name", "standing", "fares", "found", "created")
    list_select_related = ("tenant", "pop", "size")
    list_filter = ("state", "health", "kind", "pop", BY_TENANT)
    search_fields = ("name", "id", "tenant__name", "addresses__value")
    date_hierarchy = "created_at"
    fieldsets = (
        (
            "Service",
            {
                "fields": (
                    ("name", "id"),
                    ("tenant", "pop"),
                    ("kind", "size"),
                    ("standing", "generation"),
                    ("fares", "health_reason"),
                    ("created", "activated"),
                    "terminated",
                )
            },
        ),
        ("What is wanted", {"fields": ("wanted",)}),
    )
    on_tenant = "Services"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServiceInstance]:
        rows: QuerySet[ServiceInstance] = super().get_queryset(request).prefetch_related("deployments")
        return rows

    def is_live(self, row: ServiceInstance) -> bool:
        return any(d.observed_generation < d.generation for d in row.deployments.all())

    @admin.display(description="Size", ordering="size__vcpu")
    def size_name(self, service: ServiceInstance) -> str:
        return service.size.size

    @admin.display(description="State", ordering="state")
    def standing(self, service: ServiceInstance) -> str:
        return looks.badge(service.state)

    @admin.display(description="Health", ordering="health")
    def fares(self, service: ServiceInstance) -> str:
        return looks.badge(service.health)

    @admin.display(description="Found of wanted")
    def found(self, service: ServiceInstance) -> str:
        return looks.lines(
            [looks.link(d, f"{d.observed_generation} of {d.generation}") for d in service.deployments.all()]
        )

    created = looks.moment("created_at", "Ordered")
    activated = looks.moment("activated_at", "Active since", never="not yet")
    terminated = looks.moment("terminated_at", "Ended", never="no")

    @admin.display(description="Spec, secrets masked")
    def wanted(self, service: ServiceInstance) -> str:
        return looks.document(mask(service.spec))

    def tables(self, request: HttpRequest, row: ServiceInstance) -> Iterable[Table]:
        at_pops = row.deployments.select_related("pop").prefetch_related("steps")
        yield _deployments(at_pops)
        for deployment in at_pops:
            yield steps_table(
                f"Last steps at PoP {deployment.pop_id}", deployment.steps.all(), more=page_of(deployment)
            )
        yield _orders(row.order_items.select_related("order"))
        yield Table(
            "Addresses",
            ("Address", "Segment", "Port", "Chosen by"),
            [
                (a, looks.link(a.segment), a.port, "platform" if a.automatic else "customer")
                for a in row.addresses.select_related("segment")
            ],
            "It holds no addresses.",
        )
        yield _history(row)
        yield Table(
            "Events",
            ("When", "What", "Details"),
            [(looks.ago(e.at), e.type, e.message) for e in row.events.all()[:MOST]],
            "Nothing has happened to it yet.",
            more=list_of(ServiceEvent, instance__id__exact=row.pk),
        )


def _deployments(deployments: Iterable[Deployment]) -> Table:
    rows = []
    for d in deployments:
        checks = conditions(d.conditions)
        holding = looks.lines([format_html("{} {}", state, name) for name, state, _ in checks])
        found = f"{d.observed_generation} of {d.generation}"
        rows.append(
            (looks.link(d, d.pop_id), looks.badge(d.phase), found, d.reason or "-", holding, looks.ago(d.reported_at))
        )
    return Table(
        "At its PoPs",
        ("PoP", "Phase", "Found of wanted", "Reason", "Checks", "Last report"),
        rows,
        "It stands nowhere.",
        about="To have a PoP look and repair once more, open it here and choose Send again.",
    )


def _orders(items: Iterable[OrderItem]) -> Table:
    return Table(
        "Orders",
        ("Order", "Action", "Generation", "State", "Reason"),
        [
            (looks.link(i.order), i.get_action_display(), i.generation, looks.badge(i.state), i.reason or "-")
            for i in items
        ],
        "No order names it.",
    )


def _history(service: ServiceInstance) -> Table:
    """Every generation with what it changed against the one before, secrets masked. Newest first."""
    revisions = list(service.revisions.all()[: MOST + 1])
    before = {late.pk: early for late, early in pairwise(revisions)}
    return Table(
        "History",
        ("Generation", "Why", "Wanted since", "Found working", "What changed"),
        [
            (
                looks.link(revision, revision.generation),
                revision.reason,
                looks.ago(revision.created_at),
                looks.ago(revision.worked_at) if revision.worked_at else "not yet",
                changed(before.get(revision.pk), revision),
            )
            for revision in revisions[:MOST]
        ],
        "It has no history.",
        more=list_of(Revision, instance__id__exact=service.pk),
    )


def changed(before: Revision | None, after: Revision) -> str:
    """What a generation changed. A changed secret looks like one that stayed: both are masked."""
    if after.spec is None:
        return "its removal"
    if before is None or before.spec is None:
        return "the first that was wanted"
    if before.size_id != after.size_id and mask(before.spec) == mask(after.spec):
        return "its size"
    return looks.difference(mask(before.spec), mask(after.spec)) or "nothing that may be shown"


@admin.register(Revision)
class RevisionPage(Console):
    about = "Every generation of every service: what was wanted, why, and whether a PoP found it working."
    empty = "Nothing was ever wanted."
    list_display = ("__str__", "service", "tenant", "reason", "created", "worked")
    list_select_related = ("instance", "tenant")
    list_filter = (BY_TENANT, ("worked_at", admin.EmptyFieldListFilter))
    search_fields = ("instance__id", "instance__name", "reason")
    fieldsets = (
        ("Generation", {"fields": (("service", "generation"), ("reason", "size"), ("created", "worked"))}),
        ("Against the one before", {"fields": ("change_shown",)}),
        ("What was wanted", {"fields": ("wanted",)}),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "instance__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Service", ordering="instance__name")
    def service(self, revision: Revision) -> str:
        return looks.link(revision.instance, revision.instance.name)

    created = looks.moment("created_at", "Since")
    worked = looks.moment("worked_at", "Found working", never="not yet")

    @admin.display(description="What changed")
    def change_shown(self, revision: Revision) -> str:
        earlier = Revision.unscoped.filter(instance=revision.instance, generation__lt=revision.generation)
        return changed(earlier.first(), revision)

    @admin.display(description="Spec, secrets masked", empty_value="none: its removal")
    def wanted(self, revision: Revision) -> str | None:
        return None if revision.spec is None else looks.document(mask(revision.spec))


class NotAsWanted(Behind):
    title = "as wanted"
    behind = Q(observed_generation__lt=F("generation"))


@admin.register(Deployment)
class DeploymentPage(Console):
    about = "Each service at each PoP: what is wanted there, and what the PoP last found there by looking."
    empty = "Nothing stands anywhere yet."
    list_display = ("service", "pop", "tenant", "standing", "found", "why", "sent", "reported")
    list_select_related = ("instance", "pop", "tenant")
    list_filter = (NotAsWanted, "phase", "pop", BY_TENANT)
    search_fields = ("instance__name", "instance__id", "reason")
    fieldsets = (
        (
            "Deployment",
            {"fields": (("service", "tenant"), ("pop", "standing"), ("found", "reason"), ("sent", "reported"))},
        ),
    )
    actions_detail = ("send_again",)
    actions = ("send_selected_again",)

    def is_live(self, row: Deployment) -> bool:
        return row.observed_generation < row.generation

    @admin.display(description="Service", ordering="instance__name")
    def service(self, deployment: Deployment) -> str:
        return looks.link(deployment.instance, deployment.instance.name)

    @admin.display(description="Phase", ordering="phase")
    def standing(self, deployment: Deployment) -> str:
        return looks.badge(deployment.phase)

    @admin.display(description="Found of wanted", ordering="observed_generation")
    def found(self, deployment: Deployment) -> str:
        tone = looks.Tone.WARNING if deployment.observed_generation < deployment.generation else looks.Tone.GOOD
        words = f"{deployment.observed_generation} of {deployment.generation}"
        return looks.badge(deployment.phase, words, tone)

    @admin.display(description="Reason")
    def why(self, deployment: Deployment) -> str:
        return shorten(deployment.reason, 80) or looks.NOTHING

    sent = looks.moment("sent_at", "Last told")
    reported = looks.moment("reported_at", "Last report")

    def tables(self, request: HttpRequest, row: Deployment) -> Iterable[Table]:
        yield Table("Checks", ("What", "Holds", "Says"), conditions(row.conditions), "The PoP has not checked it yet.")
        yield steps_table(
            "Steps of the last run", row.steps.all(), more=list_of(DeploymentStep, deployment__id__exact=row.pk)
        )

    def has_heal_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, object_id, lambda row: row.instance.state != ServiceState.TERMINATED)

    @asks(
        title="Send again",
        question="The PoP compares what should stand with what it finds, and repairs the difference. "
        "What stands as it should is not touched.",
        icon="healing",
        allowed="heal",
    )
    def send_again(self, request: HttpRequest, deployment: Deployment) -> str:
        heal(actor=staff_of(request), deployment=deployment)
        return f"PoP {deployment.pop_id} is told again what should stand of {deployment.instance.name}."

    @admin.action(description="Send again")
    def send_selected_again(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        verb = DeploymentPage.send_again.verb
        self.carry_out(request, rows.select_related("instance"), lambda row: verb(self, request, row))


@admin.register(DeploymentStep)
class StepPage(Console):
    about = "Every step that a PoP took, why, and how long it took."
    empty = "No PoP has taken a step yet."
    list_display = ("started_at", "action", "subject", "service", "generation", "standing", "took", "reason")
    list_select_related = ("deployment__instance",)
    list_filter = ("state", "action", BY_TENANT)
    search_fields = ("subject", "deployment__instance__name", "deployment__instance__id")
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-position")
    fieldsets = (
        ("Step", {"fields": (("action", "subject"), ("standing", "took"), ("reason", "message"))}),
        (
            "Of",
            {
                "fields": (
                    ("service", "deployment"),
                    ("tenant", "started_at"),
                    ("generation", "run"),
                    ("position", "total"),
                )
            },
        ),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "deployment__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Service")
    def service(self, step: DeploymentStep) -> str:
        return looks.link(step.deployment.instance, step.deployment.instance.name)

    @admin.display(description="State", ordering="state")
    def standing(self, step: DeploymentStep) -> str:
        return looks.badge(step.state)

    @admin.display(description="Took", ordering="duration_ms")
    def took(self, step: DeploymentStep) -> str:
        return looks.took(step.duration_ms)


@admin.register(ServiceEvent)
class EventPage(Console):
    about = "What happened to services, as their owners read it."
    empty = "Nothing has happened to any service yet."
    list_display = ("at", "type", "message", "service", "tenant")
    list_select_related = ("instance", "tenant")
    list_filter = (BY_TENANT, "type")
    search_fields = ("message", "instance__name", "instance__id")
    date_hierarchy = "at"
    fieldsets = ((None, {"fields": ("at", "type", "message", "service", "tenant")}),)
    on_tenant = "Events"

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "instance__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Service", ordering="instance__name")
    def service(self, event: ServiceEvent) -> str:
        return looks.link(event.instance, event.instance.name)


@admin.register(Inquiry)
class InquiryPage(Console):
    about = "Questions that customers put to their running services through the looking glass, and the answers."
    empty = "Nobody has asked a service anything yet."
    list_display = ("asked_at", "question", "service", "tenant", "standing", "asked_by")
    list_select_related = ("instance", "tenant")
    list_filter = ("state", "question", BY_TENANT)
    search_fields = ("id", "question", "instance__name", "asked_by")
    date_hierarchy = "asked_at"
    fieldsets = (
        ("Question", {"fields": ("question", "asked_with", "service", "tenant", "asked_by", "asked_at")}),
        ("Answer", {"fields": ("standing", "status", "error", "answer", "answered_at")}),
    )

    @admin.display(description="Service", ordering="instance__name")
    def service(self, inquiry: Inquiry) -> str:
        return looks.link(inquiry.instance, inquiry.instance.name)

    @admin.display(description="State", ordering="state")
    def standing(self, inquiry: Inquiry) -> str:
        return looks.badge(inquiry.state, inquiry.get_state_display())

    @admin.display(description="Arguments")
    def asked_with(self, inquiry: Inquiry) -> str:
        return looks.document(inquiry.arguments)

    @admin.display(description="Output")
    def answer(self, inquiry: Inquiry) -> str:
        return looks.text(inquiry.output)
