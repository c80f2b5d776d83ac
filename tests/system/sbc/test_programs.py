"""The programs that the platform runs in an SBC: they tell how it is and take in changed files."""

from __future__ import annotations

import dataclasses
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.sbc.box import INSIDE, Box, run, until
from tests.system.sbc.calls import call, carried, tables
from tests.system.sbc.rtp import socket_in

pytestmark = pytest.mark.system

OF_STORE = {"StateAlive", "TablesLoaded", "TrunksAnswer", "TrunksRegistered"}
KINDS = {"SignallingAlive", "MediaAlive", "CertificateValid"} | OF_STORE


@pytest.fixture(scope="module")
def secure() -> Iterator[Box]:
    box = Box(tls=True)
    try:
        box.start()
        box.load(tables(), carried())
        until(box.is_ready)
        yield box
    finally:
        box.close()


def conditions(box: Box) -> dict[str, tuple[str, str]]:
    done = box.program("health")
    assert done.returncode == 0, done.stderr
    return {item["type"]: (item["status"], item["message"]) for item in json.loads(done.stdout)}


def test_a_call_that_stands_is_shown_and_one_that_ended_is_not(secure: Box) -> None:
    answering = secure.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "1")
    values_of(secure)
    options = ("-p", "5060", "-m", "1", "-d", "5000", "-s", "+4940222")
    calling = secure.sipp("pbx", "plain-call", *options, f"{INSIDE}.1:5060")
    until(lambda: any(shown["answered"] for shown in standing_calls(secure)["calls"]))
    (standing,) = standing_calls(secure)["calls"]
    assert standing["id"]
    assert 0 < standing["answered"] - standing["started"] < 2000
    assert (standing["caller"], standing["called"]) == ("+4930111", "+4940222")
    assert (standing["from_trunk"], standing["to_trunk"], standing["codec"]) == ("pbx", "carrier", "PCMA")
    assert json.loads(secure.program("load").stdout) == {"calls": 1, "trunks": {"pbx": 1, "carrier": 1}}
    told = values_of(secure)
    assert (told["calls.now"], told["trunk.now/pbx"], told["calls.attempts"]) == (1, 1, 0)
    assert [process.wait(15) for process in (calling, answering)] == [0, 0], secure.said()
    until(lambda: standing_calls(secure) == {"count": 0, "calls": []})
    told = values_of(secure)
    assert (told["calls.now"], told["calls.ratio"], told["trunk.ratio/carrier"]) == (0, 100, 100)
    assert told["calls.answered"] == told["trunk.answered/carrier"] > 0
    assert told["trunk.failed/pbx"] == 0


def test_five_hundred_calls_are_shown_in_pages(secure: Box) -> None:
    count = ("-m", "500")
    answering = secure.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", *count)
    options = ("-p", "5060", "-r", "100", "-l", "500", "-d", "14000", "-s", "+4940222", *count)
    calling = secure.sipp("pbx", "plain-call", *options, f"{INSIDE}.1:5060")
    until(lambda: standing_calls(secure)["count"] == 500, 12)
    whole = [call for first in (0, 200, 400) for call in standing_calls(secure, "--first", str(first))["calls"]]
    assert len({call["id"] for call in whole}) == 500
    assert whole == sorted(whole, key=lambda call: (call["started"], call["id"]))
    assert standing_calls(secure, "--trunk", "carrier", "--most", "1")["count"] == 500
    assert standing_calls(secure, "--trunk", "other") == {"count": 0, "calls": []}
    assert [process.wait(20) for process in (calling, answering)] == [0, 0], secure.said()


def values_of(box: Box) -> dict[str, float]:
    """What is measured of the SBC since it was asked last."""
    found: dict[str, float] = json.loads(box.program("health").stdout)[0]["values"]
    return found


def standing_calls(box: Box, *page: str) -> dict[str, Any]:
    done = box.program("calls", *page)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def unwell(box: Box) -> set[str]:
    return {name for name, (status, _) in conditions(box).items() if status != "true"}


def served(box: Box) -> bytes:
    """The certificate that the SBC shows to the PBX, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket_in(box.namespace("pbx"), f"{INSIDE}.2", 0, socket.SOCK_STREAM) as plain:
        plain.settimeout(5)
        plain.connect((f"{INSIDE}.1", 5061))
        with context.wrap_socket(plain) as channel:
            return channel.getpeercert(binary_form=True) or b""


def lies_in(box: Box) -> bytes:
    return ssl.PEM_cert_to_DER_cert((box.dir / "etc/tls.crt").read_text())


def test_a_well_sbc_is_ready_and_says_so(secure: Box) -> None:
    assert set(conditions(secure)) == KINDS
    assert unwell(secure) == set()
    assert secure.program("ready").returncode == 0


def test_without_tables_it_is_not_ready(secure: Box) -> None:
    secure.redis().delete("revision")
    try:
        done = secure.program("ready")
    finally:
        secure.redis().set("revision", 1)
    assert (done.returncode, done.stdout.strip()) == (1, "no tables have arrived yet")


@pytest.mark.parametrize(("container", "missing"), [("rtpengine", {"MediaAlive"}), ("redis", OF_STORE)])
def test_what_does_not_answer_is_named(secure: Box, container: str, missing: set[str]) -> None:
    run("docker", "pause", f"{secure.name}-{container}")
    try:
        assert unwell(secure) == missing
        assert secure.program("ready").returncode == 1
    finally:
        run("docker", "unpause", f"{secure.name}-{container}")


def test_a_certificate_about_to_end_is_a_condition(secure: Box) -> None:
    secure.issue("tls", days=5)
    assert conditions(secure)["CertificateValid"] == ("false", "the certificate ends in 4 days")
    secure.issue("tls")
    assert unwell(secure) == set()


def test_a_new_certificate_is_served_after_a_reload(secure: Box) -> None:
    secure.issue("tls")
    assert served(secure) != lies_in(secure)
    done = secure.program("reload")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert served(secure) == lies_in(secure)


def test_a_key_of_another_certificate_is_refused_in_words_and_the_old_one_stays(secure: Box) -> None:
    before = served(secure)
    key = (secure.dir / "etc/tls.key").read_text()
    secure.issue("tls")
    (secure.dir / "etc/tls.key").write_text(key)
    done = secure.program("reload")
    assert (done.returncode, done.stdout.strip()) == (1, "the key is not the certificate's")
    assert served(secure) == before
    secure.issue("tls")
    assert secure.program("reload").returncode == 0


def test_limits_change_without_a_restart(secure: Box) -> None:
    started = secure.rpc("core.uptime")["up_since"]
    was = secure.engine
    secure.engine = dataclasses.replace(was, most_calls=0, media_timeout=17)
    try:
        secure.write_files()
        done = secure.program("reload")
        assert done.returncode == 0, done.stdout
        refused = secure.sipp("pbx", "refused-503", "-p", "5060", "-m", "1", "-s", "+4940222", f"{INSIDE}.1:5060")
        assert refused.wait(10) == 0, secure.said()
    finally:
        secure.engine = was
        secure.write_files()
        assert secure.program("reload").returncode == 0
    until(lambda: secure.counter("*") == 0)
    call(secure, "pbx", "carrier", "call", "answer")
    assert secure.rpc("core.uptime")["up_since"] == started
