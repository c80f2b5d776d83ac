"""Everything that is configured of an SBC as commands, for an SBC that has none of it."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone

from sbc.documents import read
from sbc.kind import compile, security
from sbc.kind.compile import Command
from sbc.kind.entries import Entry
from sbc.kind.route import RouteSpec
from sbc.kind.security import EmergencySpec
from sbc.kind.trunk import TrunkSpec
from sbc.models import Emergency, Route, SourceRule, Trunk
from sbc.world import world_of
from services.models import ServiceInstance

#: Rows that are held in memory at once.
ROWS = 2000


def snapshot(instance: ServiceInstance) -> tuple[Command, ...]:
    """The commands that fill empty tables."""
    return compile.commands((), _entries(instance))


def _entries(instance: ServiceInstance) -> Iterator[Entry]:
    here = world_of(instance)
    yield from here.fixed
    trunks = Trunk.unscoped.filter(instance=instance).order_by("pk").values_list("document", flat=True)
    for document in trunks.iterator(ROWS):
        yield from compile.of_trunk(read(TrunkSpec, document), here)
    for emergency in Emergency.unscoped.filter(instance=instance):
        yield from compile.of_emergency(read(EmergencySpec, emergency.document))
    for rule in SourceRule.unscoped.filter(instance=instance):
        yield from compile.of_source(read(security.SourceRule, rule.document))
    routes = Route.unscoped.filter(instance=instance, enabled=True).order_by("pk").values_list("document", flat=True)
    yield from compile.of_routes((read(RouteSpec, document) for document in routes.iterator(ROWS)), timezone.now())
