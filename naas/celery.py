"""The core's Celery app: the sweep, the reports of the PoPs, and what the web processes publish.

A request never waits for the broker: connecting is tried once and briefly, and what could
not be published is found by the next sweep.
"""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings

from worker.broker import CORE_QUEUE, SAMPLES_QUEUE, celery_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")

#: Seconds between two looks at every deployment that is behind.
SWEEP_INTERVAL = 5.0


#: Without max_retries kombu tries for ever, inside the request that publishes; with the timeouts of a worker, a Redis
#: that accepts and does not answer holds it up for 40 seconds. (A worker asks again every second, so 2 are enough.)
PUBLISH_BRIEFLY = {"max_retries": 0, "socket_connect_timeout": 1, "socket_timeout": 2, "retry_on_timeout": False}


def core_settings() -> dict[str, object]:
    shared = celery_settings(CORE_QUEUE)
    return shared | {
        "broker_url": settings.REDIS_URL,
        "broker_connection_timeout": 2,
        "broker_transport_options": shared["broker_transport_options"] | PUBLISH_BRIEFLY,
        "timezone": "UTC",
        "beat_schedule_filename": str(settings.NAAS_VAR / "beat-schedule"),
        "beat_schedule": {
            "sweep": {
                "task": "services.sweep",
                "schedule": SWEEP_INTERVAL,
                "options": {"expires": SWEEP_INTERVAL},
            },
            "sbc-sweep": {"task": "sbc.sweep", "schedule": SWEEP_INTERVAL, "options": {"expires": SWEEP_INTERVAL}},
            "sbc-prune": {"task": "sbc.prune", "schedule": 600.0, "options": {"expires": 600}},
            # On the samples' own queue: one process writes them, and nothing else waits for it.
            "age-samples": {
                "task": "services.age_samples",
                "schedule": 60.0,
                "options": {"expires": 60, "queue": SAMPLES_QUEUE},
            },
            "forget-carts": {"task": "services.forget_carts", "schedule": 3600.0, "options": {"expires": 600}},
            "forget-idempotency-keys": {"task": "tenants.forget", "schedule": 3600.0, "options": {"expires": 600}},
        },
    }


app = Celery("naas")
app.conf.update(core_settings())
app.autodiscover_tasks()
app.set_default()
