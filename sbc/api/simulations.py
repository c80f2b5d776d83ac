"""The dial simulator over HTTP: where a call would go, and why. It changes nothing, so whoever may look may ask."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sbc.api.base import OfSbc
from sbc.api.documents import DocumentJson
from sbc.models import Route
from sbc.policy import Stage
from sbc.simulation import CallSpec, Outcome, simulate
from tenants.actor import Role


class CallBody(DocumentJson):
    document = CallSpec
    told = ()


class StepJson(serializers.Serializer[Any]):
    """A step of the reasoning. What is not taken was passed over, for the reason told."""

    stage = serializers.ChoiceField(choices=[stage.value for stage in Stage])
    says = serializers.CharField()
    name = serializers.CharField(help_text="The source rule, trunk or route that it is by, or empty.")
    taken = serializers.BooleanField()


class TargetJson(serializers.Serializer[Any]):
    """One attempt: the number that is asked for, and what the trunk learns of who calls."""

    trunk = serializers.CharField()
    uri = serializers.CharField()
    number = serializers.CharField()
    caller = serializers.CharField(source="who.caller", help_text="In From; empty for an anonymous call.")
    asserted = serializers.CharField(source="who.asserted", help_text="In P-Asserted-Identity; empty without one.")
    private = serializers.BooleanField(source="who.private", help_text="Whether it is asked not to tell others.")


class SimulationJson(serializers.Serializer[Any]):
    """What becomes of the call: `targets` in the order in which they are tried, or the `code` it is refused with."""

    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in Outcome])
    code = serializers.IntegerField(allow_null=True, help_text="Of SIP; null unless the call is refused.")
    at = serializers.DateTimeField()
    side = serializers.CharField()
    trunk = serializers.CharField(allow_null=True, help_text="Whose call it is.")
    route = serializers.CharField(allow_null=True)
    emergency = serializers.BooleanField()
    steps = StepJson(many=True)
    targets = TargetJson(many=True)


@extend_schema(tags=["sbc"])
class Simulations(OfSbc):
    """Calls that are only thought of."""

    model = Route
    serializer_class = SimulationJson
    writes = Role.VIEWER

    @extend_schema(
        request=CallBody,
        responses=SimulationJson,
        summary="Where a call would go, and why",
        operation_id="sbc_simulations_create",
    )
    def create(self, request: Request, service: str) -> Response:
        """What only the SBC knows is left out: limits are taken not to be reached, addresses to answer."""
        found = simulate(self.service, request.data)
        decision = found.decision
        answer = {
            "outcome": found.outcome,
            "code": decision.code if found.outcome is Outcome.REFUSED else None,
            "at": found.at,
            "side": found.call.side,
            "trunk": decision.trunk or None,
            "route": decision.route or None,
            "emergency": decision.emergency,
            "steps": decision.why,
            "targets": decision.attempts,
        }
        return Response(SimulationJson(answer).data)
