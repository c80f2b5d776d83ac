"""From a customer's documents to the tables of the engine: policy values, their entries, commands that write them.

Pure. What of the SBC's spec the tables depend on is a `World`; the same documents in the same world
always give the same entries, except that time zones are written for the `YEARS` from `now` on.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sbc import policy
from sbc.kind.entries import (
    NAMED,
    Calls,
    Check,
    Entry,
    Registration,
    emergency_entry,
    place_entry,
    route_place,
    rule_entries,
    trunk_entries,
)
from sbc.kind.fields import HeaderRule as HeaderSpec
from sbc.kind.fields import Target as TargetSpec
from sbc.kind.fields import is_address, zone
from sbc.kind.route import DAYS, RouteSpec, WindowSpec
from sbc.kind.security import EmergencySpec, SourceRule
from sbc.kind.spec import SbcSpec
from sbc.kind.trunk import NumberChange, SessionTimer, TrunkAddress, TrunkSpec
from sbc.policy import ANY_TRUNK, WEEK, Address, NumberPlan, NumberRule, Route, Target, Trunk, Window
from services.kind import Context

Command = tuple[str, ...]

#: Changes of the clock are written for so many years; routes that stay longer are written again by then.
YEARS = 5
#: Fields in one command: Redis takes no more from a function than fit Lua's stack.
MOST_FIELDS = 1000
#: A member here may stand for several trunks, so a change takes none away: one too many costs a look, nothing else.
SHARED = frozenset({"sbc:lengths"})


_DAY = 24 * 60


@dataclass(frozen=True)
class World:
    """Addresses of each side, without prefix length, and what else of the spec trunks are written with.

    `fixed` are the entries that are there without any document.
    """

    sides: Mapping[str, tuple[str, ...]]
    country: str = ""
    tls: bool = False
    resolvers: bool = False
    fixed: tuple[Entry, ...] = ()


def world(spec: SbcSpec, context: Context, fixed: tuple[Entry, ...] = ()) -> World:
    sides = {port.name: hosts(context, port.name) for port in spec.ports}
    return World(sides, spec.country or "", spec.tls is not None, bool(spec.resolvers), fixed)


def hosts(context: Context, port: str) -> tuple[str, ...]:
    """The addresses of a port, without prefix length."""
    return tuple(str(ipaddress.ip_interface(address).ip) for address in context.ports[port].addresses)


# --- trunks ---------------------------------------------------------------------------


def trunk(spec: TrunkSpec, world: World) -> Trunk:
    """What the policy needs of a trunk."""
    return Trunk(
        id=spec.name,
        sources=sources(spec),
        addresses=tuple(
            Address(_uri(spec, address), address.priority, address.weight, not is_address(address.host))
            for address in spec.addresses
        ),
        enabled=spec.enabled,
        plan=_plan(spec, world),
        format=spec.number_format,
        inward=_rule(spec.numbers_in),
        outward=_rule(spec.numbers_out),
        side=spec.side,
        by_password=spec.authentication.method == "digest",
        caller_id=spec.caller_id,
        trusted=spec.trusted,
        contact=(spec.authentication.user or "") if spec.authentication.method == "register" else "",
    )


def calls(spec: TrunkSpec, world: World) -> Calls:
    """How calls to and from a trunk are carried."""
    here = _local_address(spec, world)
    return Calls(
        socket=f"{spec.transport}:{bracketed(here)}:{_port(spec)}",
        me=bracketed(here),
        host=bracketed(spec.domain or (spec.addresses[0].host if spec.addresses else here)),
        interface=spec.side,
        family=ipaddress.ip_address(here).version,
        srtp=spec.srtp,
        codecs=spec.codecs,
        transcode=spec.transcode,
        nat=spec.nat,
        **_timer(spec.session_timer),
        most_calls=spec.most_calls or 0,
        most_per_second=spec.most_calls_per_second or 0,
        user=spec.authentication.user or "",
        realm=spec.authentication.realm or "",
        password=spec.authentication.password.get_secret_value() if spec.authentication.password else "",
        headers=_headers(spec.headers),
        check=Check(spec.health_check.every, spec.health_check.failures) if spec.health_check else None,
        registration=_registration(spec, here) if spec.authentication.method == "register" else None,
    )


def _timer(spec: SessionTimer | None) -> dict[str, Any]:
    """Of `Calls`."""
    if spec is None:
        return {}
    asked = {"timer": spec.expires} if spec.mode != "pass" else {}
    return asked | {"least_timer": spec.min_se, "timer_required": spec.mode == "require"}


def _registration(spec: TrunkSpec, here: str) -> Registration:
    """With the registrar; a registrar that is a name is reached by the trunk's addresses, as by outbound proxies, and
    where there are none it is looked up itself."""
    user, registrar = spec.authentication.user, spec.authentication.registrar
    named = bracketed(registrar or spec.domain or spec.addresses[0].host)
    own = [address for address in spec.addresses if registrar is None or address.host == registrar]
    reached = own or ([TrunkAddress(host=registrar)] if registrar and is_address(registrar) else list(spec.addresses))
    reached = reached or [TrunkAddress(host=registrar or spec.domain or "")]
    return Registration(
        request=f"sip:{named}",
        address=f"sip:{user}@{bracketed(spec.domain) if spec.domain else named}",
        contact=f"sip:{user}@{bracketed(here)}:{_port(spec)}{_transport(spec)}",
        expires=spec.authentication.expires,
        uris=tuple(
            f"{'' if is_address(address.host) else NAMED}{_uri(spec, address)}"
            for address in sorted(reached, key=lambda address: address.priority)
        ),
    )


def sources(spec: TrunkSpec) -> tuple[str, ...]:
    """The prefixes from which a trunk's calls come; none when it proves itself by password."""
    if spec.authentication.method == "digest":
        return ()
    return spec.sources or tuple(dict.fromkeys(str(ipaddress.ip_network(host)) for host in known_hosts(spec)))


def known_hosts(spec: TrunkSpec) -> Iterator[str]:
    """The IP addresses by which a trunk is reached: those of its addresses, then its registrar's."""
    hosts = [*(address.host for address in spec.addresses), spec.authentication.registrar or ""]
    yield from (host for host in hosts if host and is_address(host))


def _uri(spec: TrunkSpec, address: TrunkAddress) -> str:
    """A name without a port stays without: then the port is looked up as well (RFC 3263)."""
    port = address.port or (_port(spec) if is_address(address.host) else None)
    return f"sip:{bracketed(address.host)}{f':{port}' if port else ''}{_transport(spec)}"


def _transport(spec: TrunkSpec) -> str:
    return "" if spec.transport == "udp" else f";transport={spec.transport}"


def _port(spec: TrunkSpec) -> int:
    return 5061 if spec.transport == "tls" else 5060


def _local_address(spec: TrunkSpec, world: World) -> str:
    """The SBC's address on the trunk's side, of the family that the trunk's first address has."""
    own = world.sides[spec.side]
    first = next(known_hosts(spec), own[0])
    wanted = ipaddress.ip_address(first).version
    return next((address for address in own if ipaddress.ip_address(address).version == wanted), own[0])


def bracketed(host: str) -> str:
    """As it stands in a URI."""
    return f"[{host}]" if ":" in host else host


def _plan(spec: TrunkSpec, world: World) -> NumberPlan:
    plan = spec.number_plan
    return NumberPlan(plan.country, plan.national, plan.international) if plan else NumberPlan(world.country)


def _rule(change: NumberChange) -> NumberRule:
    return NumberRule(change.strip, change.prefix)


# --- routes ---------------------------------------------------------------------------


def route(spec: RouteSpec, now: datetime) -> Route:
    """What the policy needs of a route."""
    return Route(
        id=spec.name,
        targets=_targets(spec.targets),
        trunk=spec.from_trunk or ANY_TRUNK,
        prefix=spec.prefix or "",
        pattern=spec.pattern,
        order=spec.order,
        window=window(spec.window, now) if spec.window else None,
        failover=spec.failover,
        timeout=spec.timeout,
        headers=_headers(spec.headers),
        enabled=spec.enabled,
    )


def _headers(specs: Iterable[HeaderSpec]) -> tuple[policy.HeaderRule, ...]:
    return tuple(policy.HeaderRule(policy.HeaderAction(spec.action), spec.name, spec.value or "") for spec in specs)


def _targets(specs: Iterable[TargetSpec]) -> tuple[Target, ...]:
    return tuple(Target(spec.trunk, spec.priority, spec.weight) for spec in specs)


def window(spec: WindowSpec, now: datetime) -> Window:
    start, end = _minute(spec.start), _minute(spec.end)
    length = end - start if end > start else end - start + _DAY
    spans = (_span(DAYS.index(day) * _DAY + start, length) for day in spec.days)
    return Window(tuple(sorted(span for parts in spans for span in parts)), offsets(spec.timezone, now.year))


def _minute(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _span(start: int, length: int) -> Iterator[tuple[int, int]]:
    """Minutes of the week, in two parts when they go over its end."""
    end = start + length
    yield start, min(end, WEEK)
    if end > WEEK:
        yield 0, end - WEEK


@cache
def offsets(timezone: str, year: int) -> tuple[tuple[int, int], ...]:
    """Seconds east of UTC, each with the Unix time from which they hold, from the beginning of `year` on."""
    since = datetime(year, 1, 1, tzinfo=UTC)
    found = [(int(since.timestamp()), _offset(timezone, since))]
    for day in (since + timedelta(days=days) for days in range(1, YEARS * 366)):
        if _offset(timezone, day) != found[-1][1]:
            found.append(_change_before(timezone, day))
    return tuple(found)


def _change_before(timezone: str, day: datetime) -> tuple[int, int]:
    """The minute of the change within the 24 hours before `day`, and the offset from then on."""
    new = _offset(timezone, day)
    early, late = 0, _DAY
    while late - early > 1:
        middle = (early + late) // 2
        changed = _offset(timezone, day - timedelta(minutes=_DAY - middle)) == new
        early, late = (early, middle) if changed else (middle, late)
    return int((day - timedelta(minutes=_DAY - late)).timestamp()), new


def _offset(timezone: str, at: datetime) -> int:
    return int(at.astimezone(zone(timezone)).utcoffset().total_seconds())  # type: ignore[union-attr]  # it has a zone


# --- entries and commands -------------------------------------------------------------


def of_trunk(spec: TrunkSpec, world: World) -> tuple[Entry, ...]:
    """The entries of one trunk."""
    return tuple(trunk_entries(trunk(spec, world), calls(spec, world)))


def of_routes(specs: Iterable[RouteSpec], now: datetime) -> tuple[Entry, ...]:
    """The entries of the places of these routes, of which none may be missing."""
    places: dict[tuple[str, str], list[Route]] = defaultdict(list)
    for spec in specs:
        if spec.enabled:
            compiled = route(spec, now)
            places[route_place(compiled)].append(compiled)
    return tuple(place_entry(place, routes) for place, routes in places.items())


def emergency(spec: EmergencySpec) -> dict[str, tuple[Target, ...]]:
    """What the policy needs of the emergency numbers."""
    return dict.fromkeys(spec.numbers, _targets(spec.targets))


def of_emergency(spec: EmergencySpec) -> tuple[Entry, ...]:
    """The entries of all emergency numbers."""
    return tuple(emergency_entry(number, targets) for number, targets in emergency(spec).items())


def source_rule(spec: SourceRule) -> policy.SourceRule:
    """What the policy needs of a source rule."""
    return policy.SourceRule(spec.cidr, policy.Action(spec.action), spec.side or policy.ANY_SIDE, spec.name)


def of_source(spec: SourceRule) -> tuple[Entry, ...]:
    """The entries of one source rule."""
    return tuple(rule_entries(source_rule(spec)))


def commands(before: Iterable[Entry], after: Iterable[Entry]) -> tuple[Command, ...]:
    """What leads from entries that are there to those that should be: removals first, nothing of what stays."""
    old, new = _by_place(before), _by_place(after)
    gone = {place: entry for place, entry in old.items() if place not in new and entry.key not in SHARED}
    changed = [entry for place, entry in new.items() if old.get(place) != entry]
    return (*_grouped("HDEL", "SREM", gone.values()), *_grouped("HSET", "SADD", changed))


def _by_place(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    return {(entry.key, entry.field): entry for entry in entries}


def _grouped(of_hash: str, of_set: str, entries: Iterable[Entry]) -> Iterator[Command]:
    """One command for the entries of a key, or several when they are many."""
    keys: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        keys[of_set if entry.value is None else of_hash, entry.key].append(entry)
    for (verb, key), members in keys.items():
        for first in range(0, len(members), MOST_FIELDS):
            yield verb, key, *_arguments(verb, members[first : first + MOST_FIELDS])


def _arguments(verb: str, entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        yield entry.field
        if verb == "HSET":
            yield entry.value or ""
