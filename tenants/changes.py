"""The event log: that something of a tenant changed, never what. Pages that are open look again.

A change is written in the transaction of what changed, so that neither is there without the other. Whoever reads the
log asks from a position: everything before it has been seen. A position is handed out before the rows are read, and is
one before which nothing can appear any more:

- PostgreSQL: the oldest transaction that is still under way. Ids are given out before their transactions commit, so
  that a lower id may appear after a higher one; and a lock that kept them in order would be waited for in a circle.
- SQLite: the next id, because writers take turns.

A reader may therefore be told of a change twice, which makes it look twice; and of none never (decision 81).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Min
from django.utils import timezone
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tenants.models import Change, Tenant, TenantOwned

log = logging.getLogger(__name__)

#: Where those who read the log are woken.
CHANNEL = "naas:changes"
#: How long a change is kept; a page that was away for longer looks at everything again.
KEPT_FOR = timedelta(days=1)
FORGOTTEN_AT_ONCE = 5_000
#: Seconds for which nobody is woken after Redis did not answer: writers do not wait for it.
QUIET_AFTER_FAILURE = 5.0


@dataclass(frozen=True)
class Told:
    """A change as it is passed on: whose, about what (`order`), and which one of these."""

    id: int
    tenant: str
    topic: str
    object: str
    position: int


def note(row: TenantOwned | Tenant, topic: str = "") -> None:
    """Say that a row changed, to the pages that show it. Call it inside the transaction that changes it."""
    tenant_id = row.pk if isinstance(row, Tenant) else row.tenant_id
    known, about = row.told_as()
    Change.unscoped.create(tenant_id=tenant_id, topic=topic or known, about=about)
    transaction.on_commit(_wake)


def position() -> int:
    """What is before it is visible now, or never will be."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            return int(cursor.fetchone()[0])
    return (Change.unscoped.aggregate(last=Max("id"))["last"] or 0) + 1


def since(start: int, *, tenant: str = "", most: int | None = None) -> tuple[Told, ...]:
    """The changes from a position on, in order; of one tenant, or of all."""
    column = _column()
    rows = Change.unscoped.filter(**{f"{column}__gte": start}, **({"tenant_id": tenant} if tenant else {}))
    found = rows.order_by(column, "id").values_list("id", "tenant_id", "topic", "about", column)
    return tuple(Told(*row) for row in found[:most])


def reaches_back(tenant: str, start: int) -> bool:
    """Whether all changes of a tenant from this position on are still there."""
    oldest = Change.unscoped.filter(tenant_id=tenant).aggregate(oldest=Min(_column()))["oldest"]
    return oldest is None or start >= oldest


def forget(now: datetime | None = None) -> None:
    """Delete what is too old, but the newest of each tenant: by it one sees that there was something before."""
    before = (now or timezone.now()) - KEPT_FOR
    newest = Change.unscoped.values("tenant").annotate(last=Max("id")).values("last")
    old = Change.unscoped.filter(made__lt=before).exclude(id__in=list(newest.values_list("last", flat=True)))
    while page := list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        Change.unscoped.filter(pk__in=page).delete()


def objects(told: Iterable[Told]) -> list[tuple[str, str]]:
    """What changed, each once, in the order of first mention."""
    return list(dict.fromkeys((change.topic, change.object) for change in told))


def _column() -> str:
    return "transaction" if connection.vendor == "postgresql" else "id"


class _Waker:
    """Tells those who read the log that there is something. One that is lost does no harm: they look by themselves."""

    def __init__(self) -> None:
        self._redis: Redis | None = None
        self._quiet_until = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._quiet_until:
            return
        try:
            self._connection().publish(CHANNEL, "")
        except RedisError as error:
            self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE
            log.warning("nobody is woken by a change: %s", error)

    def _connection(self) -> Redis:
        if self._redis is None:
            brief = {"socket_connect_timeout": 0.3, "socket_timeout": 0.3, "retry": Retry(NoBackoff(), 0)}
            self._redis = Redis.from_url(settings.REDIS_URL, **brief)
        return self._redis


_wake = _Waker()
