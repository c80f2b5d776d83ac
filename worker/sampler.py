"""Reads what every instance here carries and uses, and sends it to the core on a queue of its own.

All wires are read in one look at the fabric, processors and memory from the containers' control groups; what only a
kind knows its probes have told anyway: no container is asked anything. While the broker is away samples wait in
memory, the latest hour of them. Nothing else waits for them: they have a thread of their own, and a queue that nothing
else is in.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from worker.broker import RECONCILE
from worker.errors import NaasError, PermanentError
from worker.host import Pop
from worker.outbox import Outbox
from worker.runtime.base import Usage
from worker.samples import Reading, Samples, Series, Total, rates
from worker.topology import fabric_port
from worker.wiring.base import Counters

log = logging.getLogger(__name__)

#: Samples that wait for the broker; the oldest go first. An hour of them at the usual interval.
MOST_WAITING = 360
#: What is read of a wire: the name of its sample, the field of the counters, and by how much it is multiplied.
OF_WIRES = tuple(
    (f"port.{way}.{what}", f"{way}_{field}", factor)
    for way in ("in", "out")
    for what, field, factor in (
        ("bits", "bytes", 8),
        ("packets", "packets", 1),
        ("errors", "errors", 1),
        ("drops", "drops", 1),
    )
)


@dataclass(frozen=True)
class Port:
    """A wire by its end in the fabric, and what its samples are called."""

    instance: str
    label: str
    end: str


class Sampler:
    """Used by one thread."""

    def __init__(self, pop: Pop, outbox: Outbox, told: Callable[[str], Mapping[str, float]] = lambda _: {}) -> None:
        """`told` gives what the probes of an instance told of it lately, by name."""
        self._pop = pop
        self._told = told
        self._outbox = outbox
        self._generations: dict[str, int] = {}
        self._ports: dict[str, tuple[Port, ...]] = {}
        self._before: dict[Series, Total] = {}
        self._read_at = 0.0
        self._waiting: deque[Samples] = deque(maxlen=MOST_WAITING)

    def sample(self) -> None:
        """Read everything once, and send what waits. What cannot be read now is left out."""
        if (found := self.read()) is not None:
            self._waiting.append(found)
        self.send()

    def send(self) -> None:
        """Send what waits, the oldest first, until the broker takes no more."""
        while self._waiting and self._outbox.samples(self._waiting[0]):
            self._waiting.popleft()

    def read(self) -> Samples | None:
        """What there is to say of this moment; None when there is nothing, as at the first look."""
        self._take_stock()
        at, now = time.time(), time.monotonic()
        try:
            counters, usage = self._pop.wiring.counters(), self._pop.runtime.usage()
        except NaasError as error:
            log.info("nothing is sampled now: %s", error)
            return None
        totals = dict(self._totals(counters, usage))
        grown = rates(self._before, totals, now - self._read_at)
        self._before, self._read_at = totals, now
        told = {instance: self._told(instance) for instance in self._ports}
        readings = _by_instance(grown, usage, told)
        return Samples(self._pop.slug, at, readings) if readings else None

    def _totals(self, counters: tuple[Counters, ...], usage: tuple[Usage, ...]) -> Iterator[tuple[Series, Total]]:
        ends = {found.port: found for found in counters}
        for ports in self._ports.values():
            for port in ports:
                if (found := ends.get(port.end)) is not None:
                    for name, field, factor in OF_WIRES:
                        total = Total(getattr(found, field) * factor, str(found.index))
                        yield (port.instance, name, port.label, ""), total
        for used in usage:
            yield (used.instance, "cpu", used.vnf, used.container), Total(used.cpu, used.container)

    def _take_stock(self) -> None:
        """Know the wires of what is in force."""
        generations = self._pop.store.generations()
        self._ports = {
            instance: self._ports[instance]
            if self._generations.get(instance) == generation
            else tuple(self._wires(instance))
            for instance, generation in generations.items()
        }
        self._generations = generations

    def _wires(self, instance: str) -> Iterator[Port]:
        row = self._pop.store.row(instance)
        try:
            desired = self._pop.kept(row, RECONCILE) if row else None
        except PermanentError:
            return  # the keeper parks it with the reason
        for wire in desired.wires if desired else ():
            first = desired is not None and wire.vnf == desired.vnfs[0].name
            label = wire.port if first else f"{wire.vnf}:{wire.port}"
            yield Port(instance, label, fabric_port(instance, wire.vnf, wire.port))


def _by_instance(
    grown: Mapping[Series, float], usage: tuple[Usage, ...], told: Mapping[str, Mapping[str, float]]
) -> tuple[tuple[str, tuple[Reading, ...]], ...]:
    """Readings of the instances that are in force, those of `told`; what containers of a VNF use is added up."""
    sums = {
        (instance, name, label): value
        for instance, values in told.items()
        for key, value in values.items()
        for name, _, label in (key.partition("/"),)
    }
    for (instance, name, label, _), value in grown.items():
        sums[instance, name, label] = sums.get((instance, name, label), 0.0) + value
    for used in usage:
        key = (used.instance, "memory", used.vnf)
        sums[key] = sums.get(key, 0.0) + used.memory
    found: dict[str, list[Reading]] = {}
    for (instance, name, label), value in sums.items():
        if instance in told:
            found.setdefault(instance, []).append(Reading(name, label, round(value, 4)))
    return tuple((instance, tuple(readings)) for instance, readings in found.items())
