"""What each golden case of the SBC renders to, and what the daemons themselves say of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from sbc.kind import render
from tests.kinds import sbc_cases
from tests.system.sbc.box import Box, run, until
from tests.system.sbc.wire import inside


@pytest.mark.parametrize("case", sbc_cases.NAMES)
def test_a_spec_renders_to_its_golden_files(case: str, update_golden: bool) -> None:
    rendered = sbc_cases.files(case)
    folder = sbc_cases.CASES / case
    for name, content in rendered.items():
        if update_golden:
            (folder / name).write_text(content)
        assert content == (folder / name).read_text(), f"{case}/{name}: if it is meant so, run with --update-golden"
    assert {file.name for file in folder.iterdir()} == rendered.keys() | {"spec.json"}


@pytest.mark.parametrize("case", sbc_cases.NAMES)
def test_rendering_twice_gives_the_same(case: str) -> None:
    assert sbc_cases.vnfs(case) == sbc_cases.vnfs(case)


class GoldenBox(Box):
    """An SBC of the files as they lie in the repository."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.engine = sbc_cases.engine(case)
        self._golden = sbc_cases.CASES / case

    def write_files(self) -> None:
        super().write_files()
        for file in self._golden.iterdir():
            (self.dir / "etc" / file.name).write_text(file.read_text())

    def ask_relay(self, command: str) -> str:
        """What rtpengine's console answers. It closes by itself; ours closed first would cut its answer short."""
        there = run("docker", "inspect", "-f", "{{.State.Pid}}", self.name).strip()
        made = inside(f"/proc/{there}/ns/net", lambda: socket.create_connection(("127.0.0.1", 2224), 2))
        with made, made.makefile("rwb") as line:
            line.write(f"{command}\n".encode())
            line.flush()
            return line.read().decode()


@pytest.fixture(scope="module", params=sbc_cases.NAMES)
def box(request: pytest.FixtureRequest) -> Iterator[GoldenBox]:
    made = GoldenBox(request.param)
    try:
        made.start()
        made.redis().set("revision", 1)
        yield made
    finally:
        made.close()


@pytest.mark.system
def test_kamailios_own_checker_takes_the_golden_files(box: GoldenBox) -> None:
    said = run("docker", "exec", f"{box.name}-kamailio", "kamailio", "-c", "-f", f"{render.FILES}/kamailio.cfg")
    assert "config file ok, exiting" in said
    assert not [line for line in said.splitlines() if "ERROR" in line or "WARNING" in line]


@pytest.mark.system
def test_all_three_daemons_start_with_the_golden_files_and_are_well(box: GoldenBox) -> None:
    until(box.is_ready)
    found = json.loads(box.program("health").stdout)
    assert {item["type"]: item["message"] for item in found if item["status"] != "true"} == {}
    for container in ("kamailio", "rtpengine", "redis"):
        assert "ERROR" not in box.logs(container) and "CRITICAL" not in box.logs(container)


@pytest.mark.system
def test_rtpengine_has_read_its_file(box: GoldenBox) -> None:
    assert box.ask_relay("list timeout").split("=")[-1].strip() == str(box.engine.media_timeout)
    interfaces = box.ask_relay("list interfaces")
    for side in box.engine.sides:
        assert side.name in interfaces
        assert all(address in interfaces for address in side.addresses)


@pytest.mark.system
def test_redis_has_read_its_file(box: GoldenBox) -> None:
    settings = box.redis().config_get("*")
    assert (settings["appendonly"], settings["maxmemory-policy"]) == ("yes", "noeviction")
    assert int(settings["maxmemory"]) == box.engine.redis_memory
