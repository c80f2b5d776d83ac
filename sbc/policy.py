"""Where would this call go, and why: the routing policy of an SBC, as one pure function.

The engine decides the same in a function of its Redis (`kind/image/redis/lib/sbc.lua`); both
are tested against each other. Nothing here sends, counts or looks at a clock.

A source that a rule denies is not heard. A call is taken from the trunk of its side whose source
prefix matches best, or from the one that its caller proved to be by password. An emergency number, as dialled
or as the trunk's `inward` rule leaves it, goes to the targets of that number and to no
route, and stays as it is. Any other number is brought to E.164 by the trunk's rules. The
route is the first open one in this order: patterns before prefixes, longer prefixes before
shorter, routes of this trunk before routes of any trunk, then by `order` and `id`.
Targets come by priority, within it by weighted draw (RFC 2782). An address that is down is left out, so that a call
with nowhere to go is refused at once; only an emergency call tries it, after all others.

Who calls is what the From header says, and what a trusted trunk asserts besides (RFC 3325). A trusted trunk is told
both, also of those who want to stay private. Others learn nothing of these, and of the rest what `caller_id` says.
"""

from __future__ import annotations

import bisect
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, TypeVar

#: Attempts that one call may take.
MOST_ATTEMPTS = 8
#: Routes that were passed over and are told with a decision.
MOST_TOLD = 20
WEEK = 7 * 24 * 60
ANY_TRUNK = "*"
ANY_SIDE = "*"
#: The user of a From header that says nothing (RFC 3323, 4.1.1.3).
ANONYMOUS = "anonymous"

_PATTERN = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+"}
_PRIME, _ROOT = 2_147_483_647, 16_807


class Format(StrEnum):
    """How numbers are written on a trunk."""

    AS_IS = "as-is"
    E164 = "e164"
    PLAIN = "plain"
    NATIONAL = "national"


class Stage(StrEnum):
    """What a step of a decision is about."""

    SOURCE = "source"
    TRUNK = "trunk"
    NUMBER = "number"
    EMERGENCY = "emergency"
    ROUTE = "route"
    TARGET = "target"


class Action(StrEnum):
    """What a source rule does."""

    ALLOW = "allow"
    DENY = "deny"


class Standing(StrEnum):
    """What a source address is to the SBC. Strangers and the denied are not answered at all."""

    TRUSTED = "trusted"
    CHALLENGED = "challenged"
    STRANGER = "stranger"
    DENIED = "denied"


@dataclass(frozen=True)
class NumberPlan:
    """The digits by which a country's numbers are told from others; without a country numbers stay as they are."""

    country: str = ""
    national: str = "0"
    international: str = "00"

    def to_e164(self, number: str) -> str:
        if not self.country or number.startswith("+"):
            return number
        if self.international and number.startswith(self.international):
            return "+" + number.removeprefix(self.international)
        if self.national and number.startswith(self.national):
            return f"+{self.country}{number.removeprefix(self.national)}"
        return number

    def written(self, number: str, format: Format) -> str:
        """An E.164 number in the form that a trunk wants; other numbers stay as they are."""
        if format in (Format.AS_IS, Format.E164) or not number.startswith("+"):
            return number
        if format is Format.PLAIN:
            return number[1:]
        home = "+" + self.country
        if self.country and number.startswith(home):
            return self.national + number.removeprefix(home)
        return self.international + number[1:]


@dataclass(frozen=True)
class NumberRule:
    """Takes the first `strip` characters off and puts `prefix` before."""

    strip: int = 0
    prefix: str = ""

    def apply(self, number: str) -> str:
        return self.prefix + number[self.strip :]


@dataclass(frozen=True)
class Address:
    """Where a trunk is reached; `uri` as in `sip:192.0.2.1:5060;transport=udp`. One that is `named` has a name in it,
    which stands for the addresses that were found for it (`Tables.names`)."""

    uri: str
    priority: int = 10
    weight: int = 10
    named: bool = False


class CallerId(StrEnum):
    """What a trunk learns of who calls. ASSERTED adds P-Asserted-Identity (RFC 3325)."""

    PASS = "pass"  # noqa: S105 - not a password
    ANONYMOUS = "anonymous"
    ASSERTED = "asserted"


class Privacy(StrEnum):
    """What the caller wants known of himself (RFC 3323, RFC 3325): UNSAID, nothing, or everything."""

    UNSAID = ""
    ID = "id"
    NONE = "none"


@dataclass(frozen=True)
class Trunk:
    """What the policy needs of a trunk. `inward` and `outward` are seen from the SBC.

    `side` is the port of the SBC that it is on; `by_password` whether its calls come from anywhere there, with a
    password; `trusted` whether it is within the trust domain (RFC 3325). `contact` is the user by which the SBC
    registers with it, if it does.
    """

    id: str
    sources: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    enabled: bool = True
    plan: NumberPlan = NumberPlan()
    format: Format = Format.AS_IS
    inward: NumberRule = NumberRule()
    outward: NumberRule = NumberRule()
    side: str = ""
    by_password: bool = False
    caller_id: CallerId = CallerId.PASS
    trusted: bool = False
    contact: str = ""


@dataclass(frozen=True)
class SourceRule:
    """Whether sources in `prefix` are heard, on one side or any. The longest decides, of two the side's own."""

    prefix: str
    action: Action
    side: str = ANY_SIDE
    id: str = ""


@dataclass(frozen=True)
class Window:
    """Minutes of the week, Monday 00:00 being 0, in local time.

    `offsets` are the zone's (Unix time, seconds east of UTC) from then on, ascending.
    """

    spans: tuple[tuple[int, int], ...]
    offsets: tuple[tuple[int, int], ...] = ((0, 0),)

    def is_open(self, now: int) -> bool:
        at = max(bisect.bisect_right([since for since, _ in self.offsets], now) - 1, 0)
        # 1 January 1970 was a Thursday.
        minute = ((now + self.offsets[at][1]) // 60 + 3 * 1440) % WEEK
        return any(start <= minute < end for start, end in self.spans)


@dataclass(frozen=True)
class Target:
    trunk: str
    priority: int = 10
    weight: int = 10


class HeaderAction(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True)
class HeaderRule:
    """What is done to a header of the INVITE that starts a call: added, all of the name removed, or replaced by one."""

    action: HeaderAction
    name: str
    value: str = ""


@dataclass(frozen=True)
class Route:
    """From `trunk` (or any) to `targets`, for numbers that begin with `prefix` or match `pattern`.

    In a pattern X is 0-9, Z 1-9, N 2-9 and a final dot is the rest, at least one character.
    Another target is tried after `timeout` seconds without an answer and on the codes of `failover`. The rules of
    `headers` come before those of the trunk that is called.
    """

    id: str
    targets: tuple[Target, ...]
    trunk: str = ANY_TRUNK
    prefix: str = ""
    pattern: str | None = None
    order: int = 100
    window: Window | None = None
    failover: tuple[int, ...] = (408, 480, 500, 502, 503, 504)
    timeout: int = 60
    headers: tuple[HeaderRule, ...] = ()
    enabled: bool = True


@dataclass(frozen=True)
class Tables:
    """Everything one SBC routes by.

    `emergency` has the targets of each emergency number; `down` are the addresses that fail their health check, as
    trunk and URI. `names` are the addresses that were found for a URI with a name; without it names stand for
    themselves.
    """

    trunks: Mapping[str, Trunk]
    routes: tuple[Route, ...]
    emergency: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    down: frozenset[tuple[str, str]] = frozenset()
    rules: tuple[SourceRule, ...] = ()
    names: Mapping[str, tuple[Address, ...]] | None = None


@dataclass(frozen=True)
class Call:
    """A call as it arrives on a side. `draw` (1 to 2^31-2) decides between equals; `now` is Unix time.

    `proved` is the trunk that the caller proved to be by password, if any; then `source` may be unknown. `asserted` is
    the number that stands in P-Asserted-Identity, `to` the user in To.
    """

    source: str
    number: str
    caller: str = ""
    now: int = 0
    draw: int = 1
    side: str = ""
    proved: str = ""
    asserted: str = ""
    privacy: Privacy = Privacy.UNSAID
    to: str = ""


@dataclass(frozen=True)
class Identity:
    """Who calls: in From, empty for nobody; in P-Asserted-Identity, empty for none; and whether others may not know."""

    caller: str = ""
    asserted: str = ""
    private: bool = False


@dataclass(frozen=True)
class Attempt:
    """One target's turn: whom it is asked for, and what it learns of who calls."""

    trunk: str
    uri: str
    number: str
    who: Identity = Identity()


@dataclass(frozen=True)
class Step:
    """One step of the way to a decision: what it is about, what came of it, and by which rule, trunk or route.

    What was passed over, and so is not `taken`, is told with its reason.
    """

    stage: Stage
    says: str
    name: str = ""
    taken: bool = True


@dataclass(frozen=True)
class Decision:
    """What happens to the call. Without attempts it is refused with `code`; `why` tells how it came to that."""

    why: tuple[Step, ...]
    code: int = 0
    trunk: str = ""
    route: str = ""
    emergency: bool = False
    attempts: tuple[Attempt, ...] = field(default=())


#: A trunk, and where it is reached.
Pair = tuple[Trunk, Address]


def decide(tables: Tables, call: Call) -> Decision:
    heard = tuple(_heard(tables, call))
    if not all(step.taken for step in heard):
        return Decision(heard, code=403)
    source, known = caller_of(tables, call)
    why = (*heard, *known)
    if source is None:
        return Decision(why, code=403)
    who = identity_of(source, call)
    dialled = call.to if source.contact and call.to and call.number == source.contact else call.number
    read = source.inward.apply(dialled)
    number = next((number for number in (dialled, read) if number in tables.emergency), None)
    if number is not None:
        why = (*why, Step(Stage.EMERGENCY, f"{number} is an emergency number"))
        return _led(tables, Decision(why, 0, source.id, "", True), tables.emergency[number], number, who, call.draw)
    number = source.plan.to_e164(read)
    route = best_route(tables.routes, source.id, number, call.now)
    passed_over = _passed_over(tables.routes, source.id, number, route)
    why = (*why, Step(Stage.NUMBER, f"{dialled} is read as {number}"), *passed_over)
    if route is None:
        return Decision((*why, Step(Stage.ROUTE, f"no open route for {number}", "", False)), 404, source.id)
    why = (*why, Step(Stage.ROUTE, f"route {route.id} is the best match", route.id))
    return _led(tables, Decision(why, 0, source.id, route.id), route.targets, number, who, call.draw)


def _heard(tables: Tables, call: Call) -> Iterator[Step]:
    """What the source rules say, if one does; not taken where the source is not heard."""
    rule = rule_for(tables.rules, call.side, call.source)
    if rule is not None:
        denied = rule.action is Action.DENY
        says = f"the rule for {rule.prefix} {'denies' if denied else 'allows'} {call.source}"
        yield Step(Stage.SOURCE, says, rule.id, not denied)


def caller_of(tables: Tables, call: Call) -> tuple[Trunk | None, tuple[Step, ...]]:
    """The trunk that the call is of, if it is one's, and how that is known or why not."""
    if call.proved:
        trunk = tables.trunks.get(call.proved)
        if trunk is None or not trunk.enabled:
            return None, (Step(Stage.TRUNK, f"trunk {call.proved} takes no calls", call.proved, False),)
        return trunk, (Step(Stage.TRUNK, f"the caller proved to be trunk {trunk.id}", trunk.id),)
    others = tuple(_not_taken_for(tables.trunks.values(), call))
    trunk = trunk_of(tables.trunks.values(), call.side, call.source)
    if trunk is None:
        return None, (*others, Step(Stage.TRUNK, f"no trunk has {call.source} as a source", "", False))
    return trunk, (*others, Step(Stage.TRUNK, f"{call.source} is a source of trunk {trunk.id}", trunk.id))


def _not_taken_for(trunks: Iterable[Trunk], call: Call) -> Iterator[Step]:
    """Trunks that have the source and are not to be known by it."""
    for trunk in trunks:
        if _length_of(trunk, call.source) is not None and (not trunk.enabled or trunk.side != call.side):
            reason = f"is on side {trunk.side}" if trunk.enabled else "is not enabled"
            yield Step(Stage.TRUNK, f"trunk {trunk.id} has {call.source} as a source and {reason}", trunk.id, False)


def _passed_over(routes: Iterable[Route], trunk: str, number: str, taken: Route | None) -> Iterator[Step]:
    """Routes that the call would rather have gone by, in their order, and why it does not."""
    fitting = (route for route in routes if route.trunk in (trunk, ANY_TRUNK) and matches(route, number))
    before = [route for route in fitting if taken is None or rank(route) < rank(taken)]
    for route in sorted(before, key=rank)[:MOST_TOLD]:
        reason = "closed at this time" if route.enabled else "not enabled"
        yield Step(Stage.ROUTE, f"route {route.id} matches and is {reason}", route.id, False)


def _led(
    tables: Tables, decided: Decision, targets: Sequence[Target], number: str, who: Identity, draw: int
) -> Decision:
    """The decision with the attempts that these targets come to."""
    trunks = {target.trunk: tables.trunks.get(target.trunk) for target in targets}
    left_out = (step for id, trunk in trunks.items() for step in _left_out(id, trunk))
    up, down = _by_health(_pairs(tables, targets, draw), tables.down)
    pairs = up + down if decided.emergency else up
    attempts = tuple(_attempt(*pair, number, who, decided.emergency) for pair in pairs[:MOST_ATTEMPTS])
    missed = (_down(*pair, decided.emergency) for pair in down)
    why = [*decided.why, *left_out, *missed, *(_led_to(attempt) for attempt in attempts)]
    if len(pairs) > MOST_ATTEMPTS:
        why.append(Step(Stage.TARGET, f"{len(pairs) - MOST_ATTEMPTS} addresses more are not tried", "", False))
    if not attempts:
        why.append(Step(Stage.TARGET, "no target left", "", False))
    return replace(decided, why=tuple(why), code=0 if attempts else 503, attempts=attempts)


def _left_out(id: str, trunk: Trunk | None) -> Iterator[Step]:
    """Why a target is not called."""
    if trunk is None:
        yield Step(Stage.TARGET, f"there is no trunk {id}", id, False)
    elif not trunk.enabled:
        yield Step(Stage.TARGET, f"trunk {id} is not enabled", id, False)
    elif not trunk.addresses:
        yield Step(Stage.TARGET, f"trunk {id} has no address", id, False)


def _down(trunk: Trunk, address: Address, emergency: bool) -> Step:
    still = " and is tried last" if emergency else ""
    return Step(Stage.TARGET, f"{address.uri} of trunk {trunk.id} does not answer{still}", trunk.id, False)


def _led_to(attempt: Attempt) -> Step:
    return Step(Stage.TARGET, f"{attempt.uri} of trunk {attempt.trunk} as {attempt.number}", attempt.trunk)


def standing(tables: Tables, side: str, source: str) -> Standing:
    """What `source` is to the SBC on `side`: whether its messages are answered, or asked for a password."""
    rule = rule_for(tables.rules, side, source)
    if rule is not None and rule.action is Action.DENY:
        return Standing.DENIED
    trunks = tables.trunks.values()
    if trunk_of(trunks, side, source) is not None:
        return Standing.TRUSTED
    if any(trunk.by_password and trunk.enabled and trunk.side == side for trunk in trunks):
        return Standing.CHALLENGED
    return Standing.STRANGER


def rule_for(rules: Iterable[SourceRule], side: str, source: str) -> SourceRule | None:
    """The rule that decides on `source` on `side`, if there is one. None decides on an unknown source."""
    if not source:
        return None
    address = ipaddress.ip_address(source)
    found = [
        (-network.prefixlen, rule.side == ANY_SIDE, rule.prefix, rule)
        for rule in rules
        for network in [ipaddress.ip_network(rule.prefix)]
        if rule.side in (side, ANY_SIDE) and address.version == network.version and address in network
    ]
    return min(found, key=lambda item: item[:3])[3] if found else None


def trunk_of(trunks: Iterable[Trunk], side: str, source: str) -> Trunk | None:
    """The enabled trunk on `side` with the longest source prefix that holds `source`; of equals the lowest id's."""
    found = [
        (-length, trunk.id, trunk)
        for trunk in trunks
        if trunk.enabled and trunk.side == side and (length := _length_of(trunk, source)) is not None
    ]
    return min(found, key=lambda item: item[:2])[2] if found else None


def _length_of(trunk: Trunk, source: str) -> int | None:
    """The length of the trunk's longest source prefix that holds `source`, if one does."""
    address = ipaddress.ip_address(source)
    networks = map(ipaddress.ip_network, trunk.sources)
    return max((n.prefixlen for n in networks if n.version == address.version and address in n), default=None)


def best_route(routes: Sequence[Route], trunk: str, number: str, now: int) -> Route | None:
    """The open route that comes first in the order given at the top of this module."""
    open_ones = [
        route
        for route in routes
        if route.enabled
        and route.trunk in (trunk, ANY_TRUNK)
        and matches(route, number)
        and (not route.window or route.window.is_open(now))
    ]
    return min(open_ones, key=rank, default=None)


def rank(route: Route) -> tuple[bool, int, bool, int, str]:
    """The order in which routes are looked at."""
    length = 0 if route.pattern else len(route.prefix)
    return (route.pattern is None, -length, route.trunk == ANY_TRUNK, route.order, route.id)


def matches(route: Route, number: str) -> bool:
    if route.pattern is None:
        return number.startswith(route.prefix)
    expression = "".join(_PATTERN.get(character) or re.escape(character) for character in route.pattern)
    return re.fullmatch(expression, number, re.DOTALL) is not None


def _pairs(tables: Tables, targets: Sequence[Target], draw: int) -> list[Pair]:
    """Where the targets are reached, in the order in which they are tried."""
    pairs: list[Pair] = []
    for target in in_turn(targets, draw):
        trunk = tables.trunks.get(target.trunk)
        if trunk is not None and trunk.enabled:
            addresses = in_turn(trunk.addresses, draw)
            pairs += [(trunk, found) for address in addresses for found in _found(tables, address, draw)]
    return pairs


def _found(tables: Tables, address: Address, draw: int) -> list[Address]:
    """What an address stands for, in the order in which it is tried. Priorities of SRV (RFC 2782) hold within it."""
    if not address.named or tables.names is None:
        return [address]
    return in_turn(tables.names.get(address.uri, ()), draw)


def _by_health(pairs: list[Pair], down: frozenset[tuple[str, str]]) -> tuple[list[Pair], list[Pair]]:
    """Those that may answer, and those that are down, each in their order."""
    up = [pair for pair in pairs if (pair[0].id, pair[1].uri) not in down]
    return up, [pair for pair in pairs if (pair[0].id, pair[1].uri) in down]


def _attempt(trunk: Trunk, address: Address, number: str, who: Identity, emergency: bool) -> Attempt:
    dialled = number if emergency else trunk.outward.apply(trunk.plan.written(number, trunk.format))
    return Attempt(trunk.id, address.uri, dialled, shown(trunk, who))


def identity_of(source: Trunk, call: Call) -> Identity:
    """Who calls, as far as the SBC believes it. Who hides in From is private unless he says that he is not."""
    hides = call.caller.lower() in ("", ANONYMOUS)
    caller = "" if hides else source.plan.to_e164(call.caller)
    asserted = source.plan.to_e164(call.asserted) if source.trusted else ""
    return Identity(caller, asserted, call.privacy is Privacy.ID or (hides and call.privacy is Privacy.UNSAID))


def shown(trunk: Trunk, who: Identity) -> Identity:
    """What a trunk that is called learns of who calls, with numbers as they are written there."""
    if trunk.caller_id is CallerId.ANONYMOUS or (who.private and not trunk.trusted):
        return Identity(private=True)
    asserted = who.asserted if trunk.trusted else ""
    if trunk.caller_id is CallerId.ASSERTED:
        asserted = who.asserted or who.caller
    caller, asserted = (trunk.plan.written(number, trunk.format) for number in (who.caller, asserted))
    return Identity(caller, asserted, who.private)


class _Weighted(Protocol):
    @property
    def priority(self) -> int: ...
    @property
    def weight(self) -> int: ...


W = TypeVar("W", bound=_Weighted)


def in_turn(choices: Sequence[W], draw: int) -> list[W]:
    """By ascending priority; within one, drawn by weight without putting back. The same `draw`, the same order."""
    left = sorted(choices, key=lambda choice: choice.priority)  # stable: equals stay as listed
    ordered: list[W] = []
    while left:
        group = [choice for choice in left if choice.priority == left[0].priority]
        draw = draw * _ROOT % _PRIME
        point = draw % sum(choice.weight for choice in group)
        picked = 0
        while (point := point - group[picked].weight) >= 0:
            picked += 1
        ordered.append(left.pop(picked))  # by place: two choices may be alike
    return ordered
