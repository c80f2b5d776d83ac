"""Speaks with the three daemons of an SBC, for the programs beside it.

Kamailio answers JSON-RPC on a datagram socket, Redis its own protocol on a stream socket, rtpengine
its control protocol on loopback. Every question is bounded in time. What is asked for is decided by
the programs; nothing here changes anything by itself.

Only the standard library, and as little of it as possible: the start of the interpreter counts in every probe.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any, Self

#: Where the containers of one SBC meet, and where the platform puts files.
RUN = "/run/naas"
FILES = "/etc/naas"
SETTINGS = f"{FILES}/settings.json"
#: Seconds after which a daemon that has not answered does not.
PATIENCE = 2.0
#: Kamailio answers in one datagram, which is at most this long.
LONGEST_ANSWER = 1 << 20
MEDIA = ("127.0.0.1", 2223)
MEDIA_CONSOLE = ("127.0.0.1", 2224)


class Refused(Exception):
    """A daemon answered, and the answer is no; the message is its own words."""


def settings() -> dict[str, Any]:
    """What this SBC was ordered to be (see `settings` in sbc/kind/render.py)."""
    document: dict[str, Any] = json.loads(Path(SETTINGS).read_bytes())
    return document


# --- Kamailio -------------------------------------------------------------------------


def rpc(method: str, *parameters: object) -> Any:
    """The result of one call. Raises `Refused`, or OSError when Kamailio does not answer."""
    request = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
    # The answer goes to the path that the question came from.
    here = f"{RUN}/ask.{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.settimeout(PATIENCE)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LONGEST_ANSWER)
        line.bind(here)
        try:
            line.sendto(json.dumps(request).encode(), f"{RUN}/kamailio.rpc")
            answer = json.loads(line.recv(LONGEST_ANSWER))
        finally:
            Path(here).unlink()
    if "error" in answer:
        raise Refused(answer["error"].get("message", "no reason given"))
    return answer["result"]


# --- Redis ----------------------------------------------------------------------------


class Store:
    """A connection to the VNF's Redis, to be used in a `with` block. Raises OSError when there is none."""

    def __init__(self, database: int = 0) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._line.settimeout(PATIENCE)
        try:
            self._line.connect(f"{RUN}/redis.sock")
            self._file = self._line.makefile("rb")
            password = settings()["redis_password"]
            if password:
                self.ask("AUTH", password)
            if database:
                self.ask("SELECT", str(database))
        except BaseException:
            self._line.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._line.close()

    def ask(self, *words: str) -> Any:
        """The answer to one command: text, number, None or a list of them. Raises `Refused`, or OSError."""
        parts = [word.encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._line.sendall(request)
        return self._answer()

    def _answer(self) -> Any:
        """One answer in the protocol's second version (RESP2)."""
        line = self._file.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise Refused(rest.decode(errors="replace"))
        if kind == b"$":
            return self._text(int(rest))
        if kind == b"*":
            return None if int(rest) < 0 else [self._answer() for _ in range(int(rest))]
        raise ConnectionResetError("the store closed the connection")

    def _text(self, length: int) -> str | None:
        if length < 0:
            return None
        text = self._file.read(length + 2)
        if len(text) != length + 2:
            raise ConnectionResetError("the store closed the connection")
        return text[:-2].decode(errors="replace")


# --- rtpengine ------------------------------------------------------------------------


def media_answers() -> None:
    """Ask rtpengine whether it is there. Raises OSError when it is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(PATIENCE)
        line.connect(MEDIA)
        line.send(b"1 d7:command4:pinge")
        if b"pong" not in line.recv(1024):
            raise ConnectionResetError("rtpengine did not answer pong")


def media_console(command: str) -> str:
    """What rtpengine's console says to one command. Raises OSError."""
    with socket.create_connection(MEDIA_CONSOLE, timeout=PATIENCE) as line:
        line.sendall(command.encode() + b"\n")
        line.shutdown(socket.SHUT_WR)
        said = b""
        while piece := line.recv(65536):
            said += piece
    return said.decode(errors="replace").strip()
