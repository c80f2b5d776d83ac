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
#: Commands that are sent before the first answer is read.
AT_ONCE = 500
LONGEST_DATAGRAM = 1 << 16
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
        self._line.sendall(_request(words))
        return self._answer()

    def ask_all(self, questions: list[tuple[str, ...]]) -> list[Any]:
        """The answers to many commands, in their order and without waiting between them."""
        answers = []
        for start in range(0, len(questions), AT_ONCE):
            some = questions[start : start + AT_ONCE]
            self._line.sendall(b"".join(map(_request, some)))
            answers += [self._answer() for _ in some]
        return answers

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


def _request(words: tuple[str, ...]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


# --- rtpengine ------------------------------------------------------------------------


def media_answers() -> None:
    """Ask rtpengine whether it is there. Raises OSError when it is not."""
    if media("ping").get("result") != "pong":
        raise ConnectionResetError("rtpengine did not answer pong")


def media(command: str, **fields: str) -> dict[str, Any]:
    """What rtpengine answers to a command of its control protocol. Raises OSError when it does not."""
    # Under a cookie of its own: one that was used before is answered as it was then.
    cookie = os.urandom(8).hex().encode()
    words = sorted({"command": command, **fields}.items())
    question = b"".join(map(_bencoded, (word for pair in words for word in pair)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(PATIENCE)
        line.connect(MEDIA)
        line.send(cookie + b" d" + question + b"e")
        said = line.recv(LONGEST_DATAGRAM)
    answer: dict[str, Any] = _bdecoded(said, len(cookie) + 1)[0]
    return answer


def _bencoded(text: str) -> bytes:
    value = text.encode()
    return b"%d:%s" % (len(value), value)


def _bdecoded(said: bytes, at: int) -> tuple[Any, int]:
    """The value that begins at a place of a bencoded text, and the place after it."""
    match said[at : at + 1]:
        case b"i":
            end = said.index(b"e", at)
            return int(said[at + 1 : end]), end + 1
        case b"l" | b"d" as kind:
            items, at = [], at + 1
            while said[at : at + 1] != b"e":
                item, at = _bdecoded(said, at)
                items.append(item)
            return (items if kind == b"l" else dict(zip(items[::2], items[1::2], strict=True))), at + 1
    colon = said.index(b":", at)
    end = colon + 1 + int(said[at:colon])
    return said[colon + 1 : end].decode(errors="replace"), end


def media_console(command: str) -> str:
    """What rtpengine's console says to one command. Raises OSError.

    The console closes by itself; were our side closed first, it would cut its answer short.
    """
    with socket.create_connection(MEDIA_CONSOLE, timeout=PATIENCE) as line:
        line.sendall(command.encode() + b"\n")
        said = b""
        while piece := line.recv(65536):
            said += piece
    return said.decode(errors="replace").strip()
