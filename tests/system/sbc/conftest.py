"""What the tests of the SBC's engine share: one running SBC for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.sbc.box import Box
from tests.system.sbc.calls import carried, tables


@pytest.fixture(scope="module")
def standing() -> Iterator[Box]:
    box = Box()
    try:
        box.start()
        yield box
    finally:
        box.close()


@pytest.fixture
def box(standing: Box) -> Box:
    """An SBC between one PBX and one carrier, with nothing else in its tables."""
    standing.load(tables(), carried())
    return standing
