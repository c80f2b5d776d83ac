"""How rows are shown as JSON. Secrets never are: specs pass through `services.secrets.mask`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from services.certificates import fingerprint
from services.models import (
    Address,
    Authority,
    Deployment,
    DeploymentStep,
    Inquiry,
    Offering,
    OfferingSize,
    OrderItem,
    Pop,
    ProductOrder,
    Revision,
    Segment,
    ServiceEvent,
    ServiceInstance,
    Transport,
    Uni,
    with_ends,
)
from services.registry import kinds
from services.secrets import mask
from services.sweep import UNSEEN

ANY_OBJECT = {"type": "object", "additionalProperties": True}
#: Events that a service's detail shows; the rest is under its `events`.
LATEST_EVENTS = 20


class SizeJson(serializers.ModelSerializer[OfferingSize]):
    class Meta:
        model = OfferingSize
        fields = (
            "size",
            "vcpu",
            "memory_mb",
            "port_rate_mbps",
            "setup_price",
            "monthly_price",
            "hourly_price",
            "currency",
        )


class QuestionJson(serializers.Serializer[Any]):
    """Something a running service can be asked under its `inquiries`."""

    name = serializers.CharField()
    title = serializers.CharField()
    arguments = serializers.SerializerMethodField(help_text="JSON Schema of its arguments.")

    @extend_schema_field(ANY_OBJECT)
    def get_arguments(self, question: Any) -> Any:
        return question.arguments.model_json_schema()


class OfferingJson(serializers.ModelSerializer[Offering]):
    sizes = SizeJson(many=True)
    schema = serializers.JSONField(help_text="JSON Schema of the spec.")
    questions = serializers.SerializerMethodField()
    example = serializers.SerializerMethodField(help_text="A spec that is valid.")

    class Meta:
        model = Offering
        fields = ("id", "kind", "version", "name", "description", "on_sale", "sizes", "schema", "questions", "example")

    @extend_schema_field(QuestionJson(many=True))
    def get_questions(self, offering: Offering) -> Any:
        kind = kinds().get(offering.kind)
        return QuestionJson(list(kind.questions.values()) if kind else [], many=True).data

    @extend_schema_field(ANY_OBJECT)
    def get_example(self, offering: Offering) -> Any:
        kind = kinds().get(offering.kind)
        return dict(kind.example) if kind else {}


class TransportJson(serializers.ModelSerializer[Transport]):
    class Meta:
        model = Transport
        fields = ("name", "medium", "mtu")


class PopJson(serializers.ModelSerializer[Pop]):
    id = serializers.CharField(source="slug")
    transports = TransportJson(many=True)
    online = serializers.SerializerMethodField(help_text="Whether it was heard of within the last minute.")

    class Meta:
        model = Pop
        fields = ("id", "slug", "name", "city", "country", "latitude", "longitude", "status", "online", "transports")

    def get_online(self, pop: Pop) -> bool:
        return pop.last_seen_at is not None and pop.last_seen_at > timezone.now() - UNSEEN


class UniJson(serializers.ModelSerializer[Uni]):
    pop = serializers.CharField(source="pop_id")
    segment = serializers.SerializerMethodField(help_text="The id of the access segment on it, if there is one.")

    class Meta:
        model = Uni
        fields = ("id", "name", "pop", "interface", "vlan", "mtu", "segment", "created_at")

    def get_segment(self, uni: Uni) -> str | None:
        segment = getattr(uni, "segment", None)
        return segment.pk if segment else None


class SegmentJson(serializers.ModelSerializer[Segment]):
    pop = serializers.CharField(source="pop_id")
    uni = serializers.CharField(source="uni_id", allow_null=True)
    prefixes: Any = serializers.SlugRelatedField("cidr", many=True, read_only=True)

    class Meta:
        model = Segment
        fields = ("id", "name", "kind", "pop", "uni", "mtu", "prefixes", "created_at")


class ConditionJson(serializers.Serializer[Any]):
    type = serializers.CharField()
    status = serializers.ChoiceField(choices=["true", "false", "unknown"])
    message = serializers.CharField()
    readiness = serializers.BooleanField(help_text="Whether the service counts as standing without it.")


class StepJson(serializers.ModelSerializer[DeploymentStep]):
    class Meta:
        model = DeploymentStep
        fields = (
            "generation",
            "run",
            "position",
            "total",
            "action",
            "subject",
            "reason",
            "state",
            "started_at",
            "duration_ms",
            "message",
        )


class DeploymentJson(serializers.ModelSerializer[Deployment]):
    pop = serializers.CharField(source="pop_id")
    conditions = ConditionJson(many=True)

    class Meta:
        model = Deployment
        fields = ("pop", "generation", "observed_generation", "phase", "reason", "conditions", "reported_at")


class AddressJson(serializers.ModelSerializer[Address]):
    address = serializers.CharField(source="__str__", help_text="In CIDR notation.")
    segment = serializers.CharField(source="segment_id")

    class Meta:
        model = Address
        fields = ("port", "segment", "address", "automatic")


class EventJson(serializers.ModelSerializer[ServiceEvent]):
    class Meta:
        model = ServiceEvent
        fields = ("id", "at", "type", "message")


class AuthorityJson(serializers.ModelSerializer[Authority]):
    certificate = serializers.CharField(help_text="In PEM.")
    fingerprint = serializers.SerializerMethodField(help_text="SHA-256 of the certificate, to be compared by eye.")

    class Meta:
        model = Authority
        fields = ("certificate", "fingerprint", "created_at", "not_after")

    def get_fingerprint(self, authority: Authority) -> str:
        return fingerprint(authority.certificate)


class BirthCertificateJson(serializers.Serializer[Any]):
    """What proved that a service works when it became active for the first time."""

    at = serializers.DateTimeField()
    generation = serializers.IntegerField()
    conditions = ConditionJson(many=True)


class ServiceSummary(serializers.ModelSerializer[ServiceInstance]):
    """A service, of rows `with_ends`."""

    pop = serializers.CharField(source="pop_id")
    size = serializers.CharField(source="size.size")
    terminates_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When its removal begins, which was ordered and waits."
    )

    class Meta:
        model = ServiceInstance
        fields: tuple[str, ...] = (
            "id",
            "name",
            "kind",
            "pop",
            "size",
            "state",
            "health",
            "health_reason",
            "generation",
            "created_at",
            "activated_at",
            "terminates_at",
            "terminated_at",
        )


class ServiceJson(ServiceSummary):
    """A service: what is wanted of it (`spec`, `generation`) and what was found (`conditions`, `deployments`)."""

    spec = serializers.SerializerMethodField(help_text="What is wanted. Secrets are masked.")
    conditions = serializers.SerializerMethodField()
    addresses = AddressJson(many=True)
    deployments = DeploymentJson(many=True)
    events = serializers.SerializerMethodField(help_text=f"The latest {LATEST_EVENTS}.")
    birth_certificate = BirthCertificateJson(allow_null=True)

    class Meta(ServiceSummary.Meta):
        fields = (
            *ServiceSummary.Meta.fields,
            "spec",
            "conditions",
            "addresses",
            "deployments",
            "events",
            "birth_certificate",
        )

    @extend_schema_field(ANY_OBJECT)
    def get_spec(self, service: ServiceInstance) -> Any:
        return mask(service.spec)

    @extend_schema_field(ConditionJson(many=True))
    def get_conditions(self, service: ServiceInstance) -> Any:
        return [condition for deployment in service.deployments.all() for condition in deployment.conditions]

    @extend_schema_field(EventJson(many=True))
    def get_events(self, service: ServiceInstance) -> Any:
        return EventJson(service.events.all()[:LATEST_EVENTS], many=True).data


class NamedService(serializers.ModelSerializer[ServiceInstance]):
    class Meta:
        model = ServiceInstance
        fields = ("id", "name", "kind", "state")


class ItemSummary(serializers.ModelSerializer[OrderItem]):
    service = NamedService(source="instance")
    size = serializers.CharField(source="size.size")

    class Meta:
        model = OrderItem
        fields: tuple[str, ...] = (
            "id",
            "position",
            "action",
            "service",
            "size",
            "state",
            "reason",
            "generation",
            "compensation",
            "setup_price",
            "monthly_price",
            "hourly_price",
            "currency",
            "completed_at",
        )


class ItemJson(ItemSummary):
    """One thing an order does, with the steps that its PoP has taken so far."""

    spec = serializers.SerializerMethodField(help_text="What was ordered. Secrets are masked.")
    steps = serializers.SerializerMethodField()

    class Meta(ItemSummary.Meta):
        fields = (*ItemSummary.Meta.fields, "spec", "steps")

    @extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
    def get_spec(self, item: OrderItem) -> Any:
        return mask(item.spec)

    @extend_schema_field(StepJson(many=True))
    def get_steps(self, item: OrderItem) -> Any:
        return StepJson(steps_of(item), many=True).data


def steps_of(item: OrderItem) -> list[DeploymentStep]:
    """The steps taken for the item and for undoing it, oldest first."""
    generations = {item.generation, item.compensation}
    taken = [
        step
        for deployment in item.instance.deployments.all()
        for step in deployment.steps.all()
        if step.generation in generations
    ]
    return sorted(taken, key=lambda step: (step.started_at, step.position))


class OrderSummary(serializers.ModelSerializer[ProductOrder]):
    retry_of = serializers.CharField(source="retry_of_id", allow_null=True)
    items = ItemSummary(many=True)

    class Meta:
        model = ProductOrder
        fields: tuple[str, ...] = (
            "id",
            "state",
            "reason",
            "external_id",
            "note",
            "placed_by",
            "placed_at",
            "starts_at",
            "deadline",
            "completed_at",
            "retry_of",
            "items",
        )


class OrderJson(OrderSummary):
    items = ItemJson(many=True)

    class Meta(OrderSummary.Meta):
        pass


class GenerationJson(serializers.ModelSerializer[Revision]):
    size = serializers.CharField(source="size.size")
    spec = serializers.SerializerMethodField(help_text="Null: its removal. Secrets are masked.")

    class Meta:
        model = Revision
        fields = ("generation", "reason", "size", "spec", "created_at", "worked_at")

    @extend_schema_field(ANY_OBJECT | {"nullable": True})
    def get_spec(self, revision: Revision) -> Any:
        return mask(revision.spec)


class InquiryJson(serializers.ModelSerializer[Inquiry]):
    service = serializers.CharField(source="instance_id")
    status = serializers.IntegerField(allow_null=True, help_text="Exit status of the command.")

    class Meta:
        model = Inquiry
        fields = (
            "id",
            "service",
            "question",
            "arguments",
            "state",
            "status",
            "output",
            "error",
            "asked_at",
            "asked_by",
            "answered_at",
        )


class RehearsedStepJson(serializers.Serializer[Any]):
    action = serializers.CharField()
    subject = serializers.CharField()
    reason = serializers.CharField()


def money(digits: int) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=12, decimal_places=digits)


class ItemPreviewJson(serializers.Serializer[Any]):
    action = serializers.CharField()
    service = serializers.CharField(help_text="Its name.")
    kind = serializers.CharField()
    steps = RehearsedStepJson(many=True, source="rehearsal.steps")
    interrupts = serializers.ListField(
        child=serializers.CharField(), source="rehearsal.interrupts", help_text="Where traffic is cut meanwhile."
    )
    setup = money(2)
    monthly_before = money(2)
    monthly_after = money(2)
    hourly_before = money(4)
    hourly_after = money(4)
    currency = serializers.CharField()


class PreviewJson(serializers.Serializer[Any]):
    """What an order would do, without doing it."""

    items = ItemPreviewJson(many=True)
    setup = money(2)
    monthly_difference = money(2)
    hourly_difference = money(4)


def with_prices(rows: QuerySet[Offering]) -> QuerySet[Offering]:
    return rows.prefetch_related("sizes")


def with_items(rows: QuerySet[ProductOrder]) -> QuerySet[ProductOrder]:
    """Rows for `OrderSummary`, in three queries."""
    return rows.prefetch_related("items__instance", "items__size")


def with_steps(rows: QuerySet[ProductOrder]) -> QuerySet[ProductOrder]:
    """Rows for `OrderJson`, in a number of queries that does not grow with the order."""
    return with_items(rows).prefetch_related("items__instance__deployments__steps")


def with_state(rows: QuerySet[ServiceInstance]) -> QuerySet[ServiceInstance]:
    """Rows for `ServiceJson`."""
    return with_ends(rows.select_related("size")).prefetch_related("addresses", "deployments")
