"""What happens in an SBC now, asked of it through the looking glass: calls, bans, the state of trunks, test calls."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from naas.core.errors import NotFound
from sbc import asking, testcalls
from sbc.api import filters
from sbc.api.base import OfSbc
from sbc.models import TestCall
from sbc.peers import Health
from services.api.services import PREFER, preferred_wait
from services.inquiries import awaited
from services.models import Inquiry
from tenants.api.pagination import Pages
from tenants.api.serializers import StrictSerializer

#: Seconds that an answer is waited for where the request does not say how long.
USUAL_WAIT = 10


class HeardJson(serializers.Serializer[Any]):
    """What one end hears; null is what it did not report."""

    mos = serializers.FloatField(allow_null=True)
    loss = serializers.FloatField(allow_null=True, help_text="Percent")
    jitter = serializers.FloatField(allow_null=True, help_text="Milliseconds")
    round_trip = serializers.FloatField(allow_null=True, help_text="Milliseconds")


class QualityJson(serializers.Serializer[Any]):
    caller = HeardJson(allow_null=True)
    callee = HeardJson(allow_null=True)


class CallJson(serializers.Serializer[Any]):
    """A call that stands, or is being set up. Moments in milliseconds of Unix time."""

    id = serializers.CharField(help_text="Its record will have it as `key`")
    started = serializers.IntegerField()
    answered = serializers.IntegerField(allow_null=True)
    caller = serializers.CharField()
    called = serializers.CharField()
    from_trunk = serializers.CharField()
    to_trunk = serializers.CharField(allow_null=True)
    codec = serializers.CharField(allow_null=True)
    quality = QualityJson(allow_null=True)


class PeerAddressJson(serializers.Serializer[Any]):
    """An address that is asked by OPTIONS. Moments in milliseconds of Unix time, null where there is none yet."""

    uri = serializers.CharField()
    state = serializers.ChoiceField(choices=[health.value for health in Health])
    since = serializers.IntegerField(allow_null=True, help_text="When it came to be in this state.")
    failures = serializers.IntegerField(help_text="Questions in a row that failed.")
    code = serializers.IntegerField(allow_null=True, help_text="Of the answer to the last question; null for none.")
    answered = serializers.IntegerField(allow_null=True, help_text="When it answered last.")


class RegistrationStateJson(serializers.Serializer[Any]):
    """How the SBC's registration with a trunk stands. Moments as above."""

    state = serializers.ChoiceField(choices=["registered", "refused", "silent", "unknown"])
    until = serializers.IntegerField(allow_null=True, help_text="Unless it is refreshed, as it is in time.")
    since = serializers.IntegerField(allow_null=True, help_text="Without a gap.")
    code = serializers.IntegerField(allow_null=True, help_text="Of the answer to the last request; null for none.")
    answered = serializers.IntegerField(allow_null=True, help_text="When the registrar answered last.")
    tries = serializers.IntegerField(help_text="Requests since the last success.")


class PeerNameJson(serializers.Serializer[Any]):
    """A name by which the trunk is reached, and what was found for it. Moments as above."""

    name = serializers.CharField(help_text="As a URI.")
    found = serializers.ListField(
        child=serializers.CharField(), help_text="URIs; the last ones while there is an error."
    )
    since = serializers.IntegerField(allow_null=True, help_text="When they were first found so.")
    until = serializers.IntegerField(allow_null=True, help_text="When it is looked up again.")
    error = serializers.CharField(help_text="Why nothing is found now; empty when something is.")


class TrunkStateJson(serializers.Serializer[Any]):
    """How a trunk with a health check, a registration or a name fares. Degraded: some addresses are down, and get
    no calls. Addresses are listed when they are asked, and unknown when they are not."""

    trunk = serializers.CharField()
    state = serializers.ChoiceField(choices=["down", "degraded", "unknown", "up"])
    addresses = PeerAddressJson(many=True)
    registration = RegistrationStateJson(allow_null=True)
    names = PeerNameJson(many=True)


class BanJson(serializers.Serializer[Any]):
    address = serializers.CharField(help_text="An address, or of IPv6 the /64 that it is in")
    reason = serializers.CharField()
    until = serializers.IntegerField(help_text="Seconds of Unix time")


class Asking(OfSbc):
    """Asks the SBC and waits for its answer, up to the seconds of `Prefer: wait`."""

    pagination_class: Any = None

    def answer(self, question: str, **arguments: Any) -> Any:
        """What the SBC says, as JSON. Raises `TemporaryError`."""
        return asking.answer(
            actor=self.actor, instance=self.service, question=question, wait=self.patience, **arguments
        )

    def order(self, question: str, what: str, **arguments: Any) -> Response:
        """Have the SBC do something to what `what` names. Raises `NotFound` when it knows no such thing."""
        asking.have(
            actor=self.actor, instance=self.service, question=question, what=what, wait=self.patience, **arguments
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @property
    def patience(self) -> int:
        return preferred_wait(self.request) or USUAL_WAIT


class Page(Pages):
    """A page that the SBC has cut already."""

    def arguments(self, request: Request) -> dict[str, Any]:
        self.request, self.limit, self.offset = request, self.get_limit(request), self.get_offset(request)
        return {"first": self.offset, "most": self.limit}

    def response(self, answer: Any, name: str) -> Response:
        self.count = answer["count"]
        return self.get_paginated_response(answer[name])


@extend_schema(tags=["sbc"])
class Calls(Asking):
    """Calls that stand now."""

    model = Inquiry
    serializer_class = CallJson
    pagination_class = Page
    other_parameters = frozenset({"trunk"})

    @extend_schema(
        parameters=[PREFER, OpenApiParameter("trunk", str, description="Only calls from or to this trunk")],
        responses=CallJson(many=True),
        summary="Calls that stand",
    )
    def list(self, request: Request, service: str) -> Response:
        """The oldest first. Moments are exact; a call shows here within a second of its change."""
        self.filter_queryset(self.get_queryset())  # refuses parameters that it does not know
        page = Page()
        arguments = page.arguments(request)
        if trunk := request.query_params.get("trunk"):
            arguments |= {"trunk": trunk}
        return page.response(self.answer("calls", **arguments), "calls")

    @extend_schema(parameters=[PREFER], summary="End a call")
    def destroy(self, request: Request, service: str, pk: str) -> Response:
        """Both sides are told. Its record will say `ended-by-tenant`."""
        return self.order("end-call", f"call {pk}", call=pk)


@extend_schema(tags=["sbc"])
class TrunkStates(Asking):
    """Whether the trunks that are asked are there, and the SBC is registered with those that want it."""

    model = Inquiry
    serializer_class = TrunkStateJson
    pagination_class = Page

    @extend_schema(
        parameters=[PREFER],
        responses=TrunkStateJson(many=True),
        summary="Whether trunks answer and registrations stand",
    )
    def list(self, request: Request, service: str) -> Response:
        """What is not well comes first."""
        self.filter_queryset(self.get_queryset())  # refuses parameters that it does not know
        page = Page()
        return page.response(self.answer("trunks", **page.arguments(request)), "trunks")

    @extend_schema(
        parameters=[PREFER],
        responses=TrunkStateJson,
        summary="Whether a trunk answers and its registration stands",
        operation_id="sbc_trunk_states_retrieve",
    )
    def retrieve(self, request: Request, service: str, pk: str) -> Response:
        found = self.answer("trunks", trunk=pk)["trunks"]
        if not found:
            raise NotFound(f"no trunk {pk} is asked for anything: give it a health_check, or register with it")
        return Response(found[0])


@extend_schema(tags=["sbc"])
class Bans(Asking):
    """Sources that are not heard for a while, because of what they sent."""

    model = Inquiry
    serializer_class = BanJson

    @extend_schema(parameters=[PREFER], responses=BanJson(many=True), summary="Sources that are not heard")
    def list(self, request: Request, service: str) -> Response:
        return Response(self.answer("bans"))

    @extend_schema(parameters=[PREFER], summary="Hear a source again")
    def destroy(self, request: Request, service: str, pk: str) -> Response:
        return self.order("lift", f"ban of {pk}", address=pk)


# --- test calls -------------------------------------------------------------------------


class TestCallJson(serializers.ModelSerializer[TestCall]):
    """A test call. `passed` is null while nobody knows; `result` is everything that was measured."""

    __test__ = False  # it is no test, whatever its name tells pytest

    service = serializers.CharField(source="instance_id")
    inquiry = serializers.CharField(source="inquiry_id", allow_null=True)

    class Meta:
        model = TestCall
        fields = (
            "id",
            "service",
            "occasion",
            "generation",
            "made_at",
            "made_by",
            "inquiry",
            "passed",
            "message",
            "result",
        )


class TestCallBody(StrictSerializer):
    """What is not said is as in the call that the platform makes itself."""

    __test__ = False  # as above

    transport = serializers.ChoiceField(choices=["udp", "tcp", "tls"], required=False)
    srtp = serializers.BooleanField(required=False)


@extend_schema(tags=["sbc"])
class TestCalls(mixins.ListModelMixin, mixins.RetrieveModelMixin, OfSbc):
    """Calls that prove that the SBC works. The one of acceptance is its birth certificate."""

    __test__ = False  # as above

    model = TestCall
    serializer_class = TestCallJson
    filterset_class = filters.TestCallFilter
    ordering_fields = ("made_at",)
    # It waits for a PoP; a call made twice does no harm.
    idempotent_atomic = False

    @extend_schema(
        request=TestCallBody,
        responses={201: TestCallJson, 202: TestCallJson},
        parameters=[PREFER],
        summary="Make a test call",
    )
    def create(self, request: Request, service: str) -> Response:
        """Answers 201 with the outcome, or 202 with a test call to look at later."""
        wait = preferred_wait(request)
        instance = self.service
        body = TestCallBody(data=request.data)
        body.is_valid(raise_exception=True)
        call = testcalls.make(actor=self.actor, instance=instance, **body.validated_data)
        assert call.inquiry is not None
        call.inquiry = awaited(call.inquiry, self.scope, wait)
        waiting = call.inquiry.state == Inquiry.State.OPEN
        headers = {"Location": f"/api/v1/sbc/{instance.pk}/test-calls/{call.pk}"}
        if wait:
            headers["Preference-Applied"] = f"wait={wait}"
        return Response(
            TestCallJson(testcalls.settle(call)).data,
            status=status.HTTP_202_ACCEPTED if waiting else status.HTTP_201_CREATED,
            headers=headers,
        )
