"""Spoiled messages from both sides end no process and no call."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.system.sbc import leaks, mangler
from tests.system.sbc.box import SIDES, Box, until
from tests.system.sbc.calls import CALL, call

pytestmark = pytest.mark.system

#: Kamailio 5.6.3 dies of this when its CSeq tracking sees it: a reply without Via, to a CANCEL.
NO_VIA = b"SIP/2.0 200 OK\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:a@b>;tag=y\r\nCall-ID: z\r\nCSeq: 1 CANCEL\r\n\r\n"


def spoil(box: Box, side: str, messages: list[bytes], seed: int, count: int) -> None:
    folder = box.dir / f"messages-{side}"
    folder.mkdir(exist_ok=True)
    for number, message in enumerate(messages):
        (folder / f"{number:04}").write_bytes(message)
    net = SIDES[side][1]
    program = (sys.executable, str(Path(mangler.__file__)), str(folder))
    assert box.spawn(side, *program, f"{net}.2", f"{net}.1", str(seed), str(count)).wait(60) == 0


def test_spoiled_messages_harm_nobody(box: Box) -> None:
    box.capture()
    for scenario in ("call", "hold", "cleared", "cancel"):
        call(box, "pbx", "carrier", *CALL[scenario])
    seen = {side: leaks.messages(file) for side, file in box.captured().items()}
    for side, messages in seen.items():
        spoil(box, side, [*messages, NO_VIA, b"\r\n" + messages[-1], b"\r\n\r\n" + NO_VIA], 1, 4000)
    assert "by a signal" not in box.logs("kamailio")
    # A spoiled INVITE may go to the other side for as long as it is answered by nobody.
    until(lambda: box.rpc("tm.stats")["current"] == 0, 60)
    call(box, "pbx", "carrier", "call", "answer")
