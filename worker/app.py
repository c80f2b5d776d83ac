"""The Celery app of a PoP: reads the queue `pop.<slug>`, with access to the broker and nothing else.

`python -m worker.app` starts its worker without what workers do among each other (gossip,
mingle, remote control): a PoP's broker user reaches its own queue alone. `celery -A
worker.app worker` needs `--without-gossip --without-mingle --without-heartbeat` for that.
"""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery

from worker.broker import celery_settings, pop_queue
from worker.config import load
from worker.errors import PermanentError

#: Tasks at a time. Docker starts are fastest four at a time.
CONCURRENCY = 4


def _settings() -> dict[str, Any]:
    config = load()
    return {"broker_url": config.broker_url, **celery_settings(pop_queue(config.pop))}


app = Celery("pop", include=["worker.tasks"])
# Called when the configuration is first needed, not on import.
app.add_defaults(_settings)


def main(arguments: list[str]) -> None:
    """Run the worker until it is told to stop. `arguments` are added to those of `celery worker`."""
    try:
        config = load()
    except PermanentError as error:
        sys.exit(f"worker: {error}")
    app.worker_main(
        [
            "worker",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--concurrency={CONCURRENCY}",
            f"--hostname=pop.{config.pop}@%h",
            *arguments,
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
