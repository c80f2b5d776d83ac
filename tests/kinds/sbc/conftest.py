"""A Redis of the tests' own, with the engine's libraries in it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

LIBRARIES = Path(__file__).parents[3] / "sbc/kind/image/redis/lib"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("redis")
    options = ["--port", "0", "--unixsocket", str(path / "s"), "--save", "", "--dir", str(path)]
    server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    client: Any = redis.Redis(unix_socket_path=str(path / "s"), decode_responses=True)
    try:
        for _ in range(100):
            if (path / "s").exists():
                break
            time.sleep(0.05)
        for library in LIBRARIES.glob("*.lua"):
            client.execute_command("FUNCTION", "LOAD", library.read_text())
        yield client
    finally:
        server.terminate()
        server.wait()
