"""What the core and the PoPs must agree on to meet at the broker: queues, task names, Celery settings.

A message is one sealed envelope (`worker.seal`) and nothing else. Losing one does no harm,
so results are ignored and delivery is late-acknowledged.
"""

from __future__ import annotations

import hashlib
from typing import Any

CORE_QUEUE = "core"
#: Samples have a queue and a reader of their own, so that nothing else ever waits behind them.
SAMPLES_QUEUE = "samples"

RECONCILE = "pop.reconcile"
ASK = "pop.ask"
TABLES = "pop.tables"
RECORDS_TAKEN = "pop.records_taken"
REPORT = "core.report"
BEAT = "core.beat"
ANSWER = "core.answer"
TABLES_AT = "core.tables_at"
RECORDS = "core.records"
SAMPLES = "core.samples"

#: Seconds a task may run before its process is killed.
HARD_TIME_LIMIT = 300
#: Seconds after which the broker hands an unacknowledged message to someone else. The
#: shortest of all apps on one Redis database wins, so there is one, above the hard limit.
VISIBILITY_TIMEOUT = 600


def pop_queue(slug: str) -> str:
    """The queue that only the PoP of this slug reads."""
    return f"pop.{slug}"


def celery_settings(queue: str) -> dict[str, Any]:
    """Celery settings of an app that reads `queue`.

    Each queue has its own unacked keys, so that a PoP's Redis user needs no key of another.
    """
    return {
        "task_default_queue": queue,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": HARD_TIME_LIMIT,
        "task_soft_time_limit": HARD_TIME_LIMIT - 30,
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "unacked_key": f"{queue}.unacked",
            "unacked_index_key": f"{queue}.unacked_index",
            "unacked_mutex_key": f"{queue}.unacked_mutex",
            # One priority and so one key: otherwise four lists, with control characters in their names.
            "priority_steps": [0],
            # Without a limit kombu connects for ever, inside whoever publishes while the broker is away.
            "max_retries": 0,
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "retry_on_timeout": True,
            "health_check_interval": 10,
        },
    }


#: What kombu 5.7 says to Redis for a worker that consumes, acknowledges, restores and publishes.
_COMMANDS = (
    *("hello", "auth", "select", "ping"),
    *("brpop", "lpush", "rpush", "llen"),
    *("sadd", "smembers", "hset", "hget", "hdel", "zadd", "zrem", "zrange"),
    *("multi", "exec", "discard", "watch", "unwatch"),
    # The mutex around the restoring of unacknowledged messages, which is released by a script.
    *("set", "get", "del", "evalsha", "script|load"),
)


def acl_rules(slug: str, password: str) -> list[str]:
    """Arguments of Redis 7's `ACL SETUSER <user>` for the PoP of this slug: exactly these rights, whatever there were.

    It reaches the keys of its own queue, and may push to the core's two: not read them, not count them.
    """
    queue = pop_queue(slug)
    settings = celery_settings(queue)["broker_transport_options"]
    keys = (
        queue,
        settings["unacked_key"],
        settings["unacked_index_key"],
        settings["unacked_mutex_key"],
        f"_kombu.binding.{queue}",
        f"_kombu.binding_permanent.{queue}",
    )
    return [
        "reset",
        "on",
        f"#{hashlib.sha256(password.encode()).hexdigest()}",
        *(f"~{key}" for key in keys),
        *(f"+{command}" for command in _COMMANDS),
        f"(~{CORE_QUEUE} ~{SAMPLES_QUEUE} +lpush)",
    ]
