"""SIPVicious learns nothing, whatever it calls itself, and is soon not heard; calls go on as if nothing were."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, Box, until
from tests.system.sbc.calls import failed_calls, tables
from tests.system.sbc.test_guarding import PASSWORD, REMOTE, WITH_REMOTE

pytestmark = pytest.mark.system

#: Calls a second beside the scans.
RATE = 50
#: Seconds after its first message in which a scanner must be banned.
SOON = 5.0
ITSELF, DISGUISED, UNKNOWN = "friendly-scanner", "disguised", "unknown"
AGENT = "Cisco-SIPGateway/IOS-15.2"
TOOLS = {
    "svmap": ("--fromname", "reception", f"{OUTSIDE}.0/24"),
    "svwar": ("--force", "-e", "100-999", f"{OUTSIDE}.1"),
    "svcrack": ("-u", "remote", "-r", "100-999", f"{OUTSIDE}.1"),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """SIPVicious as it is, calling itself otherwise, and besides with tags of another form."""
    folder = tmp_path_factory.mktemp("sipvicious")
    found = {name: folder / name for name in (ITSELF, DISGUISED, UNKNOWN)}
    another_name, other_tags = ("svhelper.py", ITSELF, AGENT), ("svhelper.py", r"b'\x01'", r"b'\x02'")
    copy(found[ITSELF])
    copy(found[DISGUISED], another_name)
    copy(found[UNKNOWN], another_name, other_tags, ("svcrack.py", "3206210844", "cafe"))
    return found


def copy(folder: Path, *changes: tuple[str, str, str]) -> None:
    """SIPVicious with texts of its files replaced."""
    spec = find_spec("sipvicious")
    assert spec is not None and spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0])
    shutil.copytree(source, folder / "sipvicious", ignore=shutil.ignore_patterns("__pycache__"))
    for name, was, is_now in changes:
        [file] = folder.rglob(name)
        text = file.read_text()
        assert was in text
        file.write_text(text.replace(was, is_now))


class Scan:
    """One run of one tool, from a machine of its own: not all of them heed which address they are told to send from."""

    def __init__(self, box: Box, folder: Path, tool: str, *options: str) -> None:
        namespace, self.address = box.outsider("carrier")
        self.output = folder / f"{tool}-{self.address}"
        self.banned_at = 0.0
        command = [sys.executable, "-m", f"sipvicious.{tool}", "-b", self.address, "-x", self.address, *options]
        environment = os.environ | {"PYTHONPATH": str(folder), "HOME": str(folder)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=environment,
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def calls(box: Box) -> Iterator[None]:
    """Calls from the PBX to the carrier all the while, none of which may fail."""
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000")
    options = ("-p", "5060", "-r", str(RATE), "-s", "+4940222", "-d", "500", f"{INSIDE}.1:5060")
    calling = box.sipp("pbx", "plain-call", *options)
    until(lambda: box.counter("*") > 0)
    yield
    assert calling.poll() is answering.poll() is None, box.said()
    for process in (calling, answering):
        process.send_signal(signal.SIGUSR1)
        assert process.wait(20) == 0, box.said()
    assert failed_calls(box) == 0


@contextmanager
def scanned(box: Box, start: Callable[[], Iterable[Scan]]) -> Iterator[tuple[list[Scan], Path]]:
    """Scans beside calls, and what was captured on their side until all of them were banned and 100 calls made."""
    box.capture()
    recorded = box.redis().xlen("records")
    with calls(box):
        scans = list(start())
        try:
            until(lambda: not heard_still(box, scans), 15)
            until(lambda: box.redis().xlen("records") >= recorded + 100)
            yield scans, box.captured()["carrier"]
        finally:
            for scan in scans:
                scan.end()


def heard_still(box: Box, scans: Iterable[Scan]) -> set[str]:
    """The addresses of scans that are not banned; notes when the others were found to be."""
    banned = {ban["address"] for ban in box.rpc("guard.bans")}
    for scan in scans:
        if scan.address in banned:
            scan.banned_at = scan.banned_at or time.time()
    return {scan.address for scan in scans} - banned


def packed(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def between(file: Path, source: str, destination: str) -> list[tuple[float, bytes]]:
    """When what was sent from one address to another over IPv4."""
    wanted = packed(source) + packed(destination)
    return [(at, frame) for at, frame in leaks.frames(file) if frame[12:14] == b"\x08\x00" and frame[26:34] == wanted]


def seconds_heard(file: Path, scan: Scan) -> float:
    """From the scan's first message to its ban."""
    return scan.banned_at - between(file, scan.address, f"{OUTSIDE}.1")[0][0]


def test_on_a_side_of_trunks_alone_a_scanner_hears_nothing(box: Box, programs: dict[str, Path]) -> None:
    def start() -> Iterator[Scan]:
        for name in (ITSELF, DISGUISED):
            for tool, options in TOOLS.items():
                yield Scan(box, programs[name], tool, *options)

    with scanned(box, start) as (scans, outside):
        took = {scan.output.name: seconds_heard(outside, scan) for scan in scans}
        heard = {scan.output.name: len(between(outside, f"{OUTSIDE}.1", scan.address)) for scan in scans}
    assert len(scans) == 6
    assert max(took.values()) < SOON, took
    assert heard == dict.fromkeys(heard, 0)
    assert not any("| reqauth" in scan.said or "The password" in scan.said for scan in scans)


@pytest.mark.parametrize("name", [ITSELF, DISGUISED])
def test_where_passwords_are_asked_for_a_scanner_learns_no_more_than_that(
    box: Box, programs: dict[str, Path], name: str
) -> None:
    box.load(tables(REMOTE), WITH_REMOTE)
    time.sleep(1.0)  # in which every source is judged anew
    folder = programs[name]
    dictionary = folder / "words"
    dictionary.write_text("\n".join([*map(str, range(100)), PASSWORD]))
    tools = TOOLS | {
        "svwar": ("--force", "-m", "INVITE", "-e", "100-999", f"{OUTSIDE}.1"),
        "svcrack": ("-u", "remote", "-d", str(dictionary), f"{OUTSIDE}.1"),
    }
    with scanned(box, lambda: [Scan(box, folder, tool, *options) for tool, options in tools.items()]) as found:
        scans, outside = found
        took = {scan.output.name: seconds_heard(outside, scan) for scan in scans}
        answers = [text for scan in scans for _, text in between(outside, f"{OUTSIDE}.1", scan.address)]
    assert max(took.values()) < SOON, took
    assert answers == [], "its tag gives it away before it is asked for a password"
    assert PASSWORD not in scans[2].said


def test_a_scanner_that_is_no_known_one_is_asked_for_a_password_and_banned_for_guessing(
    box: Box, programs: dict[str, Path]
) -> None:
    box.load(tables(REMOTE), WITH_REMOTE)
    time.sleep(1.0)
    with scanned(box, lambda: [Scan(box, programs[UNKNOWN], "svcrack", *TOOLS["svcrack"])]) as ([scan], outside):
        took = seconds_heard(outside, scan)
        heard = {
            line.partition(b":")[0]
            for _, frame in between(outside, f"{OUTSIDE}.1", scan.address)
            for line in frame[42:].split(b"\r\n")
        }
        assert [ban["reason"] for ban in box.rpc("guard.bans") if ban["address"] == scan.address] == ["password"]
    assert took < SOON
    assert heard == {
        *(b"SIP/2.0 401 Unauthorized", b"Via", b"From", b"To", b"Call-ID", b"CSeq"),
        *(b"WWW-Authenticate", b"Content-Length", b""),
    }
    assert "The password" not in scan.said
