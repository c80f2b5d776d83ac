"""A pytest plugin that leaves out what touches no database: `pytest -p tests.database_only`.

For the second run, on PostgreSQL: what never asks the database has nothing new to show there.
"""

from __future__ import annotations

import pytest

#: Fixtures of pytest-django that open the database.
OPENING = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    others = [item for item in items if not touches_database(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if touches_database(item)]


def touches_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db") is not None:
        return True
    return not OPENING.isdisjoint(getattr(item, "fixturenames", ()))
