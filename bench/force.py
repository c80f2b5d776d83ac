"""How soon a change is in force: from the API's answer until the SBC's engine would decide by it.

The engine reads its tables anew for each call, so a change is in force when its revision is in the VNF's store. That is
asked there, directly and without a pause.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import django
import redis

from bench.measure import Figure
from tests.platform import Json, Platform, wait_for
from tests.routers import A, B, make_hosts

#: Routes, and trunks, that are there when changes are made.
SIZES = ((1_000, 100), (100_000, 10_000))
#: Changes in a round.
CHANGES = 20
#: Milliseconds that 95 of 100 changes take at most.
MOST = 100.0
#: Seconds within which everything is there that was written at once.
FILLED_WITHIN = 300
BATCH = 2_000
SPEC: Json = {
    "ports": [
        {"name": "inside", "segment": "lan-a", "addresses": [f"{A.address(4, 1)}/24"]},
        {"name": "outside", "segment": "lan-b", "addresses": [f"{B.address(4, 1)}/24"]},
    ],
    "country": "49",
}


def measure(platform: Platform, *, rounds: int) -> Iterator[Figure]:
    make_hosts(platform)
    ordered = platform.done(platform.add("border", SPEC, kind="sbc"), seconds=120)
    service = ordered["items"][0]["service"]["id"]
    try:
        platform.post(f"sbc/{service}/trunks", trunk(0))
        for size in SIZES:
            yield from _figures(platform, service, size, rounds * CHANGES)
    finally:
        platform.done({"action": "delete", "service": service}, seconds=120)


def _figures(platform: Platform, service: str, size: tuple[int, int], changes: int) -> Iterator[Figure]:
    routes, trunks = size
    platform.run_inside("bench.force", service, str(routes), str(trunks))
    wait_for(lambda: platform.get(f"sbc/{service}/tables")["in_force"], "all of it in force", FILLED_WITHIN, 0.5)
    bench = _Bench(platform, service)
    found = [bench.change() for _ in range(changes)]
    answers, delays = ([pair[place] * 1000 for pair in found] for place in (0, 1))
    with_these = f"with {routes:,} routes and {trunks:,} trunks"
    yield Figure(f"a change in force after the answer, p95, {with_these}", _p95(delays), "ms", MOST)
    yield Figure(f"a change in force after the answer, median, {with_these}", statistics.median(delays), "ms")
    yield Figure(f"the answer to a change, median, {with_these}", statistics.median(answers), "ms")


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


class _Bench:
    """Changes of one SBC's routes, and its store."""

    def __init__(self, platform: Platform, service: str) -> None:
        self._platform, self._service = platform, service
        (file,) = platform.state_dir.glob(f"vnfs/{service}/**/redis.conf")
        (password,) = re.findall(r"(?m)^requirepass (\S+)", file.read_text())
        (socket,) = platform.state_dir.glob(f"vnfs/{service}/**/redis.sock")
        self._store: Any = redis.Redis(unix_socket_path=str(socket), password=password)
        self._first, self._numbers = self._revision(), count()

    def change(self) -> tuple[float, float]:
        """Seconds until a change is answered, and from then until it is in force."""
        before = self._revision()
        body = route(f"changed-{self._first}-{next(self._numbers)}", f"+999{time.time_ns()}")
        began = time.perf_counter()
        self._platform.post(f"sbc/{self._service}/routes", body)
        answered = time.perf_counter()
        while self._revision() == before:
            if time.perf_counter() > answered + 30:
                raise RuntimeError("a change did not come into force within 30 s")
            time.sleep(0.0005)
        return answered - began, time.perf_counter() - answered

    def _revision(self) -> int:
        return int(self._store.get("revision") or 0)


def trunk(number: int) -> Json:
    """On the outside, where no other trunk is."""
    host = f"203.{number // 2500}.{number // 250 % 10}.{number % 250 + 1}"
    return {"name": f"t{number}", "side": "outside", "addresses": [{"host": host}]}


def route(name: str, prefix: str) -> Json:
    return {"name": name, "prefix": prefix, "targets": [{"trunk": "t0"}]}


# --- in the core ---


def fill(service: str, routes: int, trunks: int) -> None:
    """Have so many trunks and routes, written at once, and their tables sent whole."""
    from django.db import transaction

    from sbc import tables
    from sbc.world import world_of
    from services.models import ServiceInstance

    instance = ServiceInstance.unscoped.get(pk=service)
    with transaction.atomic():
        _fill_trunks(instance, trunks)
        _fill_routes(instance, routes)
        state = tables.locked(instance)
        state.world = ""  # as if what they are written with had changed
        tables.advance(state, world_of(instance), ())


def _fill_trunks(instance: Any, wanted: int) -> None:
    from sbc.documents import parse
    from sbc.kind.trunk import TrunkSpec
    from sbc.models import Trunk, TrunkSource
    from sbc.sections.trunks import TRUNKS
    from services.secrets import protect

    known = Trunk.unscoped.filter(instance=instance).count()
    of_it = {"tenant": instance.tenant, "instance": instance}
    specs = [parse(TrunkSpec, trunk(number)) for number in range(known, wanted)]
    rows = Trunk.unscoped.bulk_create(
        (Trunk(**of_it, name=spec.name, document=protect(spec), **TRUNKS.columns(instance, spec)) for spec in specs),
        BATCH,
    )
    cidrs = [f"{spec.addresses[0].host}/32" for spec in specs]
    TrunkSource.unscoped.bulk_create(
        (TrunkSource(**of_it, trunk=row, cidr=cidr) for row, cidr in zip(rows, cidrs, strict=True)), BATCH
    )


def _fill_routes(instance: Any, wanted: int) -> None:
    from sbc.documents import parse
    from sbc.kind.route import RouteSpec
    from sbc.models import Route, RouteTarget, Trunk
    from services.secrets import protect

    known = Route.unscoped.filter(instance=instance).count()
    of_it = {"tenant": instance.tenant, "instance": instance}
    target = Trunk.unscoped.get(instance=instance, name="t0")
    specs = [parse(RouteSpec, route(f"r{number}", f"+{10_000_000 + number}")) for number in range(known, wanted)]
    rows = Route.unscoped.bulk_create(
        (
            Route(**of_it, name=spec.name, document=protect(spec), prefix=spec.prefix, order=spec.order, enabled=True)
            for spec in specs
        ),
        BATCH,
    )
    RouteTarget.unscoped.bulk_create(
        (RouteTarget(tenant=instance.tenant, route=row, trunk=target) for row in rows), BATCH
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    import naas.celery  # noqa: F401 - makes the core's app the one that wakes

    fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
