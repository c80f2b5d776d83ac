"""A tenant's network as a picture: PoPs, sites, segments and services, and who is wired to what. Pure.

Where there are many services, those of a kind at a PoP are one node; what is not well is always shown by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from services.lifecycle import Health

#: More services than this are drawn in groups.
MOST_DRAWN = 120
#: Of services that are not well, so many are drawn beside their group.
MOST_UNWELL = 40
#: From the best to the worst.
WORSE = (Health.HEALTHY, Health.UNKNOWN, Health.DEGRADED, Health.DOWN)


class What(StrEnum):
    """What a node stands for."""

    POP = "pop"
    SITE = "site"
    SEGMENT = "segment"
    SERVICE = "service"
    GROUP = "group"


@dataclass(frozen=True)
class Place:
    """A PoP, by its slug."""

    id: str
    name: str


@dataclass(frozen=True)
class Net:
    """A segment at a PoP. `site` is the name of the UNI that it is at, if it is at one."""

    id: str
    name: str
    pop: str
    kind: str
    site: str = ""


@dataclass(frozen=True)
class Function:
    """A service at a PoP, and the segments it has ports on."""

    id: str
    name: str
    pop: str
    kind: str
    health: str
    segments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """A thing in the picture. `parent` is the PoP it is in; `health` is empty for what has none; `of` is its kind."""

    id: str
    what: What
    label: str
    parent: str = ""
    health: str = ""
    of: str = ""


@dataclass(frozen=True)
class Edge:
    source: str
    target: str


@dataclass(frozen=True)
class Picture:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    is_grouped: bool = False

    def elements(self) -> dict[str, Any]:
        """As the browser's script reads it."""
        return {
            "nodes": [asdict(node) for node in self.nodes],
            "edges": [asdict(edge) for edge in self.edges],
            "grouped": self.is_grouped,
        }


def draw(pops: Sequence[Place], nets: Sequence[Net], functions: Sequence[Function]) -> Picture:
    """The picture of everything that is given; PoPs where nothing stands are left out."""
    grouped = len(functions) > MOST_DRAWN
    shown = _unwell(functions)[:MOST_UNWELL] if grouped else tuple(functions)
    wired = {segment for function in shown for segment in function.segments}
    # With very many services the segments of those that are in groups would be as many again.
    drawn = [net for net in nets if net.id in wired] if grouped else list(nets)
    used = {net.pop for net in nets} | {function.pop for function in functions}
    nodes = (
        *(Node(_at(pop.id), What.POP, pop.name) for pop in pops if pop.id in used),
        *(node for net in drawn for node in _of_net(net)),
        *(Node(f.id, What.SERVICE, f.name, _at(f.pop), f.health, f.kind) for f in shown),
        *(_groups(functions, shown) if grouped else ()),
    )
    known = {net.id for net in drawn}
    edges = (
        *(Edge(f"site-{net.id}", net.id) for net in drawn if net.site),
        *(Edge(f.id, segment) for f in shown for segment in dict.fromkeys(f.segments) if segment in known),
    )
    return Picture(nodes, edges, grouped)


def worst(healths: Iterable[str]) -> str:
    """The worst of several; empty of none."""
    return max(healths, key=lambda health: WORSE.index(Health(health)), default="")


def _at(pop: str) -> str:
    return f"pop-{pop}"


def _of_net(net: Net) -> Iterator[Node]:
    yield Node(net.id, What.SEGMENT, net.name, _at(net.pop), of=net.kind)
    if net.site:
        # Outside of the PoP: it is the customer's.
        yield Node(f"site-{net.id}", What.SITE, net.site)


def _unwell(functions: Sequence[Function]) -> tuple[Function, ...]:
    """Those that are degraded or down, the worst first."""
    found = [f for f in functions if f.health in (Health.DEGRADED, Health.DOWN)]
    return tuple(sorted(found, key=lambda f: -WORSE.index(Health(f.health))))


def _groups(functions: Sequence[Function], shown: Sequence[Function]) -> Iterator[Node]:
    drawn = {function.id for function in shown}
    rest = [function for function in functions if function.id not in drawn]
    counts = Counter((function.pop, function.kind) for function in rest)
    for (pop, kind), count in sorted(counts.items()):
        health = worst(f.health for f in rest if (f.pop, f.kind) == (pop, kind))
        yield Node(f"group-{pop}-{kind}", What.GROUP, f"{count} of kind {kind}", _at(pop), health, kind)
