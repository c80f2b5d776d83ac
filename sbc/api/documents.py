"""Documents over HTTP: trunks, routes, source rules and emergency numbers, read and written in one form.

A secret is shown as `********`, and sent like that it stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import extend_schema, extend_schema_view
from pydantic import BaseModel
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from naas.core.errors import Invalid, NotFound, Problem
from sbc import configuration
from sbc.api import filters
from sbc.api.base import OfSbc
from sbc.kind import security
from sbc.kind.route import RouteSpec
from sbc.kind.security import EmergencySpec
from sbc.kind.trunk import TrunkSpec
from sbc.models import Emergency, Route, SourceRule, Trunk
from sbc.models.configuration import Named
from sbc.sections.base import Section
from sbc.sections.routes import ROUTES
from sbc.sections.sources import SOURCES
from sbc.sections.trunks import TRUNKS
from services.api.read import ANY_OBJECT
from services.secrets import mask, protect

#: What answers tell besides the document. Sent back it is not looked at, so that what was read can be written.
TOLD = ("created_at", "changed_at")


class DocumentJson(serializers.BaseSerializer[Any]):
    """A row as its document, secrets masked, and when it came and changed."""

    document: ClassVar[type[BaseModel]]
    told: ClassVar[tuple[str, ...]] = TOLD

    def to_representation(self, row: Any) -> dict[str, Any]:
        shown: dict[str, Any] = mask(row.document)
        return shown | {name: _moment(getattr(row, name)) for name in self.told}


def _moment(at: datetime | None) -> str | None:
    return serializers.DateTimeField().to_representation(at) if at else None


class TrunkJson(DocumentJson):
    document = TrunkSpec


class RouteJson(DocumentJson):
    document = RouteSpec


class SourceRuleJson(DocumentJson):
    document = security.SourceRule


class EmergencyJson(DocumentJson):
    document = EmergencySpec
    told = ("changed_at",)


class Description(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describes a document by its own model."""

    target_class = "sbc.api.documents.DocumentJson"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        shown: type[DocumentJson] = self.target if isinstance(self.target, type) else type(self.target)
        schema = shown.document.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in schema.pop("$defs", {}).items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, schema=part, object=name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        if direction == "response":
            moment = {"type": "string", "format": "date-time", "readOnly": True}
            schema["properties"] |= dict.fromkeys(shown.told, moment)
        return schema


class Documents(mixins.ListModelMixin, mixins.RetrieveModelMixin, OfSbc):
    """A section of the configuration, whose documents are addressed by their names; `path` is where it is."""

    section: Section[Any, Any]
    path: str

    def get_object(self) -> Any:
        row = self.get_queryset().select_related("instance").filter(name=self.kwargs["pk"]).first()
        if row is None:
            raise NotFound(f"no {self.section.noun} with id {self.kwargs['pk']}")
        return row

    def create(self, request: Request, service: str) -> Response:
        instance = self.service
        row = configuration.create(
            actor=self.actor, instance=instance, section=self.section, document=_document(request)
        )
        headers = {"Location": f"/api/v1/sbc/{instance.pk}/{self.path}/{row.name}"}
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED, headers=headers)

    def update(self, request: Request, service: str, pk: str) -> Response:
        return self._change(self.get_object(), {"name": pk} | _document(request))

    def partial_update(self, request: Request, service: str, pk: str) -> Response:
        row = self.get_object()
        return self._change(row, mask(row.document) | _document(request))

    def destroy(self, request: Request, service: str, pk: str) -> Response:
        configuration.remove(actor=self.actor, row=self.get_object(), section=self.section)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, row: Named, document: dict[str, Any]) -> Response:
        changed = configuration.change(actor=self.actor, row=row, section=self.section, document=document)
        return Response(self.get_serializer(changed).data)


def _document(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, Mapping):
        raise Invalid([Problem("", "an object is needed")])
    return {name: value for name, value in request.data.items() if name not in TOLD}


def _described(shown: type[DocumentJson], noun: str) -> Any:
    """What the operations of a section are for."""
    return extend_schema_view(
        list=extend_schema(summary=f"The {noun}s"),
        retrieve=extend_schema(summary=f"One {noun}"),
        create=extend_schema(summary=f"Add a {noun}", responses={201: shown}),
        update=extend_schema(summary=f"Put another {noun} of the same name in its place"),
        partial_update=extend_schema(
            summary=f"Change fields of a {noun}, each as a whole", request={"application/json": ANY_OBJECT}
        ),
        destroy=extend_schema(summary=f"Remove a {noun} that nothing needs"),
    )


@_described(TrunkJson, "trunk")
@extend_schema(tags=["sbc"])
class Trunks(Documents):
    """PBXs and carriers. A change is in force for the next call."""

    model = Trunk
    section = TRUNKS
    path = "trunks"
    serializer_class = TrunkJson
    filterset_class = filters.TrunkFilter
    ordering_fields = ("name", "side", "created_at", "changed_at")


@_described(RouteJson, "route")
@extend_schema(tags=["sbc"])
class Routes(Documents):
    """Where calls go. Patterns before prefixes, longer prefixes before shorter ones, then by `order`."""

    model = Route
    section = ROUTES
    path = "routes"
    serializer_class = RouteJson
    filterset_class = filters.RouteFilter
    ordering_fields = ("name", "prefix", "order", "created_at", "changed_at")


@_described(SourceRuleJson, "source rule")
@extend_schema(tags=["sbc"])
class Sources(Documents):
    """Who may send anything at all."""

    model = SourceRule
    section = SOURCES
    path = "sources"
    serializer_class = SourceRuleJson
    filterset_class = filters.SourceRuleFilter
    ordering_fields = ("name", "cidr", "created_at", "changed_at")


@extend_schema(tags=["sbc"])
class EmergencyNumbers(OfSbc):
    """Numbers that always go through."""

    model = Emergency
    serializer_class = EmergencyJson

    @extend_schema(summary="The emergency numbers and where they lead", operation_id="sbc_emergency_retrieve")
    def retrieve(self, request: Request, service: str) -> Response:
        row = self.get_queryset().first() or Emergency(document=protect(EmergencySpec()))
        return Response(self.get_serializer(row).data)

    @extend_schema(summary="Make these the emergency numbers", operation_id="sbc_emergency_update")
    def update(self, request: Request, service: str) -> Response:
        row = configuration.set_emergency(actor=self.actor, instance=self.service, document=_document(request))
        return Response(self.get_serializer(row).data)
