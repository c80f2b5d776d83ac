"""What is placed, modified and deleted again and again leaves nothing behind."""

from __future__ import annotations

import pytest

from tests.platform import Platform
from tests.routers import A, B, edge
from tests.system.test_orders_end_to_end import delete, modify

pytestmark = pytest.mark.system


def test_twenty_rounds_of_placing_modifying_and_deleting_leave_nothing_behind(platform: Platform) -> None:
    before = platform.traces()
    for number in range(20):
        order = platform.done(platform.add(A.name, edge(A, B)), platform.add(B.name, edge(B, A)))
        services = [item["service"]["id"] for item in order["items"]]
        specs = [edge(A, B, routes=[f"172.16.{number}.0/24"]), edge(B, A, filtered=True)]
        platform.done(*(modify(service, spec) for service, spec in zip(services, specs, strict=True)))
        platform.done(*map(delete, services))
        assert platform.traces() == before, f"after round {number + 1}"
