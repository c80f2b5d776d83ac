"""The SBC's Celery tasks in the core. Each parses, calls a verb, and leaves the rest to the sweep."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from sbc import records, tables, testcalls
from services.envelopes import said
from worker.broker import RECORDS, TABLES_AT
from worker.report import Records, TablesAt


@shared_task(name=TABLES_AT)
def tables_at(document: dict[str, Any]) -> None:
    if report := said(document, TABLES_AT, TablesAt):
        tables.take(report)


@shared_task(name=RECORDS)
def take_records(document: dict[str, Any]) -> None:
    if batch := said(document, RECORDS, Records):
        records.take(batch)


@shared_task(name=tables.DELIVER)
def deliver(instance_id: str) -> None:
    tables.deliver(instance_id=instance_id)


@shared_task(name="sbc.sweep")
def sweep() -> None:
    tables.sweep()
    testcalls.sweep()


@shared_task(name="sbc.prune")
def prune() -> None:
    tables.prune()
