"""Proof that an SBC works, and who it says it is: test calls, and its certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from naas.core.errors import Invalid, Problem
from sbc import certificates, testcalls
from sbc.models import TestCall
from sbc.portal.documents import OfSbc
from sbc.probe.call import Wanted
from sbc.probe.tone import FREQUENCY
from services.models import Inquiry
from tenants.portal.lists import Column, Empty, Filter, ListPage

#: Days before its end from which a certificate is worth a word.
SOON = 14
TRANSPORTS = ("udp", "tcp", "tls")


class TestCalls(OfSbc, ListPage):
    """Test calls, the one by which the SBC was accepted among them, and a new one."""

    __test__ = False  # it is no test, whatever its name tells pytest

    title = "Test calls"
    tab = "sbc-test-calls"
    template = "portal/sbc/test_calls.html"
    model = TestCall
    follows = "testcall"
    row = "portal/sbc/test_calls_row.html"
    columns = (
        Column("Made", lambda call: call.made_at.isoformat(), "made_at"),
        Column("Result", lambda call: {True: "passed", False: "failed"}.get(call.passed, "not known")),
        Column("What was found", lambda call: call.message),
        Column("Set-up", lambda call: (call.result or {}).get("setup"), figure=True),
        Column("MOS", lambda call: (call.result or {}).get("mos"), figure=True),
        Column("Occasion", lambda call: call.occasion),
        Column("By", lambda call: call.made_by),
    )
    filters: ClassVar = (
        Filter("passed", "Result", "passed", lambda _page: [("True", "passed"), ("False", "failed")]),
        Filter("occasion", "Occasion", "occasion", lambda _page: TestCall.Occasion.choices),
    )
    empty = Empty("phone", "No test calls yet", "A test call goes through the SBC to an echo and back, as a real one.")

    def rows(self) -> QuerySet[TestCall]:
        return super().rows().filter(instance=self.service)

    def context(self) -> Mapping[str, Any]:
        waiting = self.rows().filter(message="", inquiry__isnull=False)
        for call in waiting.select_related("inquiry"):
            testcalls.settle(call)
        return {
            **super().context(),
            "waiting": waiting.filter(inquiry__state=Inquiry.State.OPEN).exists(),
            "transports": TRANSPORTS,
        }

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        how: dict[str, Any] = {}
        if transport := request.POST.get("transport"):
            how["transport"] = transport
        if srtp := request.POST.get("srtp"):
            how["srtp"] = srtp == "on"
        testcalls.make(actor=self.actor, instance=self.service, **how)
        return self.redirect(self.tab, id=self.service.pk)


class Certificate(OfSbc):
    tab = "sbc-certificate"
    title = "Certificate"
    template = "portal/sbc/certificate.html"

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        return self.page(())

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """Show one of the customer's, go back to the platform's (either is an order), or have a new one of these."""
        if request.POST.get("act") == "renew":
            renewed = certificates.renew(actor=self.actor, instance=self.service)
            self.say(f"A new certificate is issued, with the serial number {renewed.serial}; it is shown in a moment.")
            return self.redirect(self.tab, id=self.service.pk)
        try:
            if request.POST.get("act") == "issued":
                order = certificates.return_to_issued(actor=self.actor, instance=self.service)
            else:
                chain, key = (request.POST.get(name, "").replace("\r\n", "\n") for name in ("certificate", "key"))
                order = certificates.bring(actor=self.actor, instance=self.service, certificate=chain, key=key)
        except Invalid as refused:
            return self.page(refused.problems)
        return self.redirect("order", id=order.pk)

    def page(self, problems: Sequence[Problem]) -> HttpResponse:
        shown = certificates.shown(self.service)
        left = (shown.not_after - timezone.now()).days if shown.not_after else None
        known = {"certificate", "key"}
        return self.show(
            {
                "shown": shown,
                "state": state_of(shown),
                "days_left": left,
                "said": {name: "; ".join(p.message for p in problems if p.path == name) for name in known},
                "general": [f"{p.path}: {p.message}" for p in problems if p.path not in known],
            }
        )


def state_of(shown: certificates.Shown) -> tuple[str, str] | None:
    """What a badge says of a certificate; None where there is none."""
    if shown.not_after is None:
        return None
    left = (shown.not_after - timezone.now()).days
    if left < 0:
        return "down", "has ended"
    return ("degraded", "ends soon") if left < SOON else ("active", "valid")


class Birth(OfSbc):
    """What proved that the SBC works, before it was handed over."""

    tab = "sbc-test-calls"
    title = "Birth certificate"
    template = "portal/sbc/birth.html"

    def context(self) -> Mapping[str, Any]:
        testcalls.sweep_one(self.service)
        call = self.scope.all(TestCall).filter(instance=self.service, occasion=TestCall.Occasion.ACCEPTANCE).first()
        return {
            "call": call,
            "measured": (call.result or testcalls.measured(call.message)) if call else {},
            "seconds": Wanted.tone,
            "digits": Wanted.digits,
            "hertz": round(FREQUENCY),
            "born": self.service.birth_certificate,
        }
