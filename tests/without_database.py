"""A pytest plugin that leaves out what touches a database: `pytest -p tests.without_database`.

What remains is quick: run it after every change.
"""

from __future__ import annotations

import pytest

from tests.database_only import touches_database


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    others = [item for item in items if touches_database(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if not touches_database(item)]
