"""Whether a new spec of an SBC leaves its trunks and source rules a place (`settings.NAAS_SPEC_CHECKS`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from naas.core.errors import Invalid, Problem
from sbc.kind.spec import SbcSpec
from sbc.models import SourceRule, Trunk
from services.kind import Spec
from services.models import ServiceInstance

#: Names that a refusal lists.
NAMED = 5


def check(instance: ServiceInstance, spec: Spec) -> None:
    """Called with the spec that an order wants, in its transaction. Raises `Invalid` with paths in the spec."""
    assert isinstance(spec, SbcSpec)
    if problems := tuple(_problems(instance, spec)):
        raise Invalid(problems)


def _problems(instance: ServiceInstance, spec: SbcSpec) -> Iterator[Problem]:
    sides = [port.name for port in spec.ports]
    trunks = Trunk.unscoped.filter(instance=instance).order_by("name")
    if lost := _named(trunks.exclude(side__in=sides)):
        yield Problem("ports", f"trunks stand on a side that is missing here: {lost}; move or remove them first")
    if lost := _named(SourceRule.unscoped.filter(instance=instance).exclude(side__in=[*sides, ""]).order_by("name")):
        yield Problem("ports", f"source rules are about a side that is missing here: {lost}; remove them first")
    if not spec.resolvers and (lost := _named(trunks.filter(named=True))):
        yield Problem("resolvers", f"trunks are reached by names: {lost}; change them first")
    if spec.tls is None and (lost := _named(trunks.filter(transport="tls"))):
        yield Problem("tls", f"trunks are spoken to over TLS: {lost}; change them first")


def _named(rows: QuerySet[Any]) -> str:
    names = list(rows.values_list("name", flat=True)[: NAMED + 1])
    return ", ".join(names[:NAMED]) + (" and more" if len(names) > NAMED else "")
