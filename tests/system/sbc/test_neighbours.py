"""Two SBCs on one host know nothing of each other."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.system.sbc.box import OUTSIDE, Box, run, until
from tests.system.sbc.calls import call, carried, tables
from tests.system.sbc.test_programs import served
from tests.system.sbc.wire import wire

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def boxes() -> Iterator[tuple[Box, Box]]:
    """Two SBCs with the same addresses, each between a PBX and a carrier of its own."""
    both = Box(tls=True), Box(tls=True)
    try:
        for box in both:
            box.start()
            box.load(tables(), carried())
            until(box.is_ready)
        yield both
    finally:
        for box in both:
            box.close()


def namespace(box: Box, container: str) -> str:
    pid = run("docker", "inspect", "-f", "{{.State.Pid}}", f"{box.name}-{container}").strip()
    return run("readlink", f"/proc/{pid}/ns/net").strip()


def test_a_ban_at_one_is_none_at_the_other(boxes: tuple[Box, Box]) -> None:
    one, other = boxes
    with wire(one, "carrier", 7) as scanner:
        scanner.send(scanner.request("OPTIONS", agent="friendly-scanner"))
    until(lambda: f"{OUTSIDE}.7" in one.program("bans").stdout, 2)
    until(lambda: one.redis().exists(f"live:ban:{OUTSIDE}.7") == 1, 3)
    assert json.loads(other.program("bans").stdout) == []
    assert other.redis().keys("live:*") == []


def test_calls_are_known_where_they_are(boxes: tuple[Box, Box]) -> None:
    one, other = boxes
    call(one, "pbx", "carrier", "call", "answer")
    until(lambda: one.redis().xlen("records") == 1)
    assert other.redis().xlen("records") == 0
    assert (other.counter("*"), other.rpc("dlg.stats_active")["ongoing"]) == (0, 0)


def test_each_has_its_own_certificate_and_keys(boxes: tuple[Box, Box]) -> None:
    assert served(boxes[0]) != served(boxes[1])
    for secret in ("hide.key", "tls.key"):
        assert len({(box.dir / "etc" / secret).read_bytes() for box in boxes}) == 2


def test_neither_reaches_the_others_store_or_sockets(boxes: tuple[Box, Box]) -> None:
    one, other = boxes
    assert namespace(one, "kamailio") == namespace(one, "redis") != namespace(other, "kamailio")
    seen = run("docker", "exec", f"{one.name}-kamailio", "cat", "/proc/mounts")
    assert one.name in seen or "/run/naas" in seen
    assert other.name not in seen
    refused = run("docker", "exec", f"{one.name}-redis", "redis-cli", "-s", "/run/naas/redis.sock", "-a",
                  other.engine.redis_password, "ping", check=False)  # fmt: skip
    assert "PONG" not in refused


def test_neither_writes_in_the_others_log(boxes: tuple[Box, Box]) -> None:
    one, other = boxes
    before = [other.logs(container) for container in ("kamailio", "rtpengine", "redis")]
    call(one, "pbx", "carrier", "call", "answer")
    assert [other.logs(container) for container in ("kamailio", "rtpengine", "redis")] == before
