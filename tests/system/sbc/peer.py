"""A peer that answers what it is asked as it is told to, and remembers it: SIP over UDP from a side's namespace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

from tests.system.sbc.box import SIDES, Box, until
from tests.system.sbc.phone import Message
from tests.system.sbc.rtp import socket_in


@dataclass(frozen=True)
class Heard:
    at: float
    message: Message


class Peer:
    """Answers each request with the code of its method in `codes`, or not at all where there is none."""

    def __init__(self, box: Box, side: str, last: int, port: int = 5060, **codes: int) -> None:
        self.host, self.port = f"{SIDES[side][1]}.{last}", port
        self.uri = f"sip:{self.host}:{port}"
        self.codes = codes
        self.heard: list[Heard] = []
        self._line = socket_in(box.namespace(side), self.host, port)
        self._line.settimeout(0.1)
        self._open = True
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._line.close()

    def asked(self, method: str, since: float = 0.0) -> list[Message]:
        """The requests of a method that came since a moment (of the monotonic clock)."""
        return [heard.message for heard in self.heard if heard.at >= since and heard.message.method == method]

    def wait_for(self, method: str, count: int = 1, seconds: float = 8.0) -> Message:
        """The last of so many more requests of a method, as soon as they are there."""
        since = time.monotonic()
        until(lambda: len(self.asked(method, since)) >= count, seconds)
        return self.asked(method, since)[-1]

    def reply(self, request: Message) -> tuple[int, dict[str, str]]:
        """Code and more headers of the answer; 0 for none."""
        return self.codes.get(request.method, 0), {}

    def _listen(self) -> None:
        while self._open:
            try:
                data, source = self._line.recvfrom(65_535)
            except TimeoutError:
                continue
            request = Message.parse(data)
            if request.code:
                continue
            self.heard.append(Heard(time.monotonic(), request))
            code, more = self.reply(request)
            if code:
                self._line.sendto(answer(request, code, more), source)


def answer(request: Message, code: int, more: dict[str, str]) -> bytes:
    to = request.headers["to"]
    headers = {
        "Via": ", ".join(request.vias),
        "From": request.headers["from"],
        "To": to if ";tag=" in to else f"{to};tag=peer",
        "Call-ID": request.headers["call-id"],
        "CSeq": request.headers["cseq"],
        "Server": "hidden-peer/1.0",
        **more,
    }
    lines = [f"SIP/2.0 {code} Answer", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


@contextmanager
def peer(box: Box, side: str, last: int, port: int = 5060, **codes: int) -> Iterator[Peer]:
    opened = Peer(box, side, last, port, **codes)
    try:
        yield opened
    finally:
        opened.close()
