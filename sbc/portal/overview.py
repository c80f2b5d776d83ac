"""An SBC at a glance. What the platform knows is there at once; what the SBC says is asked when the page stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, Q
from django.utils import timezone

from sbc import certificates
from sbc.kind.spec import SbcSpec
from sbc.models import CallRecord, TestCall, Trunk
from sbc.portal import live
from sbc.portal.documents import OfSbc
from sbc.portal.proof import state_of
from sbc.portal.states import LOAD, TRUNKS, ask, is_ill, with_states
from services.design import wanted

#: Trunks that are shown; those that are not well are among them.
MOST_TRUNKS = 12
#: Bans that are shown.
MOST_BANS = 5
#: What is asked of the SBC, at once.
QUESTIONS: Mapping[str, Mapping[str, Any]] = {**LOAD, **TRUNKS, "bans": {}}


class Overview(OfSbc):
    tab = "sbc-overview"
    title = "At a glance"
    template = "portal/sbc/overview.html"

    def context(self) -> Mapping[str, Any]:
        asked = "HX-Request" in self.request.headers or "ask" in self.request.GET
        said: Mapping[str, Any] = {}
        if asked:
            said = ask(self, QUESTIONS)
        spec, _ = wanted(self.service)
        assert isinstance(spec, SbcSpec)
        load, bans = said.get("load"), said.get("bans")
        certificate = certificates.shown(self.service)
        calls = self.scope.all(TestCall).filter(instance=self.service)
        return {
            "asked": asked,
            "load": load,
            "most_calls": spec.most_calls,
            "bans": [live.ban_of(ban) for ban in bans[:MOST_BANS]] if bans is not None else None,
            "more_bans": len(bans) - MOST_BANS if bans is not None else 0,
            "trunks": self.trunks(said),
            "more_trunks": self.of_trunks().count() - MOST_TRUNKS,
            "hour": self.hour(),
            "certificate": certificate,
            "certificate_state": state_of(certificate),
            "birth": calls.filter(occasion=TestCall.Occasion.ACCEPTANCE).first(),
            "test_call": calls.exclude(message="").first(),
        }

    def of_trunks(self) -> Any:
        return self.scope.all(Trunk).filter(instance=self.service)

    def trunks(self, said: Mapping[str, Any]) -> list[Trunk]:
        """Some trunks with how they fare, what is not well first."""
        states = said.get("trunks") or {"trunks": []}
        ill = [state["trunk"] for state in states["trunks"] if is_ill(state)][:MOST_TRUNKS]
        rows = list(self.of_trunks().filter(name__in=ill).order_by("name"))
        rows += self.of_trunks().exclude(name__in=ill).order_by("name")[: MOST_TRUNKS - len(rows)]
        return with_states(rows, said)

    def hour(self) -> Mapping[str, Any]:
        """How the calls of the last hour went, and how many there were a second in the last minute."""
        now = timezone.now()
        rows = self.scope.all(CallRecord).filter(instance=self.service, started__gte=now - timedelta(hours=1))
        found = rows.order_by().aggregate(
            calls=Count("pk"),
            answered=Count("pk", filter=Q(answered__isnull=False)),
            mos=Avg("mos"),
            lately=Count("pk", filter=Q(ended__gte=now - timedelta(minutes=1))),
        )
        ratio = 100 * found["answered"] / found["calls"] if found["calls"] else None
        return {**found, "ratio": ratio, "rate": found["lately"] / 60}
