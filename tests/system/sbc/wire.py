"""Plain sockets at the addresses of a side, for what no telephone would send."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TypeVar

from tests.system.sbc.box import INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, Box

T = TypeVar("T")
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
NETS = {"pbx": INSIDE, "carrier": OUTSIDE}
NETS6 = {"pbx": INSIDE6, "carrier": OUTSIDE6}


def inside(namespace: str, make: Callable[[], T]) -> T:
    """What `make` makes in a network namespace; a socket belongs there for life."""
    made: list[T | BaseException] = []

    def enter_and_make() -> None:
        try:
            with Path("/run/netns", namespace).open() as file:
                if _LIBC.setns(file.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            made.append(make())
        except OSError as error:
            made.append(error)

    thread = Thread(target=enter_and_make)
    thread.start()
    thread.join()
    [result] = made
    if isinstance(result, BaseException):
        raise result
    return result


class Wire:
    """A UDP socket of a side, connected to the SBC there. The host is the last part of an IPv4 address, or an IPv6
    address of this side."""

    def __init__(self, box: Box, side: str, host: int | str, port: int = 0) -> None:
        here, sbc = (host, f"{NETS6[side]}:1") if isinstance(host, str) else (f"{NETS[side]}.{host}", f"{NETS[side]}.1")
        family = socket.AF_INET6 if isinstance(host, str) else socket.AF_INET
        self.here, self.sbc = (f"[{address}]" if ":" in address else address for address in (here, sbc))
        self.socket = inside(box.namespace(side), lambda: socket.socket(family, socket.SOCK_DGRAM))
        self.socket.bind((here, port))
        self.socket.connect((sbc, 5060))
        self.port = self.socket.getsockname()[1]

    def request(self, method: str, number: str = "100", *headers: str, body: str = "", agent: str = "pbx") -> bytes:
        """A well-formed request from here; `headers` take the place of those of the same name, or are added."""
        given = {
            "Via": f"SIP/2.0/UDP {self.here}:{self.port};rport;branch=z9hG4bK{secrets.token_hex(6)}",
            "From": f"<sip:200@{self.here}>;tag={secrets.token_hex(4)}",
            "To": f"<sip:{number}@{self.sbc}>",
            "Call-ID": f"{secrets.token_hex(8)}@{self.here}",
            "CSeq": f"1 {method}",
            "Contact": f"<sip:200@{self.here}:{self.port}>",
            "Max-Forwards": "70",
            "User-Agent": agent,
        }
        given |= dict(header.split(": ", 1) for header in headers)
        lines = [f"{method} sip:{number}@{self.sbc} SIP/2.0", *(f"{name}: {text}" for name, text in given.items())]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()

    def send(self, message: bytes) -> None:
        self.socket.send(message)

    def heard(self, seconds: float) -> Iterator[bytes]:
        """What arrives within so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                yield self.socket.recv(65_535)
            except TimeoutError:
                return

    def ask(self, message: bytes, seconds: float = 0.5) -> int | None:
        """The code of the first answer, None when none comes in time."""
        self.send(message)
        return next((code(answer) for answer in self.heard(seconds)), None)

    def answers(self, message: bytes, seconds: float = 0.5) -> Iterator[int]:
        """The codes that answer this message and no other, but for 100."""
        own = re.findall(rb"\r\nCall-ID: \S+", message)[0]
        self.send(message)
        return (found for answer in self.heard(seconds) if own in answer and (found := code(answer)) != 100)

    def codes(self, messages: Iterable[bytes], seconds: float = 1.0) -> list[int]:
        """The codes of all that is answered to all of these."""
        for message in messages:
            self.send(message)
        return [code(answer) for answer in self.heard(seconds)]


def code(answer: bytes) -> int:
    return int(answer.split(maxsplit=2)[1])


@contextmanager
def wire(box: Box, side: str, host: int | str, port: int = 0) -> Iterator[Wire]:
    opened = Wire(box, side, host, port)
    with opened.socket:
        yield opened
