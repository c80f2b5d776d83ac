"""What happens in an SBC now, as it says when it is asked: calls that stand, how trunks fare, who is not heard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse

from naas.core.errors import Conflict
from sbc import asking
from sbc.portal.documents import OfSbc
from worker.errors import TemporaryError

#: Seconds that a page waits for an answer before it is shown without, and that what follows it waits.
AT_ONCE, PATIENCE = 1.5, 5.0
#: Entries that are asked for at once.
MOST = 200


class Asked(OfSbc):
    """A page that shows what the SBC answers to a question. One that does not answer is said so, and asked again."""

    question: str
    template: str

    def context(self) -> Mapping[str, Any]:
        try:
            said = asking.answer(
                actor=self.actor, instance=self.service, question=self.question, wait=self.patience, **self.arguments()
            )
        except (TemporaryError, Conflict) as silent:
            return {"silent": str(silent)}
        return {"silent": "", **self.told(said)}

    @property
    def patience(self) -> float:
        return PATIENCE if "HX-Request" in self.request.headers else AT_ONCE

    def arguments(self) -> dict[str, Any]:
        return {}

    def told(self, said: Any) -> Mapping[str, Any]:
        """What the template is given of an answer."""
        raise NotImplementedError

    def have(self, question: str, what: str, done: str, **arguments: Any) -> HttpResponse:
        """Have the SBC do something, and say what came of it."""
        try:
            asking.have(
                actor=self.actor, instance=self.service, question=question, what=what, wait=PATIENCE, **arguments
            )
        except TemporaryError as silent:
            raise Conflict(str(silent)) from silent
        self.say(done)
        return self.redirect(self.tab, id=self.service.pk)


class Calls(Asked):
    tab = "sbc-calls"
    title = "Calls now"
    template = "portal/sbc/calls.html"
    question = "calls"

    def arguments(self) -> dict[str, Any]:
        return {"most": MOST}

    def told(self, said: Any) -> Mapping[str, Any]:
        calls = [
            call
            | {
                "since": moment(call["answered"] or call["started"]),
                "talking": call["answered"] is not None,
                "worst": _worst(call.get("quality")),
            }
            for call in said["calls"]
        ]
        return {"calls": calls, "count": said["count"]}

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """End a call."""
        call = request.POST.get("call", "")
        return self.have("end-call", f"call {call}", "The call is ended; both sides are told.", call=call)


class Trunks(Asked):
    """How trunks with a health check, a registration or a name fare."""

    tab = "sbc-trunks"
    title = "How trunks fare"
    template = "portal/sbc/trunk_states.html"
    question = "trunks"

    def arguments(self) -> dict[str, Any]:
        return {"most": MOST}

    def told(self, said: Any) -> Mapping[str, Any]:
        return {"trunks": [_with_moments(trunk) for trunk in said["trunks"]], "count": said["count"]}


class Bans(Asked):
    tab = "sbc-bans"
    title = "Who is not heard"
    template = "portal/sbc/bans.html"
    question = "bans"

    def told(self, said: Any) -> Mapping[str, Any]:
        return {"bans": [ban_of(ban) for ban in said]}

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """Hear a source again. Of an IPv6 network, as bans are shown, its first address is asked for."""
        address = request.POST.get("address", "")
        source = address.removesuffix("/64")
        return self.have("lift", f"ban of {address}", f"{address} is heard again.", address=source)


def ban_of(said: dict[str, Any]) -> dict[str, Any]:
    """A ban with the moment when it ends."""
    return said | {"until": datetime.fromtimestamp(said["until"], UTC)}


def moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _worst(quality: Mapping[str, Any] | None) -> float | None:
    """The MOS of the end that hears worse; None where neither reported."""
    found = [end["mos"] for end in (quality or {}).values() if end and end.get("mos") is not None]
    return min(found, default=None)


def _with_moments(trunk: dict[str, Any]) -> dict[str, Any]:
    addresses = [
        each | {"since": moment(each["since"]), "answered": moment(each["answered"])} for each in trunk["addresses"]
    ]
    registration = trunk["registration"]
    if registration:
        registration = registration | {"until": moment(registration["until"]), "since": moment(registration["since"])}
    return trunk | {"addresses": addresses, "registration": registration}
