"""What is configured reaches the PoP, whatever becomes of the messages on the way."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from kombu.simple import SimpleQueue

from naas.celery import app
from sbc import configuration, tables
from sbc.models import Route, SourceRule, TableLog, Tables, Trunk
from sbc.sections.routes import ROUTES
from sbc.sections.trunks import TRUNKS
from sbc.snapshot import snapshot
from services import orders
from services.entry import ItemRequest
from services.keys import core_identity
from services.lifecycle import ServiceState
from services.models import Pop, ServiceInstance
from tenants.actor import Actor
from tests.unit.conftest import found, fresh
from worker.broker import CORE_QUEUE, TABLES, pop_queue
from worker.report import Phase, TableChange, TablesAt
from worker.seal import Envelope, Identity, unseal

PBX: dict[str, Any] = {"name": "pbx", "side": "inside", "addresses": [{"host": "10.1.0.20"}]}
OUT: dict[str, Any] = {"name": "out", "targets": [{"trunk": "pbx"}]}

Content = dict[str, dict[str, str]]


def applied(content: Content, commands: Iterable[tuple[str, ...]]) -> Content:
    """What tables hold after these commands."""
    new = {key: dict(fields) for key, fields in content.items()}
    for verb, key, *arguments in commands:
        fields = new.setdefault(key, {})
        match verb:
            case "HSET":
                fields.update(zip(arguments[::2], arguments[1::2], strict=True))
            case "SADD":
                fields.update(dict.fromkeys(arguments, ""))
            case "HDEL" | "SREM":
                for field in arguments:
                    fields.pop(field, None)
    return {key: fields for key, fields in new.items() if fields}


class Site:
    """The PoP as the core sees it: it applies a change to its base revision only, and tells which one it has."""

    def __init__(self, pop: Pop) -> None:
        self.identity = Identity.generate("pop.fra1")
        Pop.objects.filter(pk=pop.pk).update(
            public_identity=self.identity.public().to_json(), last_seen_at=timezone.now()
        )
        self.revision, self.content, self.clock = 0, Content(), 1e9
        self.received: list[TableChange] = []

    def messages(self) -> list[TableChange]:
        """What has been sent since the last look."""
        return [
            TableChange.from_json(
                unseal(
                    Envelope.from_json(arguments[0]),
                    receiver=self.identity,
                    sender=core_identity().public(),
                    subject=TABLES,
                )
            )
            for task, arguments in drained(pop_queue("fra1"))
            if task == TABLES
        ]

    def apply(self, change: TableChange) -> TablesAt:
        self.received.append(change)
        if change.base is None:
            self.content = applied({}, change.commands)
            self.revision = change.revision
        elif change.base == self.revision:
            self.content = applied(self.content, change.commands)
            self.revision = change.revision
        return self.tell(change.instance)

    def tell(self, instance: str) -> TablesAt:
        self.clock += 1
        return TablesAt("fra1", instance, "sbc", self.revision, self.clock)


def drained(queue: str) -> list[tuple[str, list[Any]]]:
    """Task and arguments of every message in a queue."""
    taken: list[tuple[str, list[Any]]] = []
    with app.connection_for_read() as connection, SimpleQueue(connection, queue) as simple:
        while True:
            try:
                message = simple.get(block=False)
            except simple.Empty:
                return taken
            message.ack()
            taken.append((message.headers["task"], message.payload[0]))


@pytest.fixture
def site(pop: Pop, sbc: ServiceInstance) -> Site:
    drained(pop_queue("fra1"))
    drained(CORE_QUEUE)
    return Site(pop)


@pytest.fixture
def commit(django_capture_on_commit_callbacks: Any) -> Any:
    """Do what is done on commit, and what the core's worker is then asked for."""

    def commit(act: Any) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            result = act()
        for task, arguments in drained(CORE_QUEUE):
            if task == tables.DELIVER:
                tables.deliver(instance_id=arguments[0])
        return result

    return commit


@pytest.fixture
def add(actor: Actor, sbc: ServiceInstance, commit: Any) -> Any:
    def add(document: dict[str, Any]) -> Any:
        section: Any = ROUTES if "targets" in document else TRUNKS
        return commit(lambda: configuration.create(actor=actor, instance=sbc, section=section, document=document))

    return add


def settle(site: Site, commit: Any) -> None:
    """Exchange messages until nobody has anything to say."""
    for _ in range(20):
        sent = site.messages()
        if not sent:
            return
        for change in sent:
            report = site.apply(change)
            commit(lambda report=report: tables.take(report))
    raise AssertionError("they talk for ever")


def complete(site: Site, sbc: ServiceInstance) -> bool:
    state = Tables.unscoped.get(instance=sbc)
    return (state.wanted, applied({}, snapshot(fresh(sbc)))) == (site.revision, site.content)


def test_before_anything_is_configured_the_test_call_has_its_way(site: Site, sbc: ServiceInstance, commit: Any) -> None:
    commit(lambda: tables.take(site.tell(sbc.pk)))
    settle(site, commit)
    assert complete(site, sbc)
    assert sorted(site.content["sbc:trunks"]) == ["probe:caller", "probe:echo"]


def test_a_change_is_sent_at_once_as_the_difference(site: Site, sbc: ServiceInstance, add: Any, commit: Any) -> None:
    add(PBX)
    settle(site, commit)
    add(OUT)
    (change,) = site.messages()
    assert (change.base, change.revision, len(change.commands)) == (1, 2, 1)
    commit(lambda: tables.take(site.apply(change)))
    assert complete(site, sbc)
    assert not site.messages()


def test_a_lost_difference_is_sent_with_the_next(site: Site, sbc: ServiceInstance, add: Any, commit: Any) -> None:
    add(PBX)
    settle(site, commit)
    add(OUT)
    site.messages()
    add(OUT | {"name": "second"})
    settle(site, commit)
    assert complete(site, sbc)
    assert [change.base for change in site.received] == [None, 2, 1]


def test_a_lost_last_difference_is_found_by_the_sweep(site: Site, sbc: ServiceInstance, add: Any, commit: Any) -> None:
    add(PBX)
    settle(site, commit)
    add(OUT)
    site.messages()
    tables.sweep()
    assert not site.messages(), "it may still be on its way"
    tables.sweep(timezone.now() + tables.AGAIN)
    settle(site, commit)
    assert complete(site, sbc)


def test_whoever_lost_everything_is_sent_everything(site: Site, sbc: ServiceInstance, add: Any, commit: Any) -> None:
    add(PBX)
    add(OUT)
    settle(site, commit)
    site.revision, site.content = 0, {}
    commit(lambda: tables.take(site.tell(sbc.pk)))
    settle(site, commit)
    assert complete(site, sbc)
    assert site.received[-1].base is None


def test_whoever_is_ahead_of_a_restored_database_is_sent_everything(
    site: Site, sbc: ServiceInstance, add: Any, commit: Any
) -> None:
    add(PBX)
    settle(site, commit)
    site.revision, site.content = 900, {"sbc:trunks": {"stale": ""}}
    commit(lambda: tables.take(site.tell(sbc.pk)))
    settle(site, commit)
    assert complete(site, sbc)


def test_where_the_log_does_not_reach_back_everything_is_sent(
    site: Site, sbc: ServiceInstance, add: Any, commit: Any
) -> None:
    add(PBX)
    settle(site, commit)
    add(OUT)
    add(OUT | {"name": "second"})
    site.messages()
    TableLog.unscoped.filter(revision=2).delete()
    tables.sweep(timezone.now() + tables.AGAIN)
    (change,) = site.messages()
    assert (change.base, change.revision) == (None, 3)


def test_a_difference_of_too_many_commands_gives_way_to_everything(
    site: Site, sbc: ServiceInstance, add: Any, commit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(PBX)
    settle(site, commit)
    monkeypatch.setattr(tables, "MOST_COMMANDS", 1)
    add(OUT)
    (lost,) = site.messages()
    assert (lost.base, len(lost.commands)) == (1, 1)
    add(OUT | {"name": "second"})
    settle(site, commit)
    assert complete(site, sbc)
    assert site.received[-1].base is None, "two changes behind"
    add(PBX | {"name": "other", "sources": ["10.11.7.0/24"]})
    assert [change.base for change in site.messages()] == [None], "one change of several commands"


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_lost_late_or_doubled_the_tables_become_what_is_configured(
    site: Site, sbc: ServiceInstance, actor: Actor, add: Any, commit: Any, seed: int
) -> None:
    draw = random.Random(seed)
    add(PBX)
    waiting: list[TableChange] = []
    told: list[TablesAt] = []
    for number in range(12):
        name = f"r{draw.randrange(4)}"
        row = Route.unscoped.filter(instance=sbc, name=name).first()
        if row is None:
            add(OUT | {"name": name, "prefix": str(number % 3)})
        else:
            commit(lambda row=row: configuration.remove(actor=actor, row=row, section=ROUTES))
        waiting += site.messages()
        draw.shuffle(waiting)
        for change in [waiting.pop() for _ in range(draw.randrange(len(waiting) + 1))]:
            if draw.random() < 0.7:
                told.append(site.apply(change))
            if draw.random() < 0.3:
                waiting.append(change)
        draw.shuffle(told)
        for report in [told.pop() for _ in range(draw.randrange(len(told) + 1))]:
            commit(lambda report=report: tables.take(report))
    tables.sweep(timezone.now() + tables.AGAIN)
    settle(site, commit)
    tables.sweep(timezone.now() + 2 * tables.AGAIN)
    settle(site, commit)
    assert complete(site, sbc)


def test_an_old_report_does_not_undo_a_newer_one(site: Site, sbc: ServiceInstance, add: Any, commit: Any) -> None:
    add(PBX)
    old = site.tell(sbc.pk)
    settle(site, commit)
    commit(lambda: tables.take(old))
    assert Tables.unscoped.get(instance=sbc).found == 1
    assert not site.messages()


def test_what_was_refused_with_a_reason_is_sent_again_later(
    site: Site, sbc: ServiceInstance, add: Any, commit: Any
) -> None:
    add(PBX)
    settle(site, commit)
    add(OUT)
    site.messages()
    commit(lambda: tables.take(dataclasses.replace(site.tell(sbc.pk), reason="no such command")))
    assert Tables.unscoped.get(instance=sbc).reason == "no such command"
    tables.sweep(timezone.now() + tables.AGAIN_UNSEEN)
    assert not site.messages()
    tables.sweep(timezone.now() + tables.AGAIN_REFUSED)
    settle(site, commit)
    assert complete(site, sbc)
    assert not Tables.unscoped.get(instance=sbc).reason


def test_only_the_sbcs_own_pop_is_believed(site: Site, sbc: ServiceInstance, add: Any) -> None:
    add(PBX)
    tables.take(TablesAt("elsewhere", sbc.pk, "sbc", 77, 2e9))
    assert Tables.unscoped.get(instance=sbc).found is None


# --- a changed spec ---


def modified(actor: Actor, sbc: ServiceInstance, **spec: Any) -> None:
    document = fresh(sbc).spec | spec
    order = orders.place(actor=actor, items=[ItemRequest(action="modify", service=sbc.pk, spec=document)])
    orders.start(order_id=order.pk)
    found(sbc, Phase.CONVERGED)


def test_a_changed_spec_rewrites_the_tables_where_they_depend_on_it(
    site: Site, sbc: ServiceInstance, actor: Actor, add: Any, commit: Any
) -> None:
    add(PBX)
    settle(site, commit)
    modified(actor, sbc, ban={"seconds": 60})
    commit(tables.sweep)
    assert Tables.unscoped.get(instance=sbc).wanted == 1
    modified(actor, sbc, country="44")
    commit(tables.sweep)
    settle(site, commit)
    assert (site.revision, site.received[-1].base) == (2, None)
    assert '"country":"44"' in site.content["sbc:trunks"]["pbx"]
    assert complete(site, sbc)


def test_an_sbc_that_is_being_removed_is_sent_nothing_more(
    site: Site, sbc: ServiceInstance, actor: Actor, add: Any, commit: Any
) -> None:
    add(PBX)
    settle(site, commit)
    order = orders.place(actor=actor, items=[ItemRequest(action="delete", service=sbc.pk)])
    site.revision, site.content = 0, {}
    commit(lambda: tables.take(site.tell(sbc.pk)))
    later = timezone.now() + timedelta(hours=1)
    commit(lambda: tables.sweep(later))
    tables.deliver(instance_id=sbc.pk)
    assert not site.messages()
    orders.cancel(actor=actor, order=order)
    commit(lambda: tables.take(site.tell(sbc.pk)))
    settle(site, commit)
    assert complete(site, sbc), "what stays after all is served again"


# --- what is forgotten ---


def test_old_changes_are_forgotten(site: Site, add: Any, sbc: ServiceInstance) -> None:
    add(PBX)
    add(OUT)
    tables.prune()
    assert TableLog.unscoped.count() == 1
    tables.prune(timezone.now() + tables.KEPT_FOR + timedelta(seconds=1))
    assert not TableLog.unscoped.exists()


def test_what_was_configured_of_an_sbc_goes_with_it(site: Site, add: Any, sbc: ServiceInstance) -> None:
    add(PBX)
    add(OUT)
    ServiceInstance.unscoped.filter(pk=sbc.pk).update(state=ServiceState.TERMINATED)
    tables.sweep(timezone.now() + timedelta(hours=1))
    assert not site.messages()[2:]
    tables.prune()
    assert not any(model.unscoped.exists() for model in (Trunk, Route, SourceRule, Tables, TableLog))
