"""Records of calls into the database: by `sbc.records.take`, as they come from a PoP, next to bare INSERTs of the rows.

Runs as a program of its own in the installation that the environment names (`python -m bench.records POP`), because a
bench has no settings; there it makes an SBC's row, takes records in batches, and takes all of it back.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from itertools import count
from typing import Any

import django

from bench.measure import Comparison, compare
from tests.platform import Platform

RECORDS, BATCH = 5_000, 500
#: Records a second that have to be taken.
WANTED = 1_000


def measure(platform: Platform, *, rounds: int) -> list[Comparison]:
    said = platform.run_inside("bench.records", platform.pop, str(rounds))
    found = Comparison(**json.loads(said))
    if (taken := statistics.median(found.product)) > RECORDS / WANTED:
        raise RuntimeError(f"{found.product} s for {RECORDS} records, median {taken:.2f}: fewer than {WANTED} a second")
    return [found]


def main(pop: str, rounds: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    import naas.celery  # noqa: F401 - makes the core's app the one that receipts are sent with
    from services.models import OfferingSize, ServiceInstance
    from tenants.models import Tenant

    instance = ServiceInstance.unscoped.create(
        tenant=Tenant.objects.get(slug=f"tenant-{pop}"),
        pop_id=pop,
        kind="sbc",
        name="records",
        size=OfferingSize.objects.filter(offering__kind="sbc").first(),
        spec={},
    )
    try:
        bench = _Bench(instance)
        title = f"{RECORDS} call records into the database"
        found = compare(title, yardstick=bench.time_bare, product=bench.time_taken, rounds=int(rounds))
    finally:
        instance.delete()
    fields = ("title", "yardstick", "product", "ratios", "target")
    sys.stdout.write(json.dumps({field: getattr(found, field) for field in fields}))


class _Bench:
    def __init__(self, instance: Any) -> None:
        self._instance = instance
        self._numbers = count()

    def time_taken(self) -> float:
        from sbc import records
        from worker.report import Record, Records

        bodies = [Record("1-0", f"k{next(self._numbers)}", _body()) for _ in range(RECORDS)]
        batches = [tuple(bodies[start : start + BATCH]) for start in range(0, RECORDS, BATCH)]
        started = time.perf_counter()
        for batch in batches:
            records.take(Records(self._instance.pop_id, self._instance.pk, "sbc", batch))
        return self._ended(started)

    def time_bare(self) -> float:
        """The same rows by `executemany`, a transaction for each batch."""
        from django.db import connection, transaction

        from sbc.models import CallRecord
        from sbc.records import row_of
        from worker.report import Record

        fields = [field for field in CallRecord._meta.concrete_fields if not field.primary_key]
        rows = [row_of(self._instance, Record("1-0", f"k{next(self._numbers)}", _body())) for _ in range(RECORDS)]
        values = [[field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields] for row in rows]
        columns = ", ".join(f'"{field.column}"' for field in fields)
        query = f"INSERT INTO {CallRecord._meta.db_table} ({columns}) VALUES ({', '.join(['%s'] * len(fields))})"
        started = time.perf_counter()
        for start in range(0, RECORDS, BATCH):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(query, values[start : start + BATCH])
        return self._ended(started)

    def _ended(self, started: float) -> float:
        """The time since then; what was written is removed, which is not counted."""
        taken = time.perf_counter() - started
        assert self._instance.call_records.count() == RECORDS
        self._instance.call_records.all().delete()
        return taken


def _body() -> str:
    now = int(time.time() * 1000)
    heard = {"mos": 4.3, "loss": 0.1, "jitter": 1.2, "round_trip": 20.0}
    return json.dumps(
        {
            "call_id": "c8f2a1@10.11.0.2", "call_id_out": "yMwZUCortK15zZY2", "started": now, "answered": now + 900,
            "ended": now + 61_000, "caller": "+4930111", "called": "+4940222", "called_out": "+4940222",
            "from_trunk": "pbx", "to_trunk": "carrier", "route": "out", "emergency": False,
            "attempts": [{"trunk": "carrier", "uri": "sip:198.51.100.2:5060", "code": 200}], "code": 200,
            "cause": "caller-hung-up", "codec": "PCMA", "srtp_in": True, "srtp_out": False,
            "quality": {"caller": heard, "callee": None},
        }
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
