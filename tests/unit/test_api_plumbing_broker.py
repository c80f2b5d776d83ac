"""A request never waits for a broker that is gone, or that hangs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from naas.celery import SWEEP_INTERVAL, app, core_settings
from worker.broker import CORE_QUEUE


@pytest.fixture
def hanging() -> Iterator[str]:
    """The address of something that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def seconds_to_fail(url: str) -> float:
    publisher = Celery("test", set_as_current=False)
    publisher.conf.update(core_settings() | {"broker_url": url})
    began = time.monotonic()
    with pytest.raises(OperationalError):
        publisher.send_task("services.start_order", args=["ord-1"])
    return time.monotonic() - began


def test_a_broker_that_is_gone_is_noticed_at_once():
    assert seconds_to_fail("redis://127.0.0.1:1/0") < 1


def test_a_broker_that_hangs_is_given_up_soon(hanging):
    assert seconds_to_fail(hanging) < 4


def test_health_is_told_soon_too(client, db, settings, hanging):
    settings.REDIS_URL = hanging
    began = time.monotonic()
    assert client.get("/healthz").json()["broker"] == "failing"
    assert time.monotonic() - began < 3


def test_the_sweep_does_not_pile_up():
    sweep = app.conf.beat_schedule["sweep"]
    assert (sweep["task"], sweep["schedule"], sweep["options"]["expires"]) == (
        "services.sweep",
        SWEEP_INTERVAL,
        SWEEP_INTERVAL,
    )


def test_every_scheduled_task_exists_and_waits_in_the_cores_queue():
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
    assert app.conf.task_default_queue == CORE_QUEUE
