"""How an SBC stands: how far its tables are, and which certificate it shows."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from sbc import certificates
from sbc.api.base import OfSbc
from sbc.models import Tables
from services.api import read
from services.api.orders import answer
from services.models import ServiceInstance
from tenants.api.serializers import StrictSerializer, Text


class TablesJson(serializers.Serializer[Any]):
    """The revision of the configuration that is wanted, and the one found at the PoP. Equal: all of it is in force."""

    wanted = serializers.IntegerField()
    found = serializers.IntegerField(allow_null=True, help_text="Null before the PoP has said anything.")
    in_force = serializers.SerializerMethodField()
    changed_at = serializers.DateTimeField(allow_null=True)
    sent_at = serializers.DateTimeField(allow_null=True)
    found_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(help_text="Why the PoP refused what it was sent last; empty when it did not.")

    def get_in_force(self, tables: Tables) -> bool:
        return tables.wanted == tables.found


@extend_schema(tags=["sbc"])
class TablesState(OfSbc):
    """How far the configuration has come to the PoP."""

    model = Tables
    serializer_class = TablesJson

    @extend_schema(summary="Whether all that is configured is in force", operation_id="sbc_tables_retrieve")
    def retrieve(self, request: Request, service: str) -> Response:
        return Response(TablesJson(self.get_queryset().first() or Tables()).data)


class IssuerJson(serializers.Serializer[Any]):
    """A certificate as people read it; null where there is none."""

    subject = serializers.CharField(allow_null=True)
    issuer = serializers.CharField(allow_null=True)
    names = serializers.ListField(child=serializers.CharField(), help_text="DNS names and addresses.")
    not_before = serializers.DateTimeField(allow_null=True)
    not_after = serializers.DateTimeField(allow_null=True)
    fingerprint = serializers.CharField(allow_null=True, help_text="SHA-256, in hexadecimal.")
    serial = serializers.CharField(allow_null=True, help_text="In hexadecimal.")
    key = serializers.CharField(allow_null=True, help_text="The kind of its key.")


class CertificateJson(IssuerJson):
    """The certificate that the SBC shows; fields of it are null where there is none."""

    source = serializers.ChoiceField(choices=[source.value for source in certificates.Source])  # type: ignore[assignment]
    above = IssuerJson(many=True, help_text="The certificates above it, up to the authority where that is known.")


class CertificateBody(StrictSerializer):
    certificate = Text(max_length=200_000, trim_whitespace=False, help_text="PEM, the SBC's own first.")
    key = Text(max_length=20_000, trim_whitespace=False, help_text="PEM, without a passphrase.")


@extend_schema(tags=["sbc"])
class Certificate(OfSbc):
    """The SBC's certificate. A change of it is an order, and takes no restart."""

    model = ServiceInstance
    serializer_class = CertificateJson

    @extend_schema(summary="The certificate that the SBC shows", operation_id="sbc_certificate_retrieve")
    def retrieve(self, request: Request, service: str) -> Response:
        return Response(CertificateJson(certificates.shown(self.service)).data)

    @extend_schema(
        request=CertificateBody,
        responses={202: read.OrderJson},
        summary="Show a certificate of yours; the answer is the order",
        operation_id="sbc_certificate_update",
    )
    def update(self, request: Request, service: str) -> Response:
        instance = self.service
        body = CertificateBody(data=request.data)
        body.is_valid(raise_exception=True)
        order = certificates.bring(actor=self.actor, instance=instance, **body.validated_data)
        return answer(order, status.HTTP_202_ACCEPTED)

    @extend_schema(
        responses={202: read.OrderJson},
        summary="Show one that the platform issues; the answer is the order",
        operation_id="sbc_certificate_destroy",
    )
    def destroy(self, request: Request, service: str) -> Response:
        return answer(certificates.return_to_issued(actor=self.actor, instance=self.service), status.HTTP_202_ACCEPTED)


@extend_schema(tags=["sbc"])
class Renewal(OfSbc):
    """A new certificate of the platform before its time."""

    model = ServiceInstance
    serializer_class = CertificateJson

    @extend_schema(
        request=None,
        responses={202: CertificateJson},
        summary="Have the platform issue another certificate now; the answer is that one",
    )
    def create(self, request: Request, service: str) -> Response:
        """It is shown within seconds, without a restart and without an order; calls go on."""
        renewed = certificates.renew(actor=self.actor, instance=self.service)
        return Response(CertificateJson(renewed).data, status=status.HTTP_202_ACCEPTED)
