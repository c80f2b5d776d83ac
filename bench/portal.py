"""How long the server takes for a page of the portal, when the provider is large and the tenant too.

On each database two programs (`python -m bench.portal fill`, then `ask REQUESTS`, in the environment of an installation
made for them) fill the tables, and ask for every page of the URL configuration again and again in their own process, as
one person's browser would, counting the queries. What an SBC is asked is not waited for: nobody would answer.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import django
from django.db import transaction
from django.db.models import Q

from bench.measure import Figure, Found
from scripts import commands, environment, frontend
from scripts.place import REPOSITORY, Place
from tests.servers import postgres_server, redis_server

TENANTS, SERVICES = 20, 500
RECORDS, LINES = 5_000, 5_000
#: Requests for each page and round; one more before them is not counted.
REQUESTS = 8
#: Milliseconds in which the server has to have 95 of 100 answers, and the most that a first visit may load, in kB.
PATIENCE_MS, LIGHT_KB = 100, 400
#: What is looked for, turned to and looked back at.
FURTHER = (
    ("service-metrics", "?range=24h"),
    ("service-metrics", "?range=7d"),
    ("service-metrics", "?range=13m"),
    ("services", "?q=edge-4&page=2"),
    ("orders", "?page=10"),
    ("audit", "?page=50"),
    ("sbc-records", "?page=50"),
    ("search", "?q=edge-4"),
)
#: What is no text of a page.
WORDS = re.compile(r"<(script|style|head).*?</\1>|<[^>]+>", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """One page: the most that 95 of 100 requests took and the middle one, in ms; the queries of one; its weight."""

    page: str
    p95: float
    median: float
    queries: int
    kilobytes: float


def measure(*, rounds: int) -> Iterator[Found]:
    with tempfile.TemporaryDirectory(prefix="naas-portal-") as made, ExitStack() as servers:
        folder = Path(made)
        # Its server gives up root, and has to get at its own folder below this one.
        folder.chmod(0o755)
        redis = servers.enter_context(redis_server(folder / "redis"))
        postgres = servers.enter_context(postgres_server(folder / "postgres"))
        for title, url in (("SQLite", ""), ("PostgreSQL", postgres.url)):
            yield from measure_on(title, url, redis.url, folder / title, REQUESTS * rounds)


def measure_on(title: str, database: str, redis: str, var: Path, requests: int) -> Iterator[Found]:
    place = Place(REPOSITORY, var)
    place.make()
    frontend.install(place)
    ports = environment.Ports(web=1, redis=1)
    known = {"REDIS_URL": redis} | ({"DATABASE_URL": database} if database else {})
    environment.write(place.env_file, environment.complete(known, var, ports) | {"REDIS_URL": redis})
    settings = {"NAAS_ENV_FILE": str(place.env_file), "NAAS_VAR": str(var), "PATH": os.environ["PATH"]}
    for command in (("migrate",), ("collectstatic", "--no-input")):
        commands.run(place.python, place.repo / "manage.py", *command, env=settings, cwd=place.repo)
    commands.run(place.python, "-m", "bench.portal", "fill", env=settings, cwd=place.repo)
    said = commands.run(place.python, "-m", "bench.portal", "ask", str(requests), env=settings, cwd=place.repo)
    answer = json.loads(said)
    pages = sorted((Asked(**page) for page in answer["pages"]), key=lambda asked: -asked.p95)
    show(title, pages)
    most = max(pages, key=lambda asked: asked.queries)
    yield Figure(f"{title}: slowest of {len(pages)} pages ({pages[0].page}), p95", pages[0].p95, "ms", PATIENCE_MS)
    yield Figure(f"{title}: a page, the median of their p95", statistics.median(page.p95 for page in pages), "ms")
    yield Figure(f"{title}: most queries of a page ({most.page})", most.queries, "queries")
    yield Figure(f"{title}: what a first visit loads, compressed", answer["first_visit"], "kB", LIGHT_KB)


def show(title: str, pages: list[Asked]) -> None:
    sys.stderr.write(f"\n{title:32} p95 ms  median  queries   kB\n")
    for page in pages:
        sys.stderr.write(f"{page.page:32} {page.p95:6.1f} {page.median:7.1f} {page.queries:8} {page.kilobytes:4.0f}\n")


# --- in the installation ----------------------------------------------------------------


def main(verb: str, requests: str = "") -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    if verb == "fill":
        fill()
        return
    import naas.wsgi  # noqa: F401 - what a web process loads, and as it does
    from sbc.portal import live

    live.AT_ONCE = live.PATIENCE = 0
    asked = [ask(name, send, int(requests)) for name, send in questions()]
    found = {"pages": [vars(page) for page in asked], "first_visit": first_visit()}
    sys.stdout.write(json.dumps(found))


def fill() -> None:
    """A provider with 20 tenants of 500 services each, at ten PoPs; one of them is looked at, and has all there is."""
    from services.catalogue import publish
    from services.lifecycle import OrderState
    from services.models import Pop, ServiceInstance
    from services.registry import kinds
    from services.tiers import TIERS
    from tenants.models import Tenant
    from tenants.verbs import quotas
    from tests import world
    from tests.browser.test_every_page import calls
    from tests.browser.test_metrics import fill as sample
    from tests.unit.test_portal import IDS

    for kind in kinds().values():
        publish(kind)
    pops = [world.pop(f"pop{number}") for number in range(10)]
    for number in range(TENANTS):
        tenant, segment = world.customer("acme" if number == 0 else f"tenant-{number}", pops[number % len(pops)])
        world.service(tenant, segment, "edge", OrderState.COMPLETED)
        if number == 0:
            calls(world.sbc(tenant, segment), RECORDS)
        many(tenant, segment)
        quotas.set_limits(staff=world.STAFF, tenant=tenant, limits=quotas.Amount(10**3, Decimal(10**3), 10**6))
    Pop.objects.update(vcpu_capacity=10**4, memory_capacity_mb=10**7)

    looked_at = IDS["service"](Tenant.objects.get(slug="acme"))["id"]
    for service in ServiceInstance.unscoped.filter(Q(pk=looked_at) | Q(tenant__slug="acme", kind="sbc")):
        for tier in TIERS:
            sample(service, tier, tier.kept // timedelta(seconds=tier.width))
    audit(Tenant.objects.get(slug="acme"))


def many(tenant: Any, segment: Any) -> None:
    """What an ordered router leaves in the tables, as often as there are services."""
    from django.utils import timezone

    from naas.core.ids import new_id
    from services import models
    from services.lifecycle import Health, OrderState, ServiceState
    from services.secrets import new_seed
    from tests import world
    from worker.report import Phase

    now = timezone.now()
    size = models.OfferingSize.objects.get(offering__kind="router", offering__version=1, size="S")
    spec = world.spec(segment)
    of_it = {"tenant": tenant}
    made = models.ServiceInstance.unscoped.bulk_create(
        models.ServiceInstance(
            **of_it, pop=segment.pop, kind="router", name=f"edge-{n:03}", size=size, spec=spec,
            seed=new_seed(), state=ServiceState.ACTIVE, activated_at=now,
            health=Health.DEGRADED if n % 25 == 0 else Health.HEALTHY,
        )
        for n in range(SERVICES - 1)
    )  # fmt: skip
    models.Revision.unscoped.bulk_create(
        models.Revision(**of_it, instance=one, generation=1, spec=spec, size=size, reason="ordered", worked_at=now)
        for one in made
    )
    models.Address.unscoped.bulk_create(
        models.Address(
            **of_it, segment=segment, value=f"10.1.{100 + n // 250}.{n % 250}", prefix_length=16, instance=one,
            port="lan", automatic=True,
        )
        for n, one in enumerate(made)
    )  # fmt: skip
    models.Deployment.unscoped.bulk_create(
        models.Deployment(
            **of_it, instance=one, pop=one.pop, generation=1, observed_generation=1, phase=Phase.CONVERGED,
            conditions=[{"type": "DaemonsAlive", "status": "true", "message": "", "readiness": True}],
            sent_at=now, reported_at=now,
        )
        for one in made
    )  # fmt: skip
    models.ServiceEvent.unscoped.bulk_create(
        models.ServiceEvent(**of_it, instance=one, type=kind, message="so it was")
        for one in made
        for kind in ("ordered", "activated", "health.healthy")
    )
    orders = models.ProductOrder.unscoped.bulk_create(
        models.ProductOrder(
            **of_it, state=OrderState.COMPLETED, placed_by="owner", deadline=now, completed_at=now - timedelta(hours=n)
        )
        for n in range(len(made))
    )
    models.OrderItem.unscoped.bulk_create(
        models.OrderItem(
            id=new_id("itm"), **of_it, order=order, position=0, action=models.Action.ADD, instance=one, size=size,
            spec=spec, generation=1, state=OrderState.COMPLETED, setup_price=10, monthly_price=29, hourly_price=0,
            currency="EUR",
        )
        for order, one in zip(orders, made, strict=True)
    )  # fmt: skip


def audit(tenant: Any) -> None:
    from tenants.verbs.audit import record
    from tests import world

    with transaction.atomic():
        for number in range(LINES):
            record(world.STAFF.inside(tenant), "order.place", tenant, number=number)


def questions() -> Iterator[tuple[str, Any]]:
    """Every page of the portal that is opened, and what a form asks while it is filled in."""
    from tenants.models import Tenant
    from tests.unit.test_portal import POSTED, pages
    from tests.unit.test_portal_ordering import TYPED

    client = browser()
    for name, address in pages(Tenant.objects.get(slug="acme")):
        if name not in POSTED:
            yield name, lambda address=address: client.get(address)
    for name, further in FURTHER:
        address = dict(pages(Tenant.objects.get(slug="acme")))[name] + further
        yield f"{name}{further}", lambda address=address: client.get(address)
    # The page of the cart that was asked for above has put one service there, which is looked at with what is typed.
    typed = TYPED | {"pop": "pop0", "name": "edge-new", "act": "check"}
    yield "order-add (check)", lambda: client.post("/t/acme/order/router/", typed)
    yield "cart (plan)", lambda: client.post("/t/acme/order/cart/", {"act": "plan"})


def browser() -> Any:
    from django.test import Client

    from tenants.models import User

    client = Client(headers={"host": "localhost"}, raise_request_exception=True)
    client.force_login(User.objects.get(email="owner@acme.example"))
    return client


def ask(name: str, send: Any, requests: int) -> Asked:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        answer = send()
    count = len(queries)
    if answer.status_code != 200:
        raise RuntimeError(f"{name} answers {answer.status_code}: {words_of(answer)}")
    if "(plan)" in name and "<title>The plan" not in answer.content.decode():
        raise RuntimeError(f"{name} is refused: {re.findall(r'class=.problem.[^>]*>([^<]+)', answer.content.decode())}")
    taken = sorted(time_of(send) for _ in range(requests))
    weight = len(answer.content) / 1000
    return Asked(name, taken[int(len(taken) * 0.95)], statistics.median(taken), count, weight)


def words_of(answer: Any) -> str:
    return " ".join(WORDS.sub(" ", answer.content.decode()).split())[-300:]


def time_of(send: Any) -> float:
    started = time.perf_counter()
    send()
    return (time.perf_counter() - started) * 1000


def first_visit() -> float:
    """The first page with all that it names, in kB as they are sent to a browser."""
    client, browsers = browser(), {"accept-encoding": "gzip, deflate, br"}
    sent = client.get("/t/acme/", headers=browsers).content
    page = gzip.decompress(sent).decode()
    files = sorted(set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page)))
    return (len(sent) + sum(len(b"".join(client.get(file, headers=browsers))) for file in files)) / 1000


if __name__ == "__main__":
    main(*sys.argv[1:])
