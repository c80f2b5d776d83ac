"""Whether the site works, for load balancers and supervisors.

`/healthz` tells of everything this process needs; `/readyz` only of what it takes to answer:
without the broker orders are still taken, and the next sweep after its return carries them out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

#: A check that waits is of no use to who asks.
BRIEFLY: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 0)}


def healthz(_request: HttpRequest) -> HttpResponse:
    return _answer(database=_database, broker=_broker)


def readyz(_request: HttpRequest) -> HttpResponse:
    return _answer(database=_database, migrations=_migrations)


def _answer(**checks: Callable[[], bool]) -> HttpResponse:
    found = {name: "ok" if check() else "failing" for name, check in checks.items()}
    well = "failing" not in found.values()
    response = JsonResponse({"status": "ok" if well else "failing", **found}, status=200 if well else 503)
    response["Cache-Control"] = "no-store"
    return response


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _broker() -> bool:
    try:
        with Redis.from_url(settings.REDIS_URL, **BRIEFLY) as broker:
            return bool(broker.ping())
    except RedisError:
        return False


def _migrations() -> bool:
    try:
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return False
