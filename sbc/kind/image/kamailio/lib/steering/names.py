"""Looks up the names of trunks (RFC 3263), again and again, and keeps in the store what was found.

Nobody waits for a name server: calls, questions and registrations read what was found last. A name that is not found
any more keeps its addresses, and says why. The trunks' names are in sbc:names (`names_entry` of sbc/kind/entries.py).
"""

import ipaddress
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import dns.exception
import dns.resolver

from . import engine

#: Seconds between two looks at what is wanted.
LOOK = 0.5
#: Seconds for which an answer is believed, whatever it says itself.
SHORTEST, LONGEST = 5, 3600
#: Seconds until a name that was not found is tried again: twice as many each time.
FIRST_PAUSE, LONGEST_PAUSE = 5, 60
#: Seconds for one question to one server, and for all of them.
TIMEOUT, LIFETIME = 1.0, 4.0
AT_ONCE = 16
SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
URI = re.compile(r"sip:(?P<host>[^:;\[\]]+)(:(?P<port>\d+))?(;transport=(?P<transport>\w+))?")

#: A name as it is wanted: the family of addresses, and the URI.
Name = tuple[str, str]


class NotFound(Exception):
    """Nothing was found, for this reason in words."""


@dataclass(frozen=True)
class Found:
    """What is known of a name: URIs with priority and weight, since and until when (seconds of Unix time)."""

    addresses: tuple[tuple[str, int, int], ...] = ()
    since: float = 0
    until: float = 0
    error: str = ""
    tries: int = 0

    def document(self) -> str:
        addresses = [dict(zip(("uri", "priority", "weight"), address, strict=True)) for address in self.addresses]
        moments = {"since": int(self.since * 1000) or None, "until": int(self.until * 1000)}
        return json.dumps({"addresses": addresses, **moments, "error": self.error})


@dataclass
class Resolver:
    """Keeps the store as the name servers say."""

    known: dict[Name, Found] = field(default_factory=dict)

    def step(self, store: engine.Store, pool: ThreadPoolExecutor, now: float) -> None:
        """Look up what is due, and write what has changed or is missing."""
        trunks = dict(_pairs(store.ask("HGETALL", "sbc:names")))
        wanted = {(entry[1], uri) for entry in (text.split("\t") for text in trunks.values()) for uri in entry[2:]}
        due = [name for name in wanted if self.known.get(name, Found()).until <= now]
        servers = engine.settings()["resolvers"]
        if due:
            self.known.update(zip(due, pool.map(lambda name: self._looked_up(name, servers, now), due), strict=True))
        self.known = {name: found for name, found in self.known.items() if name in wanted}
        _write(store, "live:names", {f"{family} {uri}": f.document() for (family, uri), f in self.known.items()})
        _write(store, "live:sources", dict(self._sources(trunks)))

    def _looked_up(self, name: Name, servers: list[str], now: float) -> Found:
        before = self.known.get(name, Found())
        try:
            addresses, lasts = look_up(name, servers)
        except NotFound as error:
            pause = min(FIRST_PAUSE * 2**before.tries, LONGEST_PAUSE)
            return replace(before, until=now + pause, error=str(error), tries=min(before.tries + 1, 10))
        since = before.since if addresses == before.addresses else now
        return Found(addresses, since, now + min(max(lasts, SHORTEST), LONGEST))

    def _sources(self, trunks: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Side and address -> the trunk whose calls come from there; of several the first by name."""
        for trunk, text in sorted(trunks.items(), reverse=True):
            side, family, *uris = text.split("\t")
            for uri in uris if side else ():
                for found, _, _ in self.known[family, uri].addresses:
                    yield f"{side}/{address_in(found)}", trunk


def address_in(uri: str) -> str:
    """The IP address in a URI, written as a packet's source is."""
    host = re.match(r"sip:(\[[^\]]+\]|[^:;]+)", uri)
    assert host is not None  # it was written here
    return str(ipaddress.ip_address(host[1].strip("[]")))


def look_up(name: Name, servers: list[str]) -> tuple[tuple[tuple[str, int, int], ...], float]:
    """Where a name leads, and for how many seconds that holds. Raises `NotFound`."""
    family, uri = name
    parts = URI.fullmatch(uri)
    if parts is None:
        raise NotFound(f"{uri} is no URI with a name")
    transport = parts["transport"] or "udp"
    asked = dns.resolver.Resolver(configure=False)
    asked.nameservers, asked.timeout, asked.lifetime = servers, TIMEOUT, LIFETIME
    ends = "" if transport == "udp" else f";transport={transport}"
    targets, lasts = _targets(asked, parts["host"], transport, parts["port"])
    found: list[tuple[str, int, int]] = []
    reasons = []
    for priority, weight, host, port in targets:
        try:
            answer = _ask(asked, host, "AAAA" if family == "6" else "A")
        except NotFound as error:
            reasons.append(str(error))
            continue
        lasts = min(lasts, answer.rrset.ttl)
        literals = sorted(f"[{record.address}]" if family == "6" else record.address for record in answer)
        found += [(f"sip:{literal}:{port}{ends}", priority, weight) for literal in literals]
    if not found:
        raise NotFound("; ".join(reasons))
    return tuple(sorted(found, key=lambda address: (address[1], address[0]))), lasts


def _targets(asked: Any, host: str, transport: str, port: str | None) -> tuple[list[tuple[int, int, str, int]], float]:
    """Priority, weight, host and port: of SRV where there is no port and there are such records (RFC 3263, 4.2)."""
    alone = [(0, 1, host, int(port or PORTS[transport]))]
    if port:
        return alone, LONGEST
    try:
        answer = _ask(asked, f"{SERVICES[transport]}.{host}", "SRV")
    except Missing:
        return alone, LONGEST
    targets = [
        (record.priority, max(record.weight, 1), record.target.to_text(omit_final_dot=True), record.port)
        for record in answer
        if record.target.to_text() != "."
    ]
    if not targets:
        raise NotFound(f"{host} takes no SIP over {transport}: its SRV record says so")
    return targets, answer.rrset.ttl


class Missing(NotFound):
    """The name servers answered, and there is no such record."""


def _ask(asked: Any, name: str, type_: str) -> Any:
    try:
        return asked.resolve(name, type_)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        raise Missing(f"{name} has no {type_} record") from None
    except dns.exception.Timeout:
        raise NotFound(f"no name server answered about {name}") from None
    except dns.exception.DNSException as error:
        raise NotFound(f"{name}: {error or type(error).__name__}") from None


def _pairs(answer: list[str]) -> Iterable[tuple[str, str]]:
    return zip(answer[::2], answer[1::2], strict=True)


def _write(store: engine.Store, key: str, wanted: Mapping[str, str]) -> None:
    """Make a hash what it should be, in one go, and leave it alone where it is that already."""
    there = dict(_pairs(store.ask("HGETALL", key)))
    changed = {name: value for name, value in wanted.items() if there.get(name) != value}
    gone = [name for name in there if name not in wanted]
    commands: list[tuple[str, ...]] = []
    if changed:
        commands.append(("HSET", key, *(part for pair in changed.items() for part in pair)))
    if gone:
        commands.append(("HDEL", key, *gone))
    store.ask_all(commands)


def run() -> int:
    """Go on for ever. A store that is away is waited for."""
    resolver = Resolver()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            try:
                with engine.Store() as store:
                    while True:
                        resolver.step(store, pool, time.time())
                        time.sleep(LOOK)
            except (OSError, engine.Refused):
                time.sleep(LOOK)
