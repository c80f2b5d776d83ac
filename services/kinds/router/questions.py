"""What a customer may ask a running router (looking glass).

An answer comes from one program with an argument list; there is no shell. Every argument is of a
type that cannot begin with `-` and cannot hold a space, so none can turn into another option
or another command.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from services.fields import Address, PortName, Prefix
from services.kind import Question, Spec
from services.kinds.router.render import CONTAINER, VNF


class Nothing(Spec):
    """No arguments."""


class Routes(Spec):
    family: Literal["ipv4", "ipv6"] = "ipv4"
    prefix: Prefix | None = Field(None, description="Only the route to this prefix; its family counts")


class OfNeighbour(Spec):
    address: Address


class BgpRoutes(OfNeighbour):
    direction: Literal["received", "accepted", "advertised"] = "received"


class Ping(Spec):
    destination: Address
    count: int = Field(4, ge=1, le=10)
    size: int = Field(56, ge=8, le=8972, description="Bytes of payload; a packet is not fragmented")
    port: PortName | None = Field(None, description="Leave by this port")


class Traceroute(Spec):
    destination: Address
    port: PortName | None = Field(None, description="Leave by this port")


def _routes(asked: Routes) -> tuple[str, ...]:
    if asked.prefix:
        family = "ipv6" if ":" in asked.prefix else "ip"
        return _vtysh(f"show {family} route {asked.prefix}")
    return _vtysh("show ipv6 route" if asked.family == "ipv6" else "show ip route")


def _bgp_summary(_asked: Nothing) -> tuple[str, ...]:
    return _vtysh("show bgp summary")


def _bgp_neighbour(asked: OfNeighbour) -> tuple[str, ...]:
    return _vtysh(f"show bgp neighbors {asked.address}")


def _bgp_routes(asked: BgpRoutes) -> tuple[str, ...]:
    family = "ipv6" if ":" in asked.address else "ipv4"
    shown = {"received": "received-routes", "accepted": "routes", "advertised": "advertised-routes"}
    return _vtysh(f"show bgp {family} unicast neighbors {asked.address} {shown[asked.direction]}")


def _ping(asked: Ping) -> tuple[str, ...]:
    port = ("-I", asked.port) if asked.port else ()
    # Five a second, and a second for the last answer: it ends within the question's time.
    paced = ("-n", "-i", "0.2", "-W", "1", "-M", "do", "-c", str(asked.count), "-s", str(asked.size))
    return ("ping", *paced, *port, "--", asked.destination)


def _traceroute(asked: Traceroute) -> tuple[str, ...]:
    port = ("-i", asked.port) if asked.port else ()
    return ("traceroute", "-n", "-q", "1", "-w", "1", "-m", "20", *port, "--", asked.destination)


def _neighbours(_asked: Nothing) -> tuple[str, ...]:
    return ("ip", "neighbour", "show")


def _interfaces(_asked: Nothing) -> tuple[str, ...]:
    return ("ip", "-s", "address", "show")


def _nat_sessions(_asked: Nothing) -> tuple[str, ...]:
    return ("head", "-n", "500", "/proc/net/nf_conntrack")


def _vtysh(command: str) -> tuple[str, ...]:
    return ("vtysh", "-c", command)


def _question(name: str, title: str, arguments: type[BaseModel], command: object, timeout: float = 10.0) -> Question:
    return Question(name, title, arguments, VNF, CONTAINER, command, timeout)  # type: ignore[arg-type]


QUESTIONS = {
    question.name: question
    for question in (
        _question("routes", "Routes", Routes, _routes),
        _question("bgp-summary", "BGP summary", Nothing, _bgp_summary),
        _question("bgp-neighbour", "One BGP neighbour", OfNeighbour, _bgp_neighbour),
        _question("bgp-routes", "Routes exchanged with a BGP neighbour", BgpRoutes, _bgp_routes),
        _question("ping", "Ping", Ping, _ping, timeout=15.0),
        _question("traceroute", "Traceroute", Traceroute, _traceroute, timeout=30.0),
        _question("neighbours", "Hosts seen on the ports", Nothing, _neighbours),
        _question("interfaces", "Ports, their addresses and counters", Nothing, _interfaces),
        _question("nat-sessions", "Translated connections", Nothing, _nat_sessions),
    )
}
