"""From an order to an active router: one, and twenty at once, next to the floor and to one bare `docker run`.

The clock runs from before the POST until the moment the core wrote down as the order's end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath

import docker

from bench.floor import Floor, Template, time_docker_run
from bench.measure import Comparison, compare
from tests.platform import Json, Platform
from tests.routers import lone_router

MANY = 20
#: What a router writes when it has read its configuration (decision 61).
NOTICE = PurePosixPath("/run/notices/ready.frr")
IMAGE = "naas/router:1"


def measure(platform: Platform, *, rounds: int) -> list[Comparison]:
    with floor(platform) as yardstick:
        one = partial(time_orders, platform, 1)
        return [
            compare("order, 1 router", yardstick=yardstick.time_one, product=one, rounds=rounds, target=1.5),
            compare(
                f"order, {MANY} routers at once",
                yardstick=partial(yardstick.time_many, MANY),
                product=partial(time_orders, platform, MANY),
                rounds=max(1, rounds // 3),
                target=1.25,
                warm_up=False,
            ),
            compare(
                "order, 1 router, to docker run",
                yardstick=partial(time_docker_run, IMAGE, f"{platform.pop}-bare"),
                product=one,
                rounds=rounds,
            ),
        ]


@contextmanager
def floor(platform: Platform) -> Iterator[Floor]:
    """A floor that copies a router which the platform made for the purpose."""
    client = docker.APIClient()
    directory = platform.place.var / "floor"
    ordered = platform.done(platform.add("pattern", lone_router()))
    names = containers(platform, ordered["items"][0]["service"]["id"])
    template = Template.of(client, names, NOTICE, directory / "pattern")
    remove(platform, ordered)
    with Floor(client, template, f"{platform.pop}-floor", directory) as made:
        yield made
    client.close()


def containers(platform: Platform, instance: str) -> tuple[str, ...]:
    """Names of the instance's containers, the holder first: its name is the start of the others'."""
    return tuple(sorted(platform.containers(instance=instance), key=len))


def time_orders(platform: Platform, count: int) -> float:
    """Seconds until `count` routers of one order are active. They are deleted afterwards, which is not counted."""
    items = [platform.add(f"r{number}", lone_router()) for number in range(count)]
    started = time.time()
    order = platform.order(*items)
    # Seldom, because asking takes the processor from what is asked about; the end's time is in the answer.
    ended = platform.ended(order, 120, every=0.2 if count == 1 else 1.0)
    if ended["state"] != "completed":
        raise RuntimeError(f"order {order['id']} ended as {ended['state']}: {ended['reason']}")
    taken = datetime.fromisoformat(ended["completed_at"]).timestamp() - started
    remove(platform, ended)
    return taken


def remove(platform: Platform, order: Json) -> None:
    services = [item["service"]["id"] for item in order["items"]]
    platform.done(*({"action": "delete", "service": service} for service in services), seconds=120)
