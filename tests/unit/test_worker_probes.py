"""What probes make of what containers say, and of ports in a namespace."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import probes
from worker.errors import TemporaryError
from worker.report import Condition, Status
from worker.runtime.base import ExecResult
from worker.runtime.memory import MemoryRuntime
from worker.topology import Container, Exec, Http, Notice, Probe, ProbeRole, Tcp, Vnf, Volume

EDGE = Vnf("edge", (Container("frr", "image:1"),))
CHECK = Exec("Alive", "frr", ("check",))
LISTED = Exec("State", "frr", ("check", "--json"), parser="conditions", role=ProbeRole.READINESS)


def asked(probe: Probe, status: int = 0, output: str = "", runtime: MemoryRuntime | None = None) -> list[Condition]:
    runtime = runtime or MemoryRuntime(answers=lambda *_: ExecResult(status, output))
    return list(probes.run(probe, "svc-1", "edge", with_router(runtime)))


def with_router(runtime: MemoryRuntime) -> MemoryRuntime:
    runtime.add_vnf("svc-1", EDGE)
    runtime.start("svc-1", "edge", EDGE.containers[0])
    return runtime


def answering(output: str) -> MemoryRuntime:
    """A router whose commands all print this."""
    return with_router(MemoryRuntime(answers=lambda *_: ExecResult(0, output)))


def only(found: list[Condition]) -> Condition:
    (condition,) = found
    return condition


def test_a_command_that_ends_well_holds() -> None:
    assert asked(CHECK) == [Condition("Alive", Status.TRUE)]


def test_a_command_that_fails_does_not_hold_and_says_why() -> None:
    assert asked(CHECK, 1, "bgpd is dead\n") == [Condition("Alive", Status.FALSE, "bgpd is dead")]
    assert asked(CHECK, 3) == [Condition("Alive", Status.FALSE, "check ended with status 3")]


def test_a_notice_holds_once_the_container_gave_it() -> None:
    runtime = MemoryRuntime()
    probe = Notice("ready", "frr", "notices")
    runtime.add_vnf("svc-1", EDGE)
    runtime.start("svc-1", "edge", replace(EDGE.containers[0], volumes=(Volume("notices", "/run/notices"),)))
    silent = only(list(probes.run(probe, "svc-1", "edge", runtime)))
    assert (silent.status, silent.message) == (Status.FALSE, "frr has not said that it is ready")
    runtime.contents("svc-1", "edge", "notices")["ready.frr"] = ""
    assert list(probes.run(probe, "svc-1", "edge", runtime)) == [Condition("ready", Status.TRUE, readiness=True)]


def test_a_container_that_does_not_run_is_unknown() -> None:
    found = only(list(probes.run(CHECK, "svc-1", "edge", MemoryRuntime())))
    assert (found.status, found.message) == (Status.UNKNOWN, "edge/frr does not run")


def test_an_unknown_parser_names_the_known_ones() -> None:
    found = only(asked(Exec("Alive", "frr", ("check",), parser="nagios")))
    assert found.status is Status.UNKNOWN
    assert "there are conditions, exit-status" in found.message


def test_a_list_of_conditions_is_taken_over() -> None:
    said = [{"type": "DaemonsAlive", "status": "true"}, {"type": "PeersUp", "status": "false", "message": "1 of 2"}]
    assert asked(LISTED, output=json.dumps(said)) == [
        Condition("DaemonsAlive", Status.TRUE, "", readiness=True),
        Condition("PeersUp", Status.FALSE, "1 of 2", readiness=True),
    ]


def test_values_are_told_beside_the_conditions_and_are_numbers() -> None:
    entry = '{{"type": "BgpUp", "status": "true", "message": "", "values": {}}}'
    told = entry.format('{"bgp.neighbours": 2, "load": 0.5, "trunk.now/carrier-1": 3}')
    found = probes.find(LISTED, "svc-1", "edge", answering(f"[{told}]"))
    assert found.conditions == (Condition("BgpUp", Status.TRUE, "", readiness=True),)
    assert found.values == {"bgp.neighbours": 2, "load": 0.5, "trunk.now/carrier-1": 3}
    for wrong in ('{"A b": 1}', '{"trunk.now/a b": 1}', '{"load": "much"}', '{"load": null}', "[]"):
        found = probes.find(LISTED, "svc-1", "edge", answering(f"[{entry.format(wrong)}]"))
        assert ([condition.status for condition in found.conditions], found.values) == ([Status.UNKNOWN], {})


def test_what_a_probe_told_is_forgotten_with_what_was_said_before_a_change() -> None:
    answers = probes.Answers()
    output = '[{"type": "BgpUp", "status": "true", "message": "", "values": {"bgp.neighbours": 2}}]'
    answers.ask(LISTED, "svc-1", "edge", answering(output))
    assert answers.values("svc-1") == {"bgp.neighbours": 2}
    assert answers.values("svc-2") == {}
    answers.forget("svc-1")
    assert answers.values("svc-1") == {}


MALFORMED = [
    "",
    "null",
    "{}",
    "[]",
    "[1]",
    "Traceback (most recent call last):",
    '[{"type": "A"}]',
    '[{"type": "A", "status": "True"}]',
    '[{"type": "A", "status": true}]',
    '[{"type": "", "status": "true"}]',
    '[{"type": "A\\n", "status": "true"}]',
    '[{"type": "A", "status": "true", "extra": 1}]',
    '[{"type": "A", "status": "true", "message": 5}]',
    '[{"type": "A", "status": "true"}] and more',
    json.dumps([{"type": "A", "status": "true"}] * 65),
    json.dumps([{"type": "A", "status": "true", "message": "x" * 5000}]),
]


@pytest.mark.parametrize("output", MALFORMED)
def test_what_is_no_list_of_conditions_is_one_unknown_condition(output: str) -> None:
    found = only(asked(LISTED, output=output))
    assert (found.type, found.status, found.readiness) == ("State", Status.UNKNOWN, True)
    assert found.message


def test_a_probe_command_that_crashed_is_quoted() -> None:
    found = only(asked(LISTED, 1, "Traceback\nKeyError: 'peers'"))
    assert found.message == "check ended with status 1: Traceback KeyError: 'peers'"


@given(st.text(), st.integers(0, 255))
def test_whatever_a_container_prints_becomes_conditions_of_bounded_size(output: str, status: int) -> None:
    for probe in (CHECK, LISTED):
        for condition in asked(probe, status, output):
            assert len(condition.message) < 2 * probes.MESSAGE
            assert condition.message.isprintable()


def test_a_long_output_is_cut_at_the_front() -> None:
    found = only(asked(CHECK, 1, "x" * 10_000 + "the reason"))
    assert found.message.endswith("the reason")
    assert len(found.message) < 400


# --- connections ------------------------------------------------------------------------


class OwnNamespace(MemoryRuntime):
    """The VNF's namespace is that of the test."""

    def netns(self, instance: str, vnf: str) -> str:
        return "/proc/self/ns/net"


class LostNamespace(MemoryRuntime):
    def netns(self, instance: str, vnf: str) -> str:
        return "/proc/999999999/ns/net"


@contextmanager
def listening() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ok" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are silent."""


@pytest.fixture
def page() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="entering a network namespace needs root")


@needs_root
def test_a_port_that_accepts_holds() -> None:
    with listening() as port:
        assert asked(Tcp("Port", port), runtime=OwnNamespace()) == [Condition("Port", Status.TRUE)]


@needs_root
def test_a_port_that_refuses_does_not_hold() -> None:
    with listening() as port:
        pass
    found = only(asked(Tcp("Port", port), runtime=OwnNamespace()))
    assert (found.status, found.message) == (Status.FALSE, f"127.0.0.1:{port}: Connection refused")


@needs_root
def test_a_page_is_judged_by_its_status(page: int) -> None:
    assert asked(Http("Page", page, "/ok"), runtime=OwnNamespace()) == [Condition("Page", Status.TRUE)]
    assert asked(Http("Page", page, "/bad", status=503), runtime=OwnNamespace()) == [Condition("Page", Status.TRUE)]
    found = only(asked(Http("Page", page, "/bad"), runtime=OwnNamespace()))
    assert (found.status, found.message) == (Status.FALSE, "/bad answered 503, not 200")


@needs_root
def test_a_server_that_says_nothing_does_not_hold_and_does_not_hang() -> None:
    with listening() as port:
        found = only(asked(Http("Page", port, timeout=0.1), runtime=OwnNamespace()))
    assert found.status is Status.FALSE
    assert "timed out" in found.message


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: 1", "/\x7f"])
@needs_root
def test_a_path_that_is_none_does_not_hold(page: int, path: str) -> None:
    assert only(asked(Http("Page", page, path), runtime=OwnNamespace())).status is Status.FALSE


def test_a_name_is_not_looked_up() -> None:
    found = only(asked(Tcp("Port", 80, host="example.org"), runtime=OwnNamespace()))
    assert found.message == "example.org:80: example.org is not an IP address"


def test_a_namespace_that_is_gone_is_unknown() -> None:
    found = only(asked(Tcp("Port", 80), runtime=LostNamespace()))
    assert found.status is Status.UNKNOWN
    with pytest.raises(TemporaryError):
        probes.socket_in("/proc/999999999/ns/net", socket.AF_INET)
