"""Brings what is configured of an SBC to its PoP: counts revisions, keeps what led to each, and sends it.

Level-triggered: a change is sent as soon as it is committed, straight from where it was made; the PoP tells which
revision it has (`take`), and whoever is behind is sent what is missing, or everything (`sweep`). A lost, late or
doubled message does no harm, because a difference applies to its base revision only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from sbc.kind import KIND
from sbc.kind.assemble import VNF
from sbc.kind.compile import Command, World
from sbc.models import Emergency, Route, SourceRule, TableLog, Tables, Trunk
from sbc.snapshot import snapshot
from sbc.world import mark, world_of
from services import dispatch
from services.lifecycle import ServiceState
from services.models import Revision, ServiceInstance
from services.sweep import UNSEEN
from tenants import changes
from tenants.keys import vault
from tenants.models import TenantOwned
from worker.errors import PermanentError
from worker.report import TableChange, TablesAt

log = logging.getLogger(__name__)

#: Name of the core's task that sends an SBC what it has not.
DELIVER = "sbc.deliver"
#: Tables that were sent this long ago and are not there are sent again.
AGAIN = timedelta(seconds=10)
#: The same for a PoP that has not been seen for a minute.
AGAIN_UNSEEN = timedelta(seconds=120)
#: The same for one that refused what it was sent: somebody may have mended what is wrong there.
AGAIN_REFUSED = timedelta(seconds=300)
#: Revisions back to which a difference can be sent.
KEPT_REVISIONS = 500
KEPT_FOR = timedelta(days=1)
#: Commands of a difference. A VNF carries it out at once and answers nobody meanwhile, while everything anew is built
#: beside what is in force, and then takes its place.
MOST_COMMANDS = 5_000
FORGOTTEN_AT_ONCE = 500


# --- a change ---------------------------------------------------------------------------


def locked(instance: ServiceInstance) -> Tables:
    """The tables of an SBC, to the end of the transaction changed by nobody else."""
    Tables.unscoped.get_or_create(instance=instance, defaults={"tenant_id": instance.tenant_id})
    row: Tables = Tables.unscoped.select_for_update().get(instance=instance)
    return row


def advance(tables: Tables, here: World, commands: Iterable[Command]) -> None:
    """Make the next revision the one wanted: these commands lead to it, or all tables when the world has changed or
    the commands are too many.

    Nothing is done where there is nothing to change. Sent on commit.
    """
    changed, seen = tuple(commands), mark(here)
    if not changed and tables.world == seen:
        return
    whole = tables.world != seen or len(changed) > MOST_COMMANDS
    tables.wanted, tables.world, tables.changed_at = tables.wanted + 1, seen, timezone.now()
    tables.save(update_fields=["wanted", "world", "changed_at"])
    if whole:
        transaction.on_commit(partial(dispatch.wake, DELIVER, tables.instance_id))
        return
    TableLog.unscoped.create(
        tenant_id=tables.tenant_id, tables=tables, revision=tables.wanted, commands=vault().encrypt(json.dumps(changed))
    )
    transaction.on_commit(partial(_send, tables, tables.wanted - 1, tables.wanted, changed))


@transaction.atomic
def follow(*, instance: ServiceInstance) -> None:
    """Write the tables anew where the spec has changed what they are written with. Doing it twice does no harm."""
    tables = locked(instance)
    if tables.generation < instance.generation:
        advance(tables, world_of(instance), ())
        tables.generation = instance.generation
        tables.save(update_fields=["generation"])


# --- on its way ---------------------------------------------------------------------------


def deliver(*, instance_id: str) -> None:
    """Send an SBC what leads from the revision it has to the wanted one; everything where that is not known."""
    tables = Tables.unscoped.select_related("instance__pop").filter(pk=instance_id, instance__in=_wanted()).first()
    if tables is None:
        return
    wanted = tables.wanted
    commands = _logged(tables, wanted)
    if commands is not None:
        _send(tables, tables.found, wanted, commands)
    else:
        # What is changed meanwhile may be in it already. It says so again when it follows, and the same.
        _send(tables, None, wanted, snapshot(tables.instance))


def _logged(tables: Tables, wanted: int) -> tuple[Command, ...] | None:
    """The commands from the revision found to the one wanted; None where the log does not reach back, or too many."""
    if not tables.found or tables.found >= wanted:
        return None
    rows = TableLog.unscoped.filter(tables=tables, revision__gt=tables.found, revision__lte=wanted)
    logged = list(rows.order_by("revision").values_list("commands", flat=True))
    if len(logged) < wanted - tables.found:
        return None
    commands = tuple(tuple(command) for text in logged for command in json.loads(vault().decrypt(text)))
    return commands if len(commands) <= MOST_COMMANDS else None


def _send(tables: Tables, base: int | None, revision: int, commands: tuple[Command, ...]) -> None:
    change = TableChange(tables.instance_id, VNF, base, revision, commands)
    Tables.unscoped.filter(pk=tables.pk).update(sent_at=timezone.now())
    try:
        dispatch.send_tables(tables.instance.pop, change)
    except PermanentError as error:
        log.warning("the tables of %s are not sent: %s", tables.instance_id, error)


# --- what the PoP found -------------------------------------------------------------------


@transaction.atomic
def take(report: TablesAt) -> None:
    """Take down the revision that an SBC has, and send what is missing unless it is on its way already."""
    instance = _wanted().filter(pk=report.instance, pop=report.pop).first()
    if instance is None:
        return
    follow(instance=instance)
    tables = locked(instance)
    at = datetime.fromtimestamp(report.at, tz=timezone.get_default_timezone())
    if tables.found_at is not None and tables.found_at > at:
        return
    on_its_way = tables.found is not None and tables.found < report.revision < tables.wanted
    tables.found, tables.found_at, tables.reason = report.revision, at, report.reason
    tables.save(update_fields=["found", "found_at", "reason"])
    changes.note(tables)
    if report.reason:
        log.error("the tables of %s stay at %d: %s", instance.pk, report.revision, report.reason)
    elif tables.found != tables.wanted and not on_its_way:
        transaction.on_commit(partial(dispatch.wake, DELIVER, instance.pk))


# --- what nobody else sees ------------------------------------------------------------------


def sweep(now: datetime | None = None) -> None:
    """Look once at every SBC whose tables are behind. Doing it twice does no harm."""
    now = now or timezone.now()
    for instance in _changed():
        follow(instance=instance)
    for instance_id in behind(now).values_list("pk", flat=True):
        deliver(instance_id=instance_id)


def _wanted() -> QuerySet[ServiceInstance]:
    """The SBCs that are to have tables. One that is being removed is sent none: large ones would keep it, and the core,
    waiting for minutes."""
    removal = Revision.unscoped.filter(instance=OuterRef("pk"), generation=OuterRef("generation"), spec__isnull=True)
    living = ServiceInstance.unscoped.filter(kind=KIND.name).exclude(state=ServiceState.TERMINATED)
    return living.exclude(Exists(removal))


def _changed() -> QuerySet[ServiceInstance]:
    """The SBCs whose spec has changed since their tables were looked at."""
    return _wanted().filter(Q(tables__isnull=True) | Q(tables__generation__lt=F("generation")))


def behind(now: datetime) -> QuerySet[Tables]:
    """The tables that are not at their PoP as wanted and were not sent lately."""
    unseen = Q(instance__pop__last_seen_at__isnull=True) | Q(instance__pop__last_seen_at__lt=now - UNSEEN)
    refused = ~Q(reason="")
    due = (
        Q(sent_at__isnull=True)
        | Q(~refused & ~unseen, sent_at__lte=now - AGAIN)
        | Q(~refused & unseen, sent_at__lte=now - AGAIN_UNSEEN)
        | Q(refused, sent_at__lte=now - AGAIN_REFUSED)
    )
    there = Q(found__isnull=False, found=F("wanted"))
    return Tables.unscoped.filter(due, instance__in=_wanted()).exclude(there)


def prune(now: datetime | None = None) -> None:
    """Forget changes from which no difference is sent any more, and what was configured of SBCs that have gone."""
    now = now or timezone.now()
    old = Q(at__lt=now - KEPT_FOR) | Q(revision__lte=F("tables__wanted") - KEPT_REVISIONS)
    TableLog.unscoped.filter(old).delete()
    gone = ServiceInstance.unscoped.filter(kind=KIND.name, state=ServiceState.TERMINATED, tables__isnull=False)
    for instance in gone:
        # The tables last: by them an SBC is found again whose forgetting was broken off.
        for model in (Route, Trunk, SourceRule, Emergency, Tables):
            _forget(model, instance)


def _forget(model: type[TenantOwned], instance: ServiceInstance) -> None:
    """Delete an SBC's rows so many at a time: other writers wait for no longer than that."""
    rows = model.unscoped.filter(instance=instance)
    while page := list(rows.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        rows.filter(pk__in=page).delete()
