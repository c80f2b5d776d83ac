"""What system tests share: one private platform for the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform import Platform
from tests.routers import make_hosts, make_segments

#: Seconds between two sweeps of the PoP, so that tests need not wait for ten.
POP_SWEEP = 2.0


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A whole platform of its own (see `tests.platform`), with the segments and hosts of `tests.routers`."""
    platform = Platform(sweep=POP_SWEEP)
    try:
        platform.start()
        make_segments(platform)
        make_hosts(platform)
        yield platform
    finally:
        platform.close()
