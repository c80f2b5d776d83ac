"""A change of configuration: received by the PoP to converged, next to `frr-reload.py --reload` of the same change.

The product's clock runs from the moment the core noted before it sealed and sent the
message until the moment the PoP wrote into its report that it had converged.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import datetime

import docker

from bench.floor import Floor, Template
from bench.measure import Comparison, compare
from bench.orders import NOTICE, containers, remove
from tests.platform import Json, Platform
from tests.routers import lone_router

RELOAD = ("/usr/lib/frr/frr-reload.py", "--reload", "/etc/naas/frr.conf")
ROUTES = 20


def measure(platform: Platform, *, rounds: int) -> list[Comparison]:
    specs = tuple(lone_router(routes=_routes(third)) for third in (1, 2))
    ordered = platform.done(platform.add("changing", specs[0]))
    instance = ordered["items"][0]["service"]["id"]
    configurations = tuple(_configure(platform, instance, spec) for spec in specs)
    client = docker.APIClient()
    directory = platform.place.var / "reload"
    template = Template.of(client, containers(platform, instance), NOTICE, directory / "pattern")
    with Floor(client, template, f"{platform.pop}-reload", directory) as floor:
        floor.make(0)
        comparison = compare(
            f"change of {ROUTES} routes",
            yardstick=_by_hand(floor, configurations),
            product=_by_order(platform, instance, specs),
            rounds=rounds,
            target=1.3,
        )
        floor.remove(0)
    client.close()
    remove(platform, ordered)
    return [comparison]


def _routes(third: int) -> list[str]:
    return [f"172.20.{third}.{number * 8}/29" for number in range(ROUTES)]


def _configure(platform: Platform, instance: str, spec: Json) -> str:
    """The text of frr.conf that the platform makes of `spec`."""
    platform.done({"action": "modify", "service": instance, "spec": spec})
    (file,) = platform.state_dir.glob(f"vnfs/{instance}/*/*/files/frr.conf")
    return file.read_text()


def _by_hand(floor: Floor, configurations: tuple[str, ...]) -> Callable[[], float]:
    turns = itertools.cycle(configurations)
    file = floor.files(0) / "frr.conf"

    def change() -> float:
        file.write_text(next(turns))
        started = time.perf_counter()
        status, output = floor.run(floor.container(0), *RELOAD)
        taken = time.perf_counter() - started
        if status != 0:
            raise RuntimeError(f"frr-reload.py failed: {output}")
        return taken

    return change


def _by_order(platform: Platform, instance: str, specs: tuple[Json, ...]) -> Callable[[], float]:
    turns = itertools.cycle(specs)
    query = "SELECT sent_at, reported_at FROM services_deployment WHERE instance_id = ? AND phase = 'converged'"

    def change() -> float:
        platform.done({"action": "modify", "service": instance, "spec": next(turns)})
        ((sent, reported),) = platform.rows(query, instance)
        return (datetime.fromisoformat(reported) - datetime.fromisoformat(sent)).total_seconds()

    return change
