"""Turns a router's spec and its ports' addresses into one VNF: FRR and nftables in one container.

Pure. Filters, route maps and BFD profiles are named by their content: a change of one is a new
object to which the neighbour is switched in a single command, so that no route passes while a
filter is half written, and neighbours with equal filters share one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.kind import Context, SpecError
from services.kinds.router.placement import Placed, addresses4, placed, problems
from services.kinds.router.spec import BfdTimers, Bgp, Nat, Neighbour, PrefixRule, RouterSpec, SourceNat, StaticRoute
from worker.topology import ConfigFile, Container, Exec, Notice, Vnf, Volume, digest

VNF = "router"
CONTAINER = "frr"
IMAGE = "naas/router:1"
PROGRAMS = "/usr/lib/naas"
#: The volume in which the container says that it is ready.
NOTICES = "notices"

#: FRR's daemons start as root, become `frr` and keep the three of the network; each was tried without.
#: Not SYS_ADMIN: the image takes it out of what they ask for.
CAPABILITIES = ("CHOWN", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETGID", "SETUID")

#: FRR's own, which it leaves out of what it shows.
BFD_DEFAULTS = BfdTimers()

#: What of the read-only root must be written to, with its options for Docker.
TMPFS = (
    "/etc/frr:size=1m,mode=755",
    "/run:size=16m,mode=755",
    "/tmp:size=16m,mode=1777",  # noqa: S108 - a mount of the container
    "/var/log:size=16m,mode=755",
    "/var/tmp:size=16m,mode=1777",  # noqa: S108 - as above
)

SYSCTLS = (
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.all.accept_source_route", "0"),
    ("net.ipv4.conf.all.arp_announce", "2"),
    ("net.ipv4.conf.all.arp_ignore", "1"),
    # Routes of two neighbours may lead out and back by different ports: that is no forgery.
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    # By addresses and ports, so that the packets of one connection take one way.
    ("net.ipv4.fib_multipath_hash_policy", "1"),
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    ("net.ipv6.fib_multipath_hash_policy", "1"),
)


def render(spec: RouterSpec, context: Context) -> tuple[Vnf, ...]:
    """The router's VNF. Raises `SpecError` for what does not fit the ports' addresses."""
    ports = placed(context)
    if found := tuple(problems(spec, ports)):
        raise SpecError(*found)
    container = Container(
        name=CONTAINER,
        image=IMAGE,
        files=(
            ConfigFile("frr.conf", frr_conf(spec, ports, context.instance)),
            ConfigFile("nftables.conf", nftables_conf(spec, ports)),
        ),
        reload=(f"{PROGRAMS}/reload",),
        capabilities=CAPABILITIES,
        tmpfs=TMPFS,
        volumes=(Volume(NOTICES, "/run/notices"),),
        cpu=context.cpu,
        memory=context.memory,
    )
    probes = (
        Notice("ready", CONTAINER, NOTICES),
        Exec("health", CONTAINER, (f"{PROGRAMS}/health",), parser="conditions"),
    )
    return (Vnf(VNF, (container,), SYSCTLS, probes),)


# --- frr.conf -------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """One `address-family` block."""

    name: str
    networks: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class RouteMap:
    name: str
    settings: tuple[str, ...]


def frr_conf(spec: RouterSpec, ports: Placed, instance: str) -> str:
    """The routing configuration, as `show running-config` prints it: what runs can be compared with it."""
    neighbours = spec.bgp.neighbours if spec.bgp else ()
    settings_in, settings_out = _settings(spec.bgp)
    maps = {map_name(s): s for n in neighbours for s in (settings_in(n), settings_out(n)) if s}
    return _template("frr.conf.j2").render(
        routes=sorted(map(_route_line, spec.static_routes)),
        bgp=spec.bgp,
        router_id=_router_id(spec, ports, instance),
        families=tuple(_families(spec.bgp)) if spec.bgp else (),
        filters=sorted(set(_filter_lines(neighbours))),
        maps=[RouteMap(name, settings) for name, settings in sorted(maps.items())],
        bfd_profiles=sorted({timers for n in neighbours if (timers := bfd_profile(n))}, key=bfd_profile_name),
        settings_in=settings_in,
        settings_out=settings_out,
        unless=_unless,
        filter_name=filter_name,
        map_name=map_name,
        bfd_profile=bfd_profile,
        bfd_profile_name=bfd_profile_name,
        bfd_defaults=BFD_DEFAULTS,
    )


def _unless(value: int, default: int) -> str:
    """The number after a word, which FRR leaves out where it is the default."""
    return "" if value == default else f" {value}"


def _route_line(route: StaticRoute) -> str:
    family = "ipv6" if ":" in route.destination else "ip"
    way = route.via or route.port or "blackhole"
    distance = f" {route.distance}" if route.distance != 1 else ""
    return f"{family} route {route.destination} {way}{distance}"


def _router_id(spec: RouterSpec, ports: Placed, instance: str) -> str:
    """A fixed choice: FRR's own would change, and end every session, when a port is added."""
    if spec.bgp and spec.bgp.router_id:
        return spec.bgp.router_id
    for port in spec.ports:
        if own := addresses4(ports, port.name):
            return own[0]
    return str(ipaddress.IPv4Address(int(digest(instance)[:8], 16) % 0xDFFFFFFF + 1))


def _families(bgp: Bgp) -> Iterator[Family]:
    for name, mark in (("ipv4", False), ("ipv6", True)):
        neighbours = tuple(n for n in bgp.neighbours if (":" in n.address) is mark)
        networks = tuple(sorted(n for n in bgp.networks if (":" in n) is mark))
        if neighbours or networks or bgp.redistribute:
            yield Family(name, networks, neighbours)


def filter_name(rules: Iterable[PrefixRule]) -> str:
    return f"filter-{digest(_filter(rules))}"


def _filter_lines(neighbours: Iterable[Neighbour]) -> Iterator[str]:
    for neighbour in neighbours:
        family = "ipv6" if ":" in neighbour.address else "ip"
        for rules in (neighbour.prefixes_in, neighbour.prefixes_out):
            if rules is None:
                continue
            name = f"{family} prefix-list {filter_name(rules)}"
            yield from (f"{name} seq {(i + 1) * 5} {rule}" for i, rule in enumerate(_filter(rules)))


def _filter(rules: Iterable[PrefixRule]) -> list[str]:
    """The lines of a filter. FRR drops one that says the same as an earlier one, and knows no empty list."""
    return list(dict.fromkeys(map(_rule, rules))) or ["deny any"]


def _rule(rule: PrefixRule) -> str:
    """As FRR prints it: a length that says nothing is left out, and all of a family is `any`."""
    network = ipaddress.ip_network(rule.prefix)
    exact, longest = network.prefixlen, network.max_prefixlen
    ge = exact if rule.ge is None else rule.ge
    le = rule.le if rule.le is not None else exact if rule.ge is None else longest
    if (exact, ge, le) == (0, 0, longest):
        return f"{rule.action} any"
    lengths = [f" ge {ge}"] if ge > exact else []
    lengths += [f" le {le}"] if le > exact and (le < longest or ge == exact) else []
    return f"{rule.action} {rule.prefix}{''.join(lengths)}"


def _settings(bgp: Bgp | None) -> tuple[Callable[[Neighbour], tuple[str, ...]], Callable[[Neighbour], tuple[str, ...]]]:
    """What is set on the routes of a neighbour, in and out."""
    asn = bgp.asn if bgp else 0

    def settings_in(neighbour: Neighbour) -> tuple[str, ...]:
        if neighbour.local_preference is None:
            return ()
        return (f"local-preference {neighbour.local_preference}",)

    def settings_out(neighbour: Neighbour) -> tuple[str, ...]:
        prepend = " ".join([str(asn)] * (neighbour.prepend or 0))
        wanted = (
            f"as-path prepend {prepend}" if prepend else "",
            f"metric {neighbour.med}" if neighbour.med is not None else "",
        )
        return tuple(setting for setting in wanted if setting)

    return settings_in, settings_out


def map_name(settings: tuple[str, ...]) -> str:
    return f"set-{digest(settings)}"


def bfd_profile(neighbour: Neighbour) -> BfdTimers | None:
    """The timers for which a profile is needed: FRR shows none that are its defaults."""
    return neighbour.bfd_timers if neighbour.bfd_timers != BFD_DEFAULTS else None


def bfd_profile_name(timers: BfdTimers) -> str:
    return f"bfd-{timers.detect_multiplier}-{timers.receive_interval}-{timers.transmit_interval}"


# --- nftables.conf --------------------------------------------------------------------


@dataclass(frozen=True)
class Peers:
    """The neighbours of one address family that may reach the router itself."""

    family: str
    all: tuple[str, ...]
    bfd: tuple[str, ...]


@dataclass(frozen=True)
class Forward:
    in_port: str
    addresses: tuple[str, ...]
    protocol: str
    port: int
    to: str
    to_port: int


def nftables_conf(spec: RouterSpec, ports: Placed) -> str:
    """The packet filter: who may reach the router itself, and address translation."""
    nat = spec.nat or Nat()
    sources: tuple[SourceNat, ...] = nat.source
    return _template("nftables.conf.j2").render(
        neighbours=tuple(_peers(spec.bgp.neighbours)) if spec.bgp else (),
        forwards=tuple(_forwards(nat, ports)),
        sources=sources,
    )


def _peers(neighbours: tuple[Neighbour, ...]) -> Iterator[Peers]:
    for family, mark in (("ip", False), ("ip6", True)):
        of_family = tuple(n for n in neighbours if (":" in n.address) is mark)
        if of_family:
            yield Peers(
                family,
                tuple(sorted(n.address for n in of_family)),
                tuple(sorted(n.address for n in of_family if n.bfd)),
            )


def _forwards(nat: Nat, ports: Placed) -> Iterator[Forward]:
    for forward in nat.port_forwards:
        yield Forward(
            forward.in_port,
            addresses4(ports, forward.in_port),
            forward.protocol,
            forward.port,
            forward.to,
            forward.to_port or forward.port,
        )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - these are not HTML; every value has a type that cannot hold syntax
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template(name: str) -> Template:
    return _environment().get_template(name)
