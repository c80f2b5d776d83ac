"""Orders of routers for system tests and benches: two sites joined by eBGP, and a router that stands alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from tests.platform import Json, Platform, wait_for
from worker import lab

PASSWORD = "between-the-two"


@dataclass(frozen=True)
class Site:
    """A host and the router for it, by name of the UNI."""

    uni: str
    asn: int
    net4: str
    net6: str
    transport: int

    @property
    def name(self) -> str:
        return f"edge-{self.uni}"

    def address(self, version: int, host: int) -> str:
        return f"{self.net4}.{host}" if version == 4 else f"{self.net6}::{host}"

    def prefixes(self) -> list[str]:
        return [f"{self.net4}.0/24", f"{self.net6}::/64"]

    def on_transport(self, version: int) -> str:
        return f"10.255.0.{self.transport}" if version == 4 else f"fd00:255::{self.transport}"


A = Site("a", 65010, "10.10.0", "fd00:10", 1)
B = Site("b", 65020, "10.20.0", "fd00:20", 2)


def make_segments(platform: Platform) -> None:
    """One at each UNI, a transport between the two sites, and two that end at the PoP."""
    for site in (A, B):
        platform.segment(f"lan-{site.uni}", "access", site.prefixes(), uni=site.uni)
    platform.segment("transport", "transport", ["10.255.0.0/29", "fd00:255::/64"])
    platform.segment("left", "private", ["10.60.0.0/24", "fd00:60::/64"])
    platform.segment("right", "private", ["10.61.0.0/24", "fd00:61::/64"])


def make_hosts(platform: Platform) -> None:
    """One behind each UNI; without it the segment there has no uplink."""
    for site in (A, B):
        addresses = [f"{site.address(4, 10)}/24", f"{site.address(6, 10)}/64"]
        lab.up(lab.site(platform.site(site.uni), platform.unis[site.uni], addresses))


def edge(site: Site, peer: Site, *, routes: Iterable[str] = (), filtered: bool = False) -> Json:
    """The spec of a site's router.

    `routes` are destinations behind the site's host; `filtered` accepts the peer's prefixes alone.
    """
    return {
        "ports": [
            {
                "name": "lan",
                "segment": f"lan-{site.uni}",
                "addresses": [f"{site.address(4, 1)}/24", f"{site.address(6, 1)}/64"],
            },
            {
                "name": "wan",
                "segment": "transport",
                "addresses": [f"{site.on_transport(4)}/29", f"{site.on_transport(6)}/64"],
            },
        ],
        "static_routes": [{"destination": route, "via": site.address(4, 10)} for route in routes],
        "bgp": {
            "asn": site.asn,
            "networks": site.prefixes(),
            "neighbours": [_neighbour(peer, version, filtered) for version in (4, 6)],
        },
    }


def _neighbour(peer: Site, version: int, filtered: bool) -> Json:
    accepted = [{"action": "permit", "prefix": peer.prefixes()[0 if version == 4 else 1]}]
    return {
        "address": peer.on_transport(version),
        "remote_asn": peer.asn,
        "password": PASSWORD,
        # Three seconds: on a busy machine the default of 0.9 s takes a late packet for a dead neighbour.
        "bfd": True,
        "bfd_timers": {"detect_multiplier": 10},
        **({"prefixes_in": accepted} if filtered else {}),
    }


def lone_router(*, routes: Iterable[str] = ()) -> Json:
    """A router between the two private segments, with a neighbour that never answers."""
    return {
        "ports": [{"name": "left", "segment": "left"}, {"name": "right", "segment": "right"}],
        "static_routes": [{"destination": route, "via": "10.60.0.254"} for route in routes],
        "bgp": {
            "asn": 65001,
            "redistribute": ["static"],
            "neighbours": [{"address": "10.61.0.253", "remote_asn": 65002, "bfd": True}],
        },
    }


@dataclass(frozen=True)
class Pair:
    """The two sites with their hosts in the lab and their routers in service."""

    platform: Platform
    services: dict[str, str]

    @classmethod
    def ordered(cls, platform: Platform) -> Pair:
        """Order both routers at once and wait until each host reaches the other."""
        order = platform.done(platform.add(A.name, edge(A, B)), platform.add(B.name, edge(B, A)))
        pair = cls(platform, {item["service"]["name"]: item["service"]["id"] for item in order["items"]})
        wait_for(pair.reaches, "traffic between the sites")
        return pair

    def reaches(self) -> bool:
        """Whether the host at A reaches the one at B, by IPv4 and by IPv6."""
        return all(succeeds(self.platform, A, "ping", "-n", "-c1", "-W1", B.address(version, 10)) for version in (4, 6))

    def modify(self, site: Site, spec: Json) -> None:
        self.platform.done({"action": "modify", "service": self.services[site.name], "spec": spec})

    def delete(self) -> None:
        self.platform.done(*({"action": "delete", "service": service} for service in self.services.values()))


def succeeds(platform: Platform, site: Site, *command: str) -> bool:
    """Whether a command on the site's host ends with 0."""
    command_line = lab.inside(platform.site(site.uni), *command)
    return subprocess.run(command_line, check=False, capture_output=True).returncode == 0
