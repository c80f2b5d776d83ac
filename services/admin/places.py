"""Pages over PoPs, transports, the customers' ports, segments, prefixes and addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Count, F, Q, QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from services import places
from services.lifecycle import ServiceState
from services.models import Address, Deployment, Pop, Prefix, Segment, ServiceInstance, Transport, Uni
from services.sweep import UNSEEN
from tenants import looks
from tenants.console import BY_TENANT, Console, Table, list_of, staff_of

#: Rows shown of what may be long; the rest is behind "Show all".
MOST = 20

LIVING = ~Q(services__state=ServiceState.TERMINATED)


def with_use(pops: QuerySet[Pop]) -> QuerySet[Any]:
    """PoPs with what their living services take: `living`, `vcpu_used`, `memory_used`."""
    return pops.annotate(
        living=Count("services", filter=LIVING),
        vcpu_used=Sum("services__size__vcpu", filter=LIVING, default=0),
        memory_used=Sum("services__size__memory_mb", filter=LIVING, default=0),
    )


def sign_of_life(pop: Pop) -> str:
    if pop.public_identity is None:
        return looks.badge("not enrolled", tone=looks.Tone.QUIET)
    if pop.last_seen_at is None:
        return looks.badge("never seen", tone=looks.Tone.BAD)
    silent: timedelta = timezone.now() - pop.last_seen_at
    tone = looks.Tone.BAD if silent > UNSEEN else looks.Tone.GOOD
    return looks.lines([looks.badge("silent" if silent > UNSEEN else "alive", tone=tone), looks.ago(pop.last_seen_at)])


@admin.register(Pop)
class PopPage(Console):
    about = (
        "Points of presence: the places whose workers run the customers' network functions. A PoP takes orders when "
        "it is open and its host is enrolled (manage.py enroll_pop)."
    )
    empty = "There are no PoPs yet. Enrol the first host with manage.py enroll_pop."
    entered = ("slug", *places.POP_FACTS)
    editable = places.POP_FACTS
    list_display = ("slug", "name", "standing", "life", "city", "services", "vcpu", "memory")
    list_filter = ("status", "country")
    search_fields = ("slug", "name", "city")
    fieldsets = (
        ("Place", {"fields": ("slug", "name", "city", "country", "latitude", "longitude")}),
        ("Capacity for sale", {"fields": ("status", "vcpu_capacity", "memory_capacity_mb", "vcpu", "memory")}),
        ("Its worker", {"fields": ("life",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pop]:
        return with_use(super().get_queryset(request))

    @admin.display(description="Status", ordering="status")
    def standing(self, pop: Pop) -> str:
        return looks.badge(pop.status)

    @admin.display(description="Worker", ordering="last_seen_at")
    def life(self, pop: Pop) -> str:
        return sign_of_life(pop)

    @admin.display(description="Services", ordering="living")
    def services(self, pop: Any) -> str:
        return looks.anchor(list_of(ServiceInstance, pop__slug__exact=pop.pk), pop.living)

    @admin.display(description="Sold vCPU", ordering="vcpu_used")
    def vcpu(self, pop: Any) -> str:
        return looks.share(float(pop.vcpu_used), float(pop.vcpu_capacity), "vCPU")

    @admin.display(description="Sold memory", ordering="memory_used")
    def memory(self, pop: Any) -> str:
        return looks.share(pop.memory_used, pop.memory_capacity_mb, "MiB")

    def tables(self, request: HttpRequest, row: Pop) -> Iterable[Table]:
        yield Table(
            "Transports",
            ("Name", "Medium", "Address", "MTU"),
            [(looks.link(t, t.name), t.get_medium_display(), t.address or "-", t.mtu) for t in row.transports.all()],
            "No transports are known.",
        )
        yield Table(
            "Customers' ports",
            ("Port", "Tenant", "Interface", "VLAN"),
            [
                (looks.link(uni), looks.link(uni.tenant), uni.interface, uni.vlan or "untagged")
                for uni in row.unis.select_related("tenant")[:MOST]
            ],
            "No port has been handed to a customer.",
            more=list_of(Uni, pop__slug__exact=row.pk),
        )
        behind = row.deployments.filter(observed_generation__lt=F("generation")).select_related("instance")
        yield Table(
            "Not yet as wanted",
            ("Service", "Phase", "Wanted", "Found", "Reason"),
            [
                (looks.link(d, d.instance.name), looks.badge(d.phase), d.generation, d.observed_generation, d.reason)
                for d in behind[:MOST]
            ],
            "Everything here stands as wanted.",
            more=list_of(Deployment, pop__slug__exact=row.pk),
        )

    def write_new(self, request: HttpRequest, form: Any) -> Pop:
        facts = dict(form.cleaned_data)
        return places.open_pop(staff=staff_of(request), slug=facts.pop("slug"), facts=facts)

    def write(self, request: HttpRequest, row: Pop, changes: Mapping[str, Any]) -> None:
        places.change_pop(staff=staff_of(request), pop=row, facts=changes)


@admin.register(Transport)
class TransportPage(Console):
    about = "The underlays by which PoPs reach each other: internet uplinks, the provider's MPLS, Ethernet."
    empty = "No transports are known yet."
    entered = ("pop", *places.TRANSPORT_FACTS)
    editable = places.TRANSPORT_FACTS
    removable = True
    list_display = ("name", "pop", "medium", "address", "mtu")
    list_select_related = ("pop",)
    list_filter = ("pop", "medium")
    search_fields = ("name", "pop__slug", "address")
    autocomplete_fields = ("pop",)
    fieldsets = ((None, {"fields": ("pop", *places.TRANSPORT_FACTS)}),)

    def write_new(self, request: HttpRequest, form: Any) -> Transport:
        facts = dict(form.cleaned_data)
        return places.add_transport(staff=staff_of(request), pop=facts.pop("pop"), facts=facts)

    def write(self, request: HttpRequest, row: Transport, changes: Mapping[str, Any]) -> None:
        places.change_transport(staff=staff_of(request), transport=row, facts=changes)

    def remove(self, request: HttpRequest, row: Transport) -> None:
        places.remove_transport(staff=staff_of(request), transport=row)


@admin.register(Uni)
class UniPage(Console):
    about = (
        "User network interfaces: the ports by which customers reach a PoP. Handing one out names the interface of the "
        "PoP's host; the customer then puts a segment on it."
    )
    empty = "No port has been handed to a customer yet."
    entered = ("tenant", "pop", *places.UNI_FACTS)
    editable = places.UNI_FACTS
    removable = True
    list_display = ("name", "tenant", "pop", "interface", "tag", "mtu", "used_by")
    list_select_related = ("tenant", "pop", "segment")
    list_filter = (BY_TENANT, "pop")
    search_fields = ("name", "id", "interface", "tenant__name")
    autocomplete_fields = ("tenant", "pop")
    fieldsets = (
        ("Port", {"fields": ("tenant", "pop", "name", "id", "used_by")}),
        ("On the PoP's host", {"fields": ("interface", "vlan", "mtu")}),
    )
    on_tenant = "Ports (UNIs)"

    @admin.display(description="VLAN", ordering="vlan")
    def tag(self, uni: Uni) -> str:
        return str(uni.vlan) if uni.vlan else "untagged"

    @admin.display(description="Segment on it", empty_value="none")
    def used_by(self, uni: Uni) -> str | None:
        segment = getattr(uni, "segment", None)
        return looks.link(segment) if segment else None

    def write_new(self, request: HttpRequest, form: Any) -> Uni:
        facts = dict(form.cleaned_data)
        tenant, pop = facts.pop("tenant"), facts.pop("pop")
        return places.add_uni(staff=staff_of(request), tenant=tenant, pop=pop, facts=facts)

    def write(self, request: HttpRequest, row: Uni, changes: Mapping[str, Any]) -> None:
        places.change_uni(staff=staff_of(request), uni=row, facts=changes)

    def remove(self, request: HttpRequest, row: Uni) -> None:
        places.remove_uni(staff=staff_of(request), uni=row)


@admin.register(Segment)
class SegmentPage(Console):
    about = "Layer-2 domains of customers at a PoP. Customers make and change them; an access segment is at a port."
    empty = "No customer has made a segment yet."
    list_display = ("name", "tenant", "pop", "kind", "uni", "ranges", "held", "mtu")
    list_select_related = ("tenant", "pop", "uni")
    list_filter = (BY_TENANT, "pop", "kind")
    search_fields = ("name", "id", "tenant__name", "prefixes__cidr")
    fieldsets = (("Segment", {"fields": (("name", "id"), ("tenant", "pop"), ("kind", "uni"), ("mtu", "created_at"))}),)
    on_tenant = "Segments"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        rows = super().get_queryset(request).annotate(held_count=Count("addresses")).prefetch_related("prefixes")
        found: QuerySet[Segment] = rows
        return found

    @admin.display(description="Prefixes")
    def ranges(self, segment: Segment) -> str:
        return looks.lines([prefix.cidr for prefix in segment.prefixes.all()])

    @admin.display(description="Addresses held", ordering="held_count")
    def held(self, segment: Any) -> int:
        count: int = segment.held_count
        return count

    def tables(self, request: HttpRequest, row: Segment) -> Iterable[Table]:
        yield Table(
            "Prefixes", ("Range",), [(looks.link(p),) for p in row.prefixes.all()], "It has no prefixes: no addresses."
        )
        held = row.addresses.select_related("instance")
        yield Table(
            "Addresses",
            ("Address", "Service", "Port", "Chosen by"),
            [
                (a, looks.link(a.instance, a.instance.name), a.port, "platform" if a.automatic else "customer")
                for a in held[:MOST]
            ],
            "No service has an address here.",
            more=list_of(Address, segment__id__exact=row.pk),
        )


@admin.register(Prefix)
class PrefixPage(Console):
    about = "Address ranges of segments. Ranges of one tenant never overlap; those of two tenants may."
    empty = "No segment has a prefix yet."
    list_display = ("cidr", "segment", "tenant")
    list_select_related = ("segment", "tenant")
    list_filter = (BY_TENANT,)
    search_fields = ("cidr", "segment__name")
    fieldsets = ((None, {"fields": ("cidr", "segment", "tenant")}),)


@admin.register(Address)
class AddressPage(Console):
    about = "Addresses that services hold in segments."
    empty = "No service holds an address yet."
    list_display = ("value", "prefix_length", "segment", "instance", "port", "automatic", "tenant")
    list_select_related = ("segment", "instance", "tenant")
    list_filter = (BY_TENANT, "automatic")
    search_fields = ("value", "instance__name", "segment__name")
    fieldsets = ((None, {"fields": ("value", "prefix_length", "segment", "instance", "port", "automatic", "tenant")}),)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in ("segment__id__exact", "instance__id__exact") or super().lookup_allowed(lookup, value, request)
