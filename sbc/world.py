"""What of an SBC's spec its tables are written with, from rows."""

from __future__ import annotations

from dataclasses import asdict

from sbc.kind import compile, probe
from sbc.kind.compile import World
from sbc.kind.spec import SbcSpec
from services.design import wanted
from services.models import ServiceInstance
from worker.topology import digest


def world_of(instance: ServiceInstance) -> World:
    """The world of the spec that is wanted of the instance now."""
    spec, context = wanted(instance)
    assert isinstance(spec, SbcSpec)
    return compile.world(spec, context, probe.entries(spec, context))


def mark(world: World) -> str:
    """What changes when the world does."""
    return digest(asdict(world))
