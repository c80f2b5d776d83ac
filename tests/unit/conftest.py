"""A provider with one PoP and a tenant with two UNIs, for tests of what is ordered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.db import transaction
from django.db.models import Model
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from naas.celery import app
from services import orders, reports, segments
from services.catalogue import publish
from services.entry import ItemRequest
from services.keys import core_identity
from services.models import Deployment, Offering, Pop, PopStatus, Segment, ServiceInstance, Uni
from services.registry import kinds
from services.segments import SegmentRequest
from tenants.actor import Actor
from tenants.models import Tenant
from worker.report import Condition, Phase, Report
from worker.seal import Identity


@pytest.fixture(autouse=True)
def _own_keys_and_broker(tmp_path: Path) -> Iterator[None]:
    """Keys of this test alone, and kombu's broker in memory."""
    with own_keys_and_broker(tmp_path):
        yield


@contextmanager
def own_keys_and_broker(folder: Path) -> Iterator[None]:
    app.conf.broker_url = "memory://"
    core_identity.cache_clear()
    with override_settings(NAAS_CORE_IDENTITY_FILE=folder / "core.json"):
        yield
    core_identity.cache_clear()


#: Runs what makes rows, and returns what it returned.
Share = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def share(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Share]:
    """For rows that all tests of a module find, and of which each takes back its own changes alone.

    For a module with many tests of one world: rows are dear, and a savepoint is cheap.
    """
    around = transaction.atomic()

    def share(make: Callable[[], Any]) -> Any:
        with django_db_blocker.unblock(), own_keys_and_broker(tmp_path_factory.mktemp("keys")):
            return make()

    with django_db_blocker.unblock():
        around.__enter__()
    yield share
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """What is on sale is the same for all tests, and takes a while to describe."""
    with django_db_blocker.unblock():
        _publish()


def _publish() -> None:
    for kind in kinds().values():
        publish(kind)


@pytest.fixture
def pop(db: None) -> Pop:
    return open_pop()


def open_pop() -> Pop:
    if not Offering.objects.exists():  # a test with real transactions emptied the tables
        _publish()
    return Pop.objects.create(
        slug="fra1",
        name="Frankfurt",
        status=PopStatus.OPEN,
        vcpu_capacity=Decimal(100),
        memory_capacity_mb=100_000,
        public_identity=Identity.generate("pop.fra1").public().to_json(),
    )


@pytest.fixture
def tenant(db: None) -> Tenant:
    return open_tenant()


def open_tenant() -> Tenant:
    return Tenant.objects.create(name="Acme", slug="acme")


@pytest.fixture
def actor(tenant: Tenant) -> Actor:
    return Actor.system(tenant, "a test")


@pytest.fixture
def uni(tenant: Tenant, pop: Pop) -> Uni:
    return make_uni(tenant, pop)


def make_uni(tenant: Tenant, pop: Pop) -> Uni:
    uni: Uni = Uni.unscoped.create(tenant=tenant, pop=pop, name="site-a", interface="uni-site-a")
    return uni


@pytest.fixture
def lan(actor: Actor, uni: Uni) -> Segment:
    return make_lan(actor, uni)


def make_lan(actor: Actor, uni: Uni) -> Segment:
    return segments.create(
        actor=actor, request=SegmentRequest(name="lan", kind="access", uni=uni.pk, prefixes=("10.1.0.0/24",))
    )


@pytest.fixture
def core(actor: Actor, pop: Pop) -> Segment:
    return make_core(actor, pop)


def make_core(actor: Actor, pop: Pop) -> Segment:
    return segments.create(
        actor=actor,
        request=SegmentRequest(name="core", kind="transport", pop=pop.slug, prefixes=("10.255.0.0/29",)),
    )


def router(name: str = "edge", **spec: Any) -> ItemRequest:
    """An add of a router with one port on each of the fixtures' segments."""
    ports = [{"name": "lan", "segment": "lan", "addresses": ["10.1.0.1/24"]}, {"name": "wan", "segment": "core"}]
    return ItemRequest(action="add", kind="router", pop="fra1", name=name, size="S", spec={"ports": ports, **spec})


def found(instance: ServiceInstance, phase: Phase, reason: str = "", *conditions: Condition) -> None:
    """What the PoP would report of the generation that is wanted now."""
    deployment = Deployment.unscoped.get(instance=instance)
    report = Report(
        pop=deployment.pop_id,
        instance=instance.pk,
        generation=deployment.generation,
        phase=phase,
        reason=reason,
        conditions=conditions,
        at=2_000_000_000.0 + deployment.generation,
    )
    reports.take(report)


@pytest.fixture
def standing(actor: Actor, lan: Segment, core: Segment) -> ServiceInstance:
    """A router that was ordered and found active."""
    return ordered(actor, router())


def ordered(actor: Actor, item: ItemRequest) -> ServiceInstance:
    """The service of this item, ordered and found active."""
    order = orders.place(actor=actor, items=[item])
    orders.start(order_id=order.pk)
    instance: ServiceInstance = order.items.get().instance
    found(instance, Phase.CONVERGED)
    return fresh(instance)


M = TypeVar("M", bound=Model)


def fresh(row: M) -> M:
    """The row as it is in the database now."""
    return type(row)._base_manager.get(pk=row.pk)


def session_border_controller(name: str = "sbc", **spec: Any) -> ItemRequest:
    """An add of an SBC with a side on each of the fixtures' segments."""
    ports = [{"name": "inside", "segment": "lan"}, {"name": "outside", "segment": "core"}]
    document = {"ports": ports, "country": "49", **spec}
    return ItemRequest(action="add", kind="sbc", pop="fra1", name=name, size="S", spec=document)


@pytest.fixture
def sbc(actor: Actor, lan: Segment, core: Segment) -> ServiceInstance:
    """An SBC that was ordered and found active."""
    return ordered(actor, session_border_controller())
