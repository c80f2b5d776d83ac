"""What system tests share: one private platform for the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform import Platform
from tests.routers import make_hosts, make_segments


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A whole platform of its own (see `tests.platform`), with the segments and hosts of `tests.routers`."""
    platform = Platform()
    try:
        platform.start()
        make_segments(platform)
        make_hosts(platform)
        yield platform
    finally:
        platform.close()
