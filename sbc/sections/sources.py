"""Source rules: one for each prefix and side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from naas.core.errors import Problem
from sbc.documents import read
from sbc.kind import compile, security
from sbc.kind.compile import World
from sbc.kind.entries import Entry
from sbc.models import SourceRule
from sbc.sections.base import Place, Section
from services.models import ServiceInstance


class Sources(Section[security.SourceRule, SourceRule]):
    noun = "source rule"
    verb = "source"
    most = 10_000
    spec = security.SourceRule
    model = SourceRule

    def name(self, spec: security.SourceRule) -> str:
        return spec.name

    def problems(
        self, instance: ServiceInstance, spec: security.SourceRule, here: World, row: SourceRule | None
    ) -> Iterator[Problem]:
        if spec.side and spec.side not in here.sides:
            yield Problem("side", f"the SBC has no side {spec.side}; there are: {', '.join(here.sides)}")
        others = SourceRule.unscoped.filter(instance=instance).exclude(pk=row.pk if row else None)
        same = others.filter(cidr=spec.cidr, side=spec.side or "").first()
        if same is not None:
            yield Problem("cidr", f"rule {same.name} is about the same sources")

    def columns(self, instance: ServiceInstance, spec: security.SourceRule) -> dict[str, Any]:
        return {"cidr": spec.cidr, "side": spec.side or ""}

    def place(self, row: SourceRule) -> Place:
        return (row.name,)

    def entries(self, instance: ServiceInstance, place: Place, here: World) -> tuple[Entry, ...]:
        row = SourceRule.unscoped.filter(instance=instance, name=place[0]).first()
        return compile.of_source(read(security.SourceRule, row.document)) if row else ()


SOURCES = Sources()
