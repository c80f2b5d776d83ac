"""Two branches behind a router each, with eBGP between them. Pure: answers in, segments and specs out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.kind import Asked, Blueprint, Draft, Net, hosts_of

#: AS numbers for private use (RFC 6996), one for each branch.
ASNS = (64512, 64513)


def _draw(answers: Mapping[str, str]) -> Draft:
    (first, _), (second, _), ends = hosts_of(answers, "first_prefix", "second_prefix", "transport")
    names = (answers["first"], answers["second"])
    prefixes, gateways = (answers["first_prefix"], answers["second_prefix"]), (first, second)
    between = f"{names[0]}-{names[1]}"
    specs = {
        f"{names[here]}-router": _spec(
            lan=(f"{names[here]}-lan", _within(gateways[here], prefixes[here])),
            wan=(between, _within(ends[here], answers["transport"])),
            asns=(ASNS[here], ASNS[there]),
            peer=ends[there],
            networks=(prefixes[here], prefixes[there]),
        )
        for here, there in ((0, 1), (1, 0))
    }
    nets = (
        Net(f"{names[0]}-lan", prefixes[0], answers["first_uni"]),
        Net(f"{names[1]}-lan", prefixes[1], answers["second_uni"]),
        Net(between, answers["transport"], transport=True),
    )
    return Draft(nets, specs)


def _spec(
    *, lan: tuple[str, str], wan: tuple[str, str], asns: tuple[int, int], peer: str, networks: tuple[str, str]
) -> dict[str, Any]:
    """`lan` and `wan` are a segment and the address on it; `asns` and `networks` are the own and the peer's."""
    return {
        "ports": [
            {"name": "lan", "segment": lan[0], "addresses": [lan[1]]},
            {"name": "wan", "segment": wan[0], "addresses": [wan[1]]},
        ],
        "bgp": {
            "asn": asns[0],
            "networks": [networks[0]],
            "neighbours": [
                {
                    "address": peer,
                    "remote_asn": asns[1],
                    "prefixes_in": [{"action": "permit", "prefix": networks[1]}],
                    "bfd": True,
                }
            ],
        },
    }


def _within(address: str, prefix: str) -> str:
    return f"{address}/{prefix.partition('/')[2]}"


BRANCHES = Blueprint(
    name="two-branches",
    title="Two branches with routers",
    description="A router at the port of each branch and a transport between them, over which both tell each other "
    "their networks by BGP. A dead link is found within a second.",
    parts=("branch", "router", "transport", "router", "branch"),
    asks=(
        Asked("first", "First branch", "north", help="Begins the names of what is made for it"),
        Asked("first_uni", "Its port", of="uni"),
        Asked("first_prefix", "Its network", "10.10.0.0/24", "prefix", "The router has the first address"),
        Asked("second", "Second branch", "south"),
        Asked("second_uni", "Its port", of="uni"),
        Asked("second_prefix", "Its network", "10.20.0.0/24", "prefix"),
        Asked("transport", "Network between the routers", "10.255.0.0/29", "prefix"),
    ),
    draw=_draw,
    then="Hosts of a branch take the first address of its network as their gateway.",
)
