"""Where a call would go and why: the policy, asked with as much of the configuration as can matter to it.

What an SBC has of routes and trunks may be a hundred thousand and ten thousand; those that one call can have to do
with are few and found by index. What the SBC alone knows is not asked: no limit is reached, every address answers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain, product
from typing import Any, Self

from django.db.models import Q, QuerySet
from django.utils import timezone
from pydantic import AwareDatetime, Field, model_validator

from naas.core.errors import Invalid, Problem
from sbc import policy
from sbc.documents import parse, read
from sbc.kind import compile, security
from sbc.kind.compile import World
from sbc.kind.fields import Name, Number, User
from sbc.kind.route import RouteSpec
from sbc.kind.security import EmergencySpec
from sbc.kind.trunk import TrunkSpec
from sbc.models import Emergency, Route, SourceRule, Trunk
from sbc.policy import Decision, Privacy, Standing, Tables
from sbc.world import world_of
from services.fields import Address, Findings, PortName
from services.kind import Spec
from services.models import ServiceInstance

#: The user of a URI by which someone calls.
_CALLER = r"^[A-Za-z0-9+*#._-]{0,64}$"


class CallSpec(Spec):
    """A call that is only thought of: its number, where it comes from, and when.

    It comes from a `trunk`, which is taken for known; or from a `source` address, whose `side` need not be said where
    a trunk has it as a source; or from who proves to be `user`, from that address or wherever.
    """

    number: Number = Field(description="As it is dialled")
    caller: str = Field("", pattern=_CALLER, description="As the trunk writes it")
    trunk: Name | None = Field(None, json_schema_extra={"x-reference": "trunk"})
    source: Address | None = None
    side: PortName | None = Field(
        None, description="The port on which it arrives", json_schema_extra={"x-reference": "side"}
    )
    user: User | None = Field(None, description="With the right password")
    asserted: str = Field("", pattern=_CALLER, description="What P-Asserted-Identity says, which a trusted trunk may")
    privacy: Privacy = Field(Privacy.UNSAID, description="What the Privacy header says", strict=False)
    at: AwareDatetime | None = Field(None, description="Without it: now")
    draw: int = Field(1, ge=1, le=2**31 - 2, description="Decides between targets of equal priority; each call draws")

    @model_validator(mode="after")
    def comes_from_somewhere(self) -> Self:
        findings = Findings()
        if self.trunk is None and self.source is None and self.user is None:
            findings.add(("trunk",), "say where the call comes from: a trunk, a source address or a user")
        if self.trunk is not None:
            for name in ("source", "user", "side"):
                if getattr(self, name) is not None:
                    findings.add((name,), "has no effect: the call is taken to be of the trunk")
        findings.raise_if_any("CallSpec")
        return self


class Outcome(StrEnum):
    """What the caller sees. Who is challenged is asked for a password; who is unanswered hears nothing at all."""

    ROUTED = "routed"
    REFUSED = "refused"
    CHALLENGED = "challenged"
    UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Simulation:
    """A call as it was understood, and what becomes of it."""

    call: policy.Call
    at: datetime
    outcome: Outcome
    decision: Decision


def simulate(instance: ServiceInstance, document: object) -> Simulation:
    """What the SBC would do with a call (`CallSpec`). Raises `Invalid` with paths."""
    spec = parse(CallSpec, document)
    at = spec.at or timezone.now()
    here = world_of(instance)
    rows = _callers(instance, spec)
    side = _side(spec, here, rows)
    trunks = _compiled((*rows, *_known_by_password(instance, side)), here)
    tables = Tables(trunks, (), rules=tuple(_rules(instance, spec.source)))
    proved = _proved(spec, rows, side, tables)
    call = policy.Call(
        spec.source or "",
        spec.number,
        spec.caller,
        int(at.timestamp()),
        spec.draw,
        side,
        proved,
        spec.asserted,
        spec.privacy,
    )
    tables = _leading(instance, here, tables, call, at)
    decision = policy.decide(tables, call)
    return Simulation(call, at, _outcome(tables, call, decision), decision)


def _outcome(tables: Tables, call: policy.Call, decision: Decision) -> Outcome:
    if not decision.code:
        return Outcome.ROUTED
    if decision.trunk or not call.source:
        return Outcome.REFUSED
    challenged = policy.standing(tables, call.side, call.source) is Standing.CHALLENGED
    return Outcome.CHALLENGED if challenged else Outcome.UNANSWERED


# --- where it comes from ----------------------------------------------------------------


def _callers(instance: ServiceInstance, spec: CallSpec) -> list[Trunk]:
    """The trunks that the call may be of. Raises `Invalid` when the one that is named is not there."""
    which = Q(name=spec.trunk) if spec.trunk else Q(sources__cidr__in=_prefixes_around(spec.source))
    if spec.user:
        which |= Q(user=spec.user)
    rows = list(Trunk.unscoped.filter(which, instance=instance).distinct())
    if spec.trunk and not rows:
        raise Invalid([Problem("trunk", f"there is no trunk {spec.trunk}")])
    return rows


def _prefixes_around(address: str | None) -> list[str]:
    """Every prefix that holds the address."""
    if address is None:
        return []
    host = ipaddress.ip_network(address)
    return [str(host.supernet(new_prefix=length)) for length in range(host.prefixlen + 1)]


def _side(spec: CallSpec, here: World, rows: Iterable[Trunk]) -> str:
    """The side on which the call arrives: as is said, or as the trunks tell. Raises `Invalid` when nothing does."""
    if spec.side and spec.side not in here.sides:
        raise Invalid([Problem("side", f"the SBC has no side {spec.side}; there are: {', '.join(here.sides)}")])
    sides = {spec.side} if spec.side else {row.side for row in rows}
    if len(sides) != 1:
        raise Invalid([Problem("side", f"say on which side it arrives: {', '.join(here.sides)}")])
    return str(sides.pop())


def _known_by_password(instance: ServiceInstance, side: str) -> QuerySet[Trunk]:
    """A trunk for whose sake strangers on this side are asked for a password, if there is one."""
    return Trunk.unscoped.filter(instance=instance, side=side, enabled=True, user__isnull=False).order_by()[:1]


def _rules(instance: ServiceInstance, source: str | None) -> Iterable[policy.SourceRule]:
    """The source rules that are about an address."""
    rows = SourceRule.unscoped.filter(instance=instance, cidr__in=_prefixes_around(source))
    return (compile.source_rule(read(security.SourceRule, document)) for document in _documents(rows))


def _proved(spec: CallSpec, rows: Iterable[Trunk], side: str, tables: Tables) -> str:
    """The trunk that the caller proves to be. A source that is known is not asked for a password, nor is one that is
    not heard.
    """
    if spec.trunk:
        return spec.trunk
    owner = next((row.name for row in rows if spec.user and row.user == spec.user and row.side == side), "")
    asked = spec.source is None or policy.standing(tables, side, spec.source) is Standing.CHALLENGED
    return owner if asked else ""


# --- where it goes ----------------------------------------------------------------------


def _leading(instance: ServiceInstance, here: World, tables: Tables, call: policy.Call, at: datetime) -> Tables:
    """The tables with everything that can lead the call on, once it is known whose it is."""
    caller, _ = policy.caller_of(tables, call)
    if caller is None:
        return tables
    emergency = _emergency(instance)
    read_as = caller.plan.to_e164(caller.inward.apply(call.number))
    routes = tuple(_routes(instance, caller.id, read_as, at))
    targets = (target for targets in (*emergency.values(), *(route.targets for route in routes)) for target in targets)
    rows = Trunk.unscoped.filter(instance=instance, name__in={target.trunk for target in targets})
    return replace(tables, trunks=_compiled(rows, here) | dict(tables.trunks), routes=routes, emergency=emergency)


def _routes(instance: ServiceInstance, trunk: str, number: str, at: datetime) -> Iterable[policy.Route]:
    """The routes of a trunk or any by which the number may go: patterns, and prefixes that it begins with."""
    rows = Route.unscoped.filter(instance=instance)
    beginnings = [number[:length] for length in range(len(number) + 1)]
    places = product(
        (Trunk.unscoped.get(instance=instance, name=trunk), None), (Q(prefix=None), Q(prefix__in=beginnings))
    )
    # Each by itself: of what is joined by OR, not every database finds the index.
    documents = chain.from_iterable(_documents(rows.filter(which, from_trunk=of)) for of, which in places)
    return (compile.route(read(RouteSpec, document), at) for document in documents)


def _emergency(instance: ServiceInstance) -> dict[str, tuple[policy.Target, ...]]:
    row = Emergency.unscoped.filter(instance=instance).first()
    return compile.emergency(read(EmergencySpec, row.document)) if row else {}


def _compiled(rows: Iterable[Trunk], here: World) -> dict[str, policy.Trunk]:
    return {row.name: compile.trunk(read(TrunkSpec, row.document), here) for row in rows}


def _documents(rows: QuerySet[Any]) -> Iterable[Any]:
    return rows.order_by().values_list("document", flat=True)
