"""The SBC between unlike sides: TLS and SRTP to UDP and RTP, IPv6 to IPv4."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sbc.kind.entries import Calls, Srtp
from sbc.policy import Address, Trunk
from tests.system.sbc import leaks, tls_callee, tls_caller
from tests.system.sbc.box import INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, Box, until
from tests.system.sbc.calls import CALLS, CARRIER, PBX, carried, tables
from tests.system.sbc.hiding import WORDS, assert_hidden, hiding

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
    outside = secure.captured()["carrier"]
    invite = leaks.messages(outside)[0]
    assert b"RTP/AVP" in invite and b"crypto" not in invite
    assert_hidden({"carrier": outside}, {"pbx": (*WORDS["pbx"], "WVNfX19zZW1jdGw")})
    assert leaks.leaks([done.stdout.encode()], WORDS["carrier"]) == set()


def test_without_a_certificate_mutual_tls_is_refused(secure: Box) -> None:
    secure.capture()
    done = place(secure)
    assert (done.returncode == 0) is not secure.engine.mutual_tls, done.stderr + secure.said()
    reached_the_other_side = bool(leaks.messages(secure.captured()["carrier"]))
    assert reached_the_other_side is not secure.engine.mutual_tls
    assert leaks.leaks([(done.stdout + done.stderr).encode()], WORDS["carrier"]) == set()


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
    assert leaks.leaks([output.read_bytes()], WORDS["pbx"]) == set()


def answered(box: Box, net: str, caller_host: str, callee_host: str) -> None:
    """A call from a host of the PBX's side to one of the carrier's, played to its end, of which neither learns."""
    with hiding(box):
        answering = box.sipp("carrier", "answer", "-p", "5060", "-mp", "30000", "-m", "1", at=callee_host)
        options = ("-p", "5060", "-mp", "31000", "-m", "1", "-s", "+4940222", "-d", "300")
        names = ("-cid_str", "secretcall-%u-%p@%s")
        caller = box.sipp("pbx", "call", *options, *names, f"{net}:5060", at=caller_host)
        assert [caller.wait(20), answering.wait(20)] == [0, 0], box.said()


@pytest.mark.parametrize(("inside", "outside"), [(6, 4), (4, 6), (6, 6)])
def test_a_call_goes_from_either_family_to_either(box: Box, inside: int, outside: int) -> None:
    pbx = dataclasses.replace(PBX, sources=(f"{INSIDE}.0/24", f"{INSIDE6}:/64"))
    calls = dict(CALLS)
    if inside == 6:
        calls["pbx"] = Calls(f"udp:[{INSIDE6}:1]:5060", f"[{INSIDE6}:1]", f"[{INSIDE6}:2]", "inside", family=6)
    carrier = CARRIER
    if outside == 6:
        calls["carrier"] = Calls(f"udp:[{OUTSIDE6}:1]:5060", f"[{OUTSIDE6}:1]", f"[{OUTSIDE6}:2]", "outside", family=6)
        carrier = dataclasses.replace(CARRIER, addresses=(Address(f"sip:[{OUTSIDE6}:2]:5060"),))
    box.load(tables(pbx, carrier), calls)
    here = f"[{INSIDE6}:1]" if inside == 6 else f"{INSIDE}.1"
    answered(
        box, here, f"{INSIDE6}:2" if inside == 6 else f"{INSIDE}.2", f"{OUTSIDE6}:2" if outside == 6 else f"{OUTSIDE}.2"
    )
