"""What every test gets: cheap passwords, and a database that can be emptied between tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from naas.celery import app


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """Argon2 is slow on purpose; tests have nothing to protect."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def _core_publishes() -> None:
    """What verbs publish goes through the core's app, also after a test that imported a PoP's."""
    app.set_current()


@pytest.fixture(scope="session", autouse=True)
def _emptying_spares_triggers() -> Any:
    """Between tests with real transactions Django empties every table, which the audit trail's trigger refuses.

    On SQLite the triggers are taken off for that moment. On PostgreSQL TRUNCATE does not fire them.
    """
    if connection.vendor != "sqlite":
        yield
        return
    operations = type(connection.ops)
    flush = operations.sql_flush

    def sql_flush(self: Any, *args: Any, **kwargs: Any) -> list[str]:
        statements = flush(self, *args, **kwargs)
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
        return [f'DROP TRIGGER "{name}"' for name, _ in triggers] + statements + [sql for _, sql in triggers]

    operations.sql_flush = sql_flush  # type: ignore[method-assign]
    yield
    operations.sql_flush = flush  # type: ignore[method-assign]
