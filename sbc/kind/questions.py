"""What a customer may ask a running SBC, and what may be done to its calls and bans.

Each is a program of the image with an argument list; there is no shell. No argument can begin with `-` or
hold a space, so none can turn into another option.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sbc.kind import probe
from sbc.kind.assemble import KAMAILIO, PROGRAMS, VNF
from sbc.kind.fields import Name
from sbc.kind.probe import PROBE
from services.fields import Address
from services.kind import Question, Spec


class Nothing(Spec):
    """No arguments."""


class OfCalls(Spec):
    """A page of the calls that stand, the oldest first; `trunk` leaves those from or to it."""

    first: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    most: Annotated[int, Field(ge=1, le=200)] = 200
    trunk: Name | None = None


class OfSource(Spec):
    address: Address


class OfCall(Spec):
    call: str = Field(pattern=r"^[0-9a-zA-Z][0-9a-zA-Z-]{0,63}$", description="As `calls` names it")


class OfTrunks(Spec):
    """A page of the trunks that are asked, what is not well first; or `trunk` alone."""

    first: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    most: Annotated[int, Field(ge=1, le=200)] = 200
    trunk: Name | None = None


class HowToCall(Spec):
    """What is not said is as in the call by which the platform proves that the SBC works."""

    transport: Literal["udp", "tcp", "tls"] | None = None
    srtp: bool | None = None


def _program(name: str) -> Callable[[Any], tuple[str, ...]]:
    return lambda _asked: (f"{PROGRAMS}/{name}",)


def _calls(asked: OfCalls) -> tuple[str, ...]:
    of_trunk = ("--trunk", asked.trunk) if asked.trunk else ()
    return (f"{PROGRAMS}/calls", "--first", str(asked.first), "--most", str(asked.most), *of_trunk)


def _lift(asked: OfSource) -> tuple[str, ...]:
    return (f"{PROGRAMS}/lift", asked.address)


def _end_call(asked: OfCall) -> tuple[str, ...]:
    return (f"{PROGRAMS}/end-call", asked.call)


def _trunks(asked: OfTrunks) -> tuple[str, ...]:
    of_trunk = ("--trunk", asked.trunk) if asked.trunk else ()
    return (f"{PROGRAMS}/trunks", "--first", str(asked.first), "--most", str(asked.most), *of_trunk)


def _test_call(asked: HowToCall) -> tuple[str, ...]:
    transport = ("--caller-transport", asked.transport) if asked.transport else ()
    srtp = () if asked.srtp is None else ("--caller-srtp", "required" if asked.srtp else "off")
    return probe.command(*transport, *srtp)


def _of_kamailio(name: str, title: str, arguments: type[BaseModel], command: Any, **more: Any) -> Question:
    return Question(name, title, arguments, VNF, KAMAILIO, command, **more)


QUESTIONS = {
    question.name: question
    for question in (
        _of_kamailio("calls", "Calls that stand", OfCalls, _calls),
        _of_kamailio("load", "How many calls stand, by trunk", Nothing, _program("load")),
        _of_kamailio("end-call", "End a call", OfCall, _end_call, changes=True),
        _of_kamailio("trunks", "Whether trunks answer", OfTrunks, _trunks),
        _of_kamailio("bans", "Sources that are not heard", Nothing, _program("bans")),
        _of_kamailio("lift", "Hear a banned source again", OfSource, _lift, changes=True),
        Question("test-call", "Make a test call", HowToCall, PROBE, PROBE, _test_call, probe.TIMEOUT, changes=True),
    )
}
