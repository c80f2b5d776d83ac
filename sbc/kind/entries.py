"""Trunks and routes as entries of the tables in an SBC's Redis, where its engine reads them once per call.

One trunk or route is a few entries, so one change is a few commands, whatever the size of
the tables. `image/redis/lib/sbc.lua` reads what is written here. Nothing here talks to Redis.
"""

from __future__ import annotations

import ipaddress
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from sbc.policy import Address, HeaderRule, Route, SourceRule, Tables, Target, Trunk

#: Separates the fields of what the routing script takes apart; no field may hold it.
_BETWEEN = "\t"

#: The fields that the routing script takes apart by position, as the engine puts them together.
CALL_FIELDS = (
    "socket",
    "host",
    "most_calls",
    "most_per_second",
    "user",
    "realm",
    "password",
    "srtp",
    "nat",
    "me",
    "timer",
    "least_timer",
    "timer_required",
)
ATTEMPT_FIELDS = (
    *("uri", "number", "caller", "asserted", "privacy", "trunk", "forth", "accepts", "remove", "add"),
    *CALL_FIELDS,
)
ROUTE_FIELDS = ("failover", "timeout")
#: What `image/redis/lib/peers.lua` reads of a health check, tab-separated; the URIs of the trunk's addresses follow.
CHECK_FIELDS = ("every", "failures", "socket", "request", "sender")
#: And of a registration; the URIs that it is sent to in turn follow.
REGISTRATION_FIELDS = ("expires", "socket", "request", "address", "contact", "user", "password", "realm")
#: What the routing script is told to ask a trunk. `target` is what stands in To.
QUESTION_FIELDS = ("method", "uri", "socket", "request", "sender", "target", "about", "headers", "user", "password")
#: What the routing script keeps of a call, as CALL in `image/redis/lib/sbc.lua`.
KEPT_FIELDS = (
    *("from_trunk", "route", "emergency", "caller", "called", "started", "to_trunk", "called_out", "tried"),
    *("answered", "codec", "srtp_in", "srtp_out", "nat_in", "nat_out"),
    *("timer", "least_timer"),
)

#: An emergency call goes to its next target whatever the answer, and soon: 486 of one centre is not the end of it.
EMERGENCY_FAILOVER = (400, 403, 404, 408, 410, 415, 480, 484, 486, 488, 500, 501, 502, 503, 504, 600, 603, 604, 606)
EMERGENCY_TIMEOUT = 30


class Srtp(StrEnum):
    """Whether media to and from a trunk is encrypted (SDES, RFC 4568)."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True)
class Check:
    """How a trunk is asked whether it is there: every so many seconds, by OPTIONS to each of its addresses. So many
    failures in a row mean that an address is down."""

    every: int
    failures: int


@dataclass(frozen=True)
class Registration:
    """How the SBC registers with a trunk (RFC 3261, 10): the registrar's URI, the address of record, and the contact to
    which calls shall be sent for so many seconds. The request goes to `uris` in turn."""

    request: str
    address: str
    contact: str
    expires: int
    uris: tuple[str, ...]


@dataclass(frozen=True)
class Calls:
    """How calls to and from a trunk are carried.

    `socket` is the listening socket they leave by, `me` the SBC's name there, `host` the
    domain in request URIs. `interface` is the media interface. Zero calls or rate is unlimited. Behind a `nat` it is
    where its messages and media come from, whatever they say. A session `timer` of so many seconds is asked for where
    an end asks for none (0: none is), one below `least_timer` is refused; so is, where it is `timer_required`, who
    has none. `headers` are
    rules for what is sent to the trunk; which headers they may not touch is said in `fields.PROTECTED_HEADERS`.
    """

    socket: str
    me: str
    host: str
    interface: str
    family: int = 4
    srtp: Srtp = Srtp.OFF
    codecs: tuple[str, ...] = ()
    transcode: bool = False
    nat: bool = False
    timer: int = 0
    least_timer: int = 0
    timer_required: bool = False
    most_calls: int = 0
    most_per_second: int = 0
    user: str = ""
    realm: str = ""
    password: str = ""
    headers: tuple[HeaderRule, ...] = ()
    check: Check | None = None
    registration: Registration | None = None


def media_document(calls: Calls) -> Mapping[str, object]:
    """How media to and from a trunk are relayed; `image/redis/lib/sbc.lua` makes rtpengine's flags of two of them."""
    return {
        "interface": calls.interface,
        "family": calls.family,
        "srtp": calls.srtp,
        "codecs": list(calls.codecs),
        "transcode": calls.transcode,
        "nat": calls.nat,
    }


def calls_field(calls: Calls) -> str:
    """What the routing script reads of a trunk: `CALL_FIELDS`, tab-separated."""
    values = asdict(calls) | {name: "1" if getattr(calls, name) else "" for name in ("nat", "timer_required")}
    return _joined(str(values[name]) for name in CALL_FIELDS)


#: Before the URI of an address that is a name.
NAMED = "name:"


def _uris(trunk: Trunk) -> Iterator[str]:
    """The URIs of a trunk's addresses, as `image/redis/lib/peers.lua` reads them."""
    return (f"{NAMED if address.named else ''}{address.uri}" for address in trunk.addresses)


def names_entry(trunk: Trunk, calls: Calls) -> Entry | None:
    """What is looked up for a trunk: the side on which what is found are its sources (empty: they are not), the family
    of addresses that are wanted, and the URIs; for the resolver, in `image/kamailio/lib/steering/names.py`."""
    registered = calls.registration.uris if calls.registration else ()
    uris = [uri.removeprefix(NAMED) for uri in dict.fromkeys((*_uris(trunk), *registered)) if uri.startswith(NAMED)]
    if not uris:
        return None
    side = trunk.side if not trunk.sources and not trunk.by_password else ""
    return Entry("sbc:names", trunk.id, _joined([side, str(calls.family), *uris]))


def check_entry(trunk: Trunk, calls: Calls, check: Check) -> Entry:
    values = {
        **asdict(check),
        "socket": calls.socket,
        "request": f"sip:{calls.host}",
        "sender": f"sip:{calls.me}",
    }
    return Entry("sbc:checks", trunk.id, _joined([*(str(values[name]) for name in CHECK_FIELDS), *_uris(trunk)]))


def registration_entry(trunk: Trunk, calls: Calls, registration: Registration) -> Entry:
    values = asdict(calls) | asdict(registration)
    fields = (str(values[name]) for name in REGISTRATION_FIELDS)
    return Entry("sbc:registrations", trunk.id, _joined([*fields, *registration.uris]))


def _joined(fields: Iterable[str]) -> str:
    found = tuple(fields)
    if any(_BETWEEN in field for field in found):
        raise ValueError("a field of a trunk holds a tab")
    return _BETWEEN.join(found)


@dataclass(frozen=True)
class Entry:
    """One field of one hash, or one member of one set (then `value` is None)."""

    key: str
    field: str
    value: str | None


def source_field(prefix: str) -> str:
    """A source prefix as the string of its bits: `4:1100000` for 192.0.0.0/7."""
    network = ipaddress.ip_network(prefix)
    bits = f"{int(network.network_address):0{network.max_prefixlen}b}"
    return f"{network.version}:{bits[: network.prefixlen]}"


def trunk_entries(trunk: Trunk, calls: Calls) -> Iterator[Entry]:
    document = {
        "id": trunk.id,
        "enabled": trunk.enabled,
        "addresses": [_address_document(address) for address in trunk.addresses],
        "plan": asdict(trunk.plan),
        "format": trunk.format,
        "caller_id": trunk.caller_id,
        "trusted": trunk.trusted,
        "inward": asdict(trunk.inward),
        "outward": asdict(trunk.outward),
        "contact": trunk.contact,
        "calls": calls_field(calls),
        "media": media_document(calls),
        **_headers(calls.headers),
    }
    yield Entry("sbc:trunks", trunk.id, _json(document))
    for prefix in trunk.sources if trunk.enabled else ():
        yield Entry("sbc:sources", f"{trunk.side}/{source_field(prefix)}", trunk.id)
        yield from _length(prefix)
    names = names_entry(trunk, calls)
    if names and trunk.enabled:
        yield names
    if calls.nat and trunk.enabled:
        yield Entry("sbc:nat", trunk.id, None)
    if trunk.by_password and trunk.enabled:
        yield Entry(f"sbc:users:{trunk.side}", calls.user, f"{calls.password}{_BETWEEN}{trunk.id}")
    if calls.check and trunk.enabled:
        yield check_entry(trunk, calls, calls.check)
    if calls.registration and trunk.enabled:
        yield registration_entry(trunk, calls, calls.registration)


def _address_document(address: Address) -> Mapping[str, object]:
    """Without what is not so for most."""
    return {name: value for name, value in asdict(address).items() if name != "named" or value}


def rule_entries(rule: SourceRule) -> Iterator[Entry]:
    yield Entry("sbc:rules", f"{rule.side}/{source_field(rule.prefix)}", rule.action)
    yield from _length(rule.prefix)


def _length(prefix: str) -> Iterator[Entry]:
    """That there are prefixes of this length; a whole address is looked for in any case."""
    network = ipaddress.ip_network(prefix)
    if network.prefixlen < network.max_prefixlen:
        yield Entry("sbc:lengths", f"{network.version}:{network.prefixlen}", None)


def route_place(route: Route) -> tuple[str, str]:
    """The key and field that a route shares with those it is compared with by order."""
    if route.pattern is not None:
        return "sbc:patterns", route.trunk
    return "sbc:routes", f"{route.trunk}/{route.prefix}"


def place_entry(place: tuple[str, str], routes: Iterable[Route]) -> Entry:
    """The entry of one place, from all routes there."""
    ordered = sorted(routes, key=lambda route: (route.order, route.id))
    return Entry(*place, _json([_route_document(route) for route in ordered]))


def emergency_entry(number: str, targets: Iterable[Target]) -> Entry:
    """Where an emergency number leads, before any route and exempt from every limit."""
    document = {
        "targets": [asdict(target) for target in targets],
        "calls": _route_calls(EMERGENCY_FAILOVER, EMERGENCY_TIMEOUT),
    }
    return Entry("sbc:emergency", number, _json(document))


def _route_document(route: Route) -> Mapping[str, object]:
    return {
        "id": route.id,
        "pattern": route.pattern,
        "window": asdict(route.window) if route.window else None,
        "targets": [asdict(target) for target in route.targets],
        "calls": _route_calls(route.failover, route.timeout),
        **_headers(route.headers),
    }


def _headers(rules: Iterable[HeaderRule]) -> Mapping[str, object]:
    """Nothing where there are no rules, which is so for most."""
    found = [asdict(rule) for rule in rules]
    return {"headers": found} if found else {}


def _route_calls(failover: Iterable[int], timeout: int) -> str:
    """What the routing script reads of a route: `ROUTE_FIELDS`, tab-separated."""
    codes = "," + "".join(f"{code}," for code in failover)
    return f"{codes}{_BETWEEN}{timeout}"


def all_entries(tables: Tables, calls: Mapping[str, Calls]) -> Iterator[Entry]:
    """Every entry of every table, for an SBC that has none yet. A route that is not enabled has none."""
    for trunk in tables.trunks.values():
        yield from trunk_entries(trunk, calls[trunk.id])
    places: dict[tuple[str, str], list[Route]] = defaultdict(list)
    for route in (route for route in tables.routes if route.enabled):
        places[route_place(route)].append(route)
    for place, routes in places.items():
        yield place_entry(place, routes)
    for number, targets in tables.emergency.items():
        yield emergency_entry(number, targets)
    for rule in tables.rules:
        yield from rule_entries(rule)
    for uri, found in (tables.names or {}).items():
        known = [_address_document(address) for address in found]
        yield Entry("live:names", f"4 {uri}", _json({"addresses": known}))
    for trunk_id, uri in sorted(tables.down):
        yield Entry("live:down", f"{trunk_id} {uri}", None)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
