"""The SBC between unlike sides: TLS and SRTP to UDP and RTP, IPv6 to IPv4."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sbc.kind.entries import Calls, Srtp
from sbc.policy import Address, NumberPlan, Trunk
from tests.system.sbc import leaks, tls_callee, tls_caller
from tests.system.sbc.box import INSIDE, INSIDE6, OUTSIDE, Box, until
from tests.system.sbc.calls import CALLS, OUT, carried, tables

pytestmark = pytest.mark.system

SECURE = carried(pbx={"srtp": Srtp.REQUIRED, "socket": f"tls:{INSIDE}.1:5061"})


@pytest.fixture(scope="module", params=[False, True], ids=["tls", "mutual-tls"])
def secure(request: pytest.FixtureRequest) -> Iterator[Box]:
    box = Box(tls=True, mutual_tls=request.param)
    try:
        box.issue("pbx")
        box.start()
        box.load(tables(), SECURE)
        yield box
    finally:
        box.close()


def place(box: Box, *options: str) -> subprocess.CompletedProcess[str]:
    """A TLS call from the PBX, to an answering carrier."""
    answering = box.sipp("carrier", "answer", "-p", "5060", "-mp", "30000", "-m", "1")
    program = [sys.executable, str(Path(tls_caller.__file__)), f"{INSIDE}.1", *options]
    command = ["ip", "netns", "exec", box.namespace("pbx"), *program]
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    finally:
        answering.terminate()
        answering.wait()


def test_an_encrypted_call_is_plain_on_the_other_side_and_shows_nothing(secure: Box) -> None:
    secure.capture()
    done = place(secure, "--certificate", str(secure.dir / "etc/pbx"))
    assert done.returncode == 0, done.stderr + secure.said()
    assert "RTP/SAVP" in done.stdout and "a=crypto:" in done.stdout
    outside = leaks.messages(secure.captured()["carrier"])
    assert b"RTP/AVP" in outside[0] and b"crypto" not in outside[0]
    assert leaks.leaks(outside, ("secret", f"{INSIDE}.", f"{INSIDE}.2", "WVNfX19zZW1jdGw")) == set()


def test_without_a_certificate_mutual_tls_is_refused(secure: Box) -> None:
    done = place(secure)
    assert (done.returncode == 0) is not secure.engine.mutual_tls, done.stderr + secure.said()


def test_old_tls_is_refused(secure: Box) -> None:
    done = place(secure, "--certificate", str(secure.dir / "etc/pbx"), "--oldest")
    assert done.returncode == 1 and "SSL" in done.stderr, done.stderr


@pytest.mark.parametrize(("trusted", "outcome"), [(True, "refused-486"), (False, "refused-408")])
def test_a_carrier_over_tls_is_called_when_it_is_vouched_for(secure: Box, trusted: bool, outcome: str) -> None:
    name = "known" if trusted else "unknown"
    secure.issue(name, trusted=trusted)
    assert secure.program("reload").returncode == 0
    carrier = Trunk("carrier", (), (Address(f"sip:{OUTSIDE}.2:5061;transport=tls"),), side="outside")
    secure.load(tables(carrier), carried(carrier={"socket": f"tls:{OUTSIDE}.1:5061"}))
    etc = secure.dir / "etc"
    output = secure.dir / f"{name}.out"
    with output.open("wb") as file:
        program = (
            sys.executable,
            str(Path(tls_callee.__file__)),
            f"{OUTSIDE}.2",
            str(etc / name),
            str(etc / "tls.crt"),
        )
        callee = secure.spawn("carrier", *program, output=file)
    try:
        until(lambda: "listening" in output.read_text())
        caller = secure.sipp("pbx", outcome, "-p", "5060", "-m", "1", "-s", "+4940222", f"{INSIDE}.1:5060")
        assert caller.wait(15) == 0, output.read_text() + secure.said()
    finally:
        callee.terminate()
        callee.wait()
        secure.load(tables(), SECURE)
    assert ("INVITE" in output.read_text()) is trusted


def test_a_call_over_ipv6_goes_on_over_ipv4(box: Box) -> None:
    six = Trunk("six", (f"{INSIDE6}:/64",), plan=NumberPlan("49"), side="inside")
    calls = Calls(f"udp:[{INSIDE6}:1]:5060", f"[{INSIDE6}:1]", f"[{INSIDE6}:2]", "inside", family=6)
    pbx = dataclasses.replace(tables().trunks["pbx"], sources=(f"{INSIDE}.0/24",))
    box.load(tables(pbx, six, routes=(dataclasses.replace(OUT, trunk="six"),)), CALLS | {"six": calls})
    box.capture()
    answering = box.sipp("carrier", "answer", "-p", "5060", "-mp", "30000", "-m", "1")
    caller = box.sipp("pbx", "call", "-p", "5060", "-mp", "31000", "-m", "1", "-s", "+4940222", "-d", "300",
                      "-cid_str", "secretcall-%u-%p@%s", f"[{INSIDE6}:1]:5060", at=f"{INSIDE6}:2")  # fmt: skip
    assert [caller.wait(20), answering.wait(20)] == [0, 0], box.said()
    files = box.captured()
    assert leaks.leaks(leaks.messages(files["carrier"]), ("secret", INSIDE6, f"{INSIDE}.")) == set()
    assert leaks.leaks(leaks.messages(files["pbx"]), ("hidden", "198.51.100.")) == set()
