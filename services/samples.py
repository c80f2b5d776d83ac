"""Samples of services: taken down from PoPs, made coarser with age, forgotten, and given out as series.

All samples of one service and moment are one row: a day of them is thousands of rows and not a hundred thousand.
Each row is rolled up once its bucket is over, and once more when something late falls into it: what a bucket says is
always made of all the finer rows in it. Nothing here is worth waiting for: what is lost is a gap.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from naas.core.errors import Invalid, Problem
from services.lifecycle import ServiceState
from services.models import Deployment, Sample, ServiceInstance
from services.tiers import (
    HOURS,
    MOST_POINTS,
    RAW,
    TIERS,
    Figure,
    Tier,
    key_of,
    parts_of,
    read_all,
    rolled,
    sources,
    start_of,
    step_for,
)
from tenants.scope import Scope
from worker.samples import Samples

log = logging.getLogger(__name__)

#: Name of the core's task by which samples grow older.
AGE = "services.age_samples"
#: Samples older than this come too late, and those later than now by more come from a wrong clock.
LATEST, AHEAD = timedelta(hours=12), timedelta(minutes=1)
#: Rows that one statement writes, and buckets that one transaction rolls up or rows that one forgets.
ROWS, BUCKETS, FORGOTTEN = 500, 200, 2000
#: For how long a value counts as the present one.
FRESH = timedelta(seconds=60)


# --- from PoPs --------------------------------------------------------------------------


@transaction.atomic
def take(samples: Samples) -> None:
    """Keep what a PoP read, of services that stand there and of no others. The same samples again change nothing."""
    at, now = datetime.fromtimestamp(samples.at, UTC), timezone.now()
    if not now - LATEST < at < now + AHEAD:
        log.info("samples of %s are from %s and come too late, or too early", samples.pop, at)
        return
    readings = dict(samples.readings)
    here = Deployment.unscoped.filter(pop=samples.pop, instance__in=readings.keys())
    owners = dict(
        here.exclude(instance__state=ServiceState.TERMINATED).values_list("instance_id", "instance__tenant_id")
    )
    if len(owners) < len(readings):
        log.warning("%s sent samples of services that do not stand there", samples.pop)
    rows = [
        Sample(
            tenant_id=tenant,
            instance_id=instance,
            width=RAW.width,
            start=start_of(at, RAW.width),
            values={key_of(reading.name, reading.label): reading.value for reading in readings[instance]},
        )
        for instance, tenant in owners.items()
    ]
    Sample.unscoped.bulk_create(rows, batch_size=ROWS, ignore_conflicts=True)


# --- with age ---------------------------------------------------------------------------


def roll(now: datetime | None = None) -> int:
    """Make coarser rows of the finer ones whose bucket is over; says how many. Doing it twice does no harm."""
    now = now or timezone.now()
    made = 0
    for finer, coarser in pairwise(TIERS):
        while buckets := _to_roll(finer, coarser, now):
            _roll(finer, coarser, buckets)
            made += len(buckets)
    return made


Bucket = tuple[str, datetime]


def _to_roll(finer: Tier, coarser: Tier, now: datetime) -> list[Bucket]:
    """Some of the buckets that have rows nobody has rolled up, by service and beginning."""
    over = start_of(now, coarser.width)
    waiting = Sample.unscoped.filter(rolled=False, width=finer.width, start__lt=over).order_by("start")
    found: dict[Bucket, None] = {}
    for instance, start in waiting.values_list("instance_id", "start")[: BUCKETS * coarser.width // finer.width]:
        found[instance, start_of(start, coarser.width)] = None
        if len(found) == BUCKETS:
            break
    return list(found)


@transaction.atomic
def _roll(finer: Tier, coarser: Tier, buckets: Sequence[Bucket]) -> None:
    instances = {instance for instance, _ in buckets}
    starts = [start for _, start in buckets]
    wanted = set(buckets)
    rows = Sample.unscoped.filter(
        instance__in=instances,
        width=finer.width,
        start__gte=min(starts),
        start__lt=max(starts) + timedelta(seconds=coarser.width),
    )
    found: dict[Bucket, list[Sample]] = {}
    for row in rows:
        bucket = (row.instance_id, start_of(row.start, coarser.width))
        if bucket in wanted:
            found.setdefault(bucket, []).append(row)
    Sample.unscoped.bulk_create(
        (
            Sample(
                tenant_id=members[0].tenant_id,
                instance_id=instance,
                width=coarser.width,
                start=start,
                values=rolled(row.values for row in members),
                rolled=coarser is TIERS[-1],
            )
            for (instance, start), members in found.items()
        ),
        batch_size=ROWS,
        update_conflicts=True,
        unique_fields=["instance", "width", "start"],
        update_fields=["values", "rolled"],
    )
    done = [row.pk for members in found.values() for row in members]
    for first in range(0, len(done), ROWS):
        Sample.unscoped.filter(pk__in=done[first : first + ROWS]).update(rolled=True)


def forget(now: datetime | None = None) -> int:
    """Remove what is older than its tier keeps, in short transactions; says how many rows."""
    now = now or timezone.now()
    gone = 0
    for tier in TIERS:
        old = Sample.unscoped.filter(width=tier.width, start__lt=now - tier.kept).order_by("start")
        while keys := list(old.values_list("pk", flat=True)[:FORGOTTEN]):
            Sample.unscoped.filter(pk__in=keys).delete()
            gone += len(keys)
    return gone


# --- as series --------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """Which series are asked for: from and until when, in steps of so many seconds; of this name, or all."""

    since: datetime
    until: datetime
    step: int
    name: str = ""

    @classmethod
    def asked(
        cls,
        since: datetime | None,
        until: datetime | None,
        step: int | None,
        name: str = "",
        now: datetime | None = None,
    ) -> Range:
        """With what is not said: the last hour, in steps that suit. Raises `Invalid`."""
        now = now or timezone.now()
        until = min(until or now, now)
        since = since or until - timedelta(hours=1)
        if since >= until:
            raise Invalid([Problem("from", "must be before `to`, and not in the future")])
        since = max(since, now - HOURS.kept)
        step = step or step_for(since, until, now)
        if (until - since).total_seconds() / step > MOST_POINTS:
            raise Invalid(
                [Problem("step", f"makes more than {MOST_POINTS} points; ask for a longer step or less time")]
            )
        return cls(since, until, step, name)


@dataclass(frozen=True)
class Series:
    name: str
    label: str
    points: tuple[tuple[datetime, Figure], ...]


def series(rows: Scope, instance: ServiceInstance, wanted: Range, now: datetime | None = None) -> tuple[Series, ...]:
    """The series of a service, by name and label. Where nothing was measured there is no point."""
    now = now or timezone.now()
    found: dict[str, list[tuple[datetime, Figure]]] = {}
    points = groupby(_rows(rows, instance, wanted, now), lambda row: start_of(row[0], wanted.step))
    for start, members in points:
        of_point: dict[str, list[object]] = {}
        for _, values in members:
            for key, stored in values.items():
                of_point.setdefault(key, []).append(stored)
        for key, several in of_point.items():
            if not wanted.name or parts_of(key)[0] == wanted.name:
                found.setdefault(key, []).append((start, read_all(several)))
    return tuple(Series(*parts_of(key), tuple(points)) for key, points in sorted(found.items()))


def _rows(
    rows: Scope, instance: ServiceInstance, wanted: Range, now: datetime
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """What is kept of that time, each moment once: from the coarse tier, and from the finer where it lags behind."""
    since = start_of(wanted.since, wanted.step)
    for tier in sources(wanted.step, wanted.since, now):
        of_tier = rows.all(Sample).filter(instance=instance, width=tier.width, start__gte=since, start__lt=wanted.until)
        for start, values in of_tier.order_by("start").values_list("start", "values"):
            since = start + timedelta(seconds=tier.width)
            yield start, values


def of_all_tenants() -> QuerySet[Sample]:
    """Everybody's, for the provider alone."""
    return Sample.unscoped.all()


def present(rows: QuerySet[Sample], now: datetime | None = None) -> Iterator[Sample]:
    """Of each service its last row, if it is of the last minute."""
    now = now or timezone.now()
    recent = rows.filter(width=RAW.width, start__gte=now - FRESH).order_by("instance", "-start")
    for _, members in groupby(recent.select_related("instance"), lambda row: row.instance_id):
        yield next(members)


def names(found: Iterable[Series]) -> list[str]:
    return sorted({one.name for one in found})
