"""Routes: entries of one place hold all routes of a trunk (or any) with the same prefix, or with patterns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils import timezone

from naas.core.errors import Problem
from sbc.documents import read
from sbc.kind import compile
from sbc.kind.compile import World
from sbc.kind.entries import Entry
from sbc.kind.route import RouteSpec
from sbc.models import Route, RouteTarget, Trunk
from sbc.sections.base import Place, Section
from services.models import ServiceInstance


class Routes(Section[RouteSpec, Route]):
    noun = "route"
    verb = "route"
    most = 200_000
    spec = RouteSpec
    model = Route

    def name(self, spec: RouteSpec) -> str:
        return spec.name

    def problems(self, instance: ServiceInstance, spec: RouteSpec, here: World, row: Route | None) -> Iterator[Problem]:
        named = {spec.from_trunk or "", *(target.trunk for target in spec.targets)}
        known = set(Trunk.unscoped.filter(instance=instance, name__in=named).values_list("name", flat=True))
        if spec.from_trunk and spec.from_trunk not in known:
            yield Problem("from_trunk", f"there is no trunk {spec.from_trunk}")
        yield from missing_targets([target.trunk for target in spec.targets], known)

    def columns(self, instance: ServiceInstance, spec: RouteSpec) -> dict[str, Any]:
        source = Trunk.unscoped.get(instance=instance, name=spec.from_trunk) if spec.from_trunk else None
        prefix = None if spec.pattern is not None else spec.prefix or ""
        return {"from_trunk": source, "prefix": prefix, "order": spec.order, "enabled": spec.enabled}

    def relate(self, row: Route, spec: RouteSpec) -> None:
        names = [target.trunk for target in spec.targets]
        trunks = Trunk.unscoped.filter(instance=row.instance_id, name__in=names)
        RouteTarget.unscoped.filter(route=row).delete()
        RouteTarget.unscoped.bulk_create(
            RouteTarget(tenant_id=row.tenant_id, route=row, trunk=trunk) for trunk in trunks
        )

    def place(self, row: Route) -> Place:
        return (row.from_trunk_id, row.prefix)

    def entries(self, instance: ServiceInstance, place: Place, here: World) -> tuple[Entry, ...]:
        trunk, prefix = place
        rows = Route.unscoped.filter(instance=instance, from_trunk=trunk, prefix=prefix, enabled=True)
        documents = rows.values_list("document", flat=True)
        return compile.of_routes((read(RouteSpec, document) for document in documents), timezone.now())


def missing_targets(named: list[str], known: set[str]) -> Iterator[Problem]:
    """A problem for each target that is no trunk."""
    for position, name in enumerate(named):
        if name not in known:
            yield Problem(f"targets[{position}].trunk", f"there is no trunk {name}")


ROUTES = Routes()
