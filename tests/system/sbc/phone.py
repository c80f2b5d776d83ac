"""A telephone for tests that need more than a scenario: SIP over UDP from a side's namespace, one call, real media."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.system.sbc.box import SIDES, Box
from tests.system.sbc.rtp import Key, Stream, socket_in

CODECS = {"PCMU": (0, 8000), "PCMA": (8, 8000), "G722": (9, 8000), "opus": (96, 48000), "telephone-event": (101, 8000)}


@dataclass(frozen=True)
class Message:
    """A SIP message; headers by their lower-case names, the first of each."""

    start: str
    headers: Mapping[str, str]
    vias: tuple[str, ...]
    routes: tuple[str, ...]
    body: str

    @classmethod
    def parse(cls, data: bytes) -> Message:
        head, _, body = data.decode().partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        pairs = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        headers = dict(reversed(pairs))
        vias = tuple(value for name, value in pairs if name == "via")
        return cls(start, headers, vias, tuple(value for name, value in pairs if name == "record-route"), body)

    @property
    def code(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return self.headers["cseq"].split()[1]

    @property
    def contact(self) -> str:
        found = re.search(r"<([^>]+)>", self.headers["contact"])
        assert found is not None, "a Contact has its URI in brackets"
        return found[1]

    @property
    def codecs(self) -> list[str]:
        """The codecs of a session description in the order of its media line."""
        media = re.search(r"m=audio \d+ \S+ ([\d ]+)", self.body)
        named = dict(re.findall(r"a=rtpmap:(\d+) ([\w-]+)/", self.body))
        static = {str(number): name for name, (number, _) in CODECS.items()}
        return [named.get(type) or static[type] for type in media[1].split()] if media else []


class Phone:
    """One end of one call, on a side of the SBC or, beyond it, `at` an address of another namespace.

    Inside, names of its own begin with `secret`, outside with `hidden` (see `hiding`).
    """

    def __init__(
        self,
        box: Box,
        side: str,
        last: int = 2,
        *,
        port: int = 5060,
        media: int = 30000,
        at: tuple[str, str] | None = None,
    ) -> None:
        self.net = SIDES[side][1]
        self.word = {"pbx": "secret", "carrier": "hidden"}[side]
        namespace, self.host = at or (box.namespace(side), f"{self.net}.{last}")
        self.port, self.sbc = port, (f"{self.net}.1", 5060)
        self.line = socket_in(namespace, self.host, port)
        self.media = Stream(namespace, self.host, media)
        self.call_id = f"{self.word}{secrets.token_hex(6)}@{self.host}"
        self.tag = secrets.token_hex(4)
        self.cseq = 0
        self.version = 0
        self.local = self.remote = self.target = ""
        #: To of the answer that refused our last INVITE.
        self.refused = ""
        self.invited: Message | None = None
        self.seen: list[Message] = []

    def close(self) -> None:
        self.line.close()
        self.media.close()

    # --- descriptions ---

    def describe(self, *codecs: str, srtp: bool = False, profile: str = "", direction: str = "sendrecv") -> str:
        """A session description of our media; with `srtp` encrypted by our key."""
        names = codecs or ("PCMA", "telephone-event")
        if srtp and self.media.key is None:
            self.media.key = Key()
        profile = profile or ("RTP/SAVP" if srtp else "RTP/AVP")
        self.version += 1
        types = [CODECS[name] for name in names]
        maps = "".join(f"a=rtpmap:{number} {name}/{rate}{'/2' if name == 'opus' else ''}\r\n"
                       for name, (number, rate) in zip(names, types, strict=True))  # fmt: skip
        return (
            f"v=0\r\no=- 1 {self.version} IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
            f"m=audio {self.media.port} {profile} {' '.join(str(number) for number, _ in types)}\r\n{maps}"
            f"{self.media.key.line(self.media.tag) if srtp and self.media.key else ''}a={direction}\r\n"
        )

    # --- requests ---

    def invite(
        self, number: str = "+4940222", body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.target = f"sip:{number}@{self.sbc[0]}"
        self.local, self.remote = f'"Alice" <sip:+4930111@{self.host}>;tag={self.tag}', f"<{self.target}>"
        self.request("INVITE", self.describe() if body is None else body, headers)

    def request(self, method: str, body: str = "", headers: Mapping[str, str] | None = None, cseq: int = 0) -> None:
        self.cseq += 0 if cseq else 1
        # What acknowledges a refusal belongs to the transaction of the INVITE (RFC 3261, 17.1.1.3).
        transaction = "INVITE" if method == "ACK" and self.refused else method
        branch = f"z9hG4bK{self.tag}{cseq or self.cseq}{transaction}"
        self._send(
            f"{method} {self.target} SIP/2.0",
            {
                "Via": f"SIP/2.0/UDP {self.host}:{self.port};branch={branch}",
                "From": self.local,
                "To": self.refused if method == "ACK" and self.refused else self.remote,
                "Call-ID": self.call_id,
                "CSeq": f"{cseq or self.cseq} {method}",
                "Contact": f"<sip:{self.word}user@{self.host}:{self.port}>",
                "Max-Forwards": "70",
                **(headers or {}),
            },
            body,
        )

    def acknowledge(self, body: str = "") -> None:
        self.request("ACK", body, cseq=self.cseq)

    def hang_up(self) -> Message:
        self.request("BYE")
        return self.answer_to("BYE")

    # --- what comes ---

    def receive(self, seconds: float = 5.0) -> Message:
        self.line.settimeout(seconds)
        message = Message.parse(self.line.recv(65535))
        self.seen.append(message)
        return message

    def answer_to(self, method: str, seconds: float = 8.0) -> Message:
        """The final answer to the last request of this method; learns the dialog from it.

        What was meant for an earlier phone at this address is not taken for it.
        """
        end = time.monotonic() + seconds
        while True:
            message = self.receive(max(0.01, end - time.monotonic()))
            ours = message.headers["call-id"] == self.call_id
            if ours and message.code >= 200 and message.method == method:
                return self._learn(message)

    def rung(self, code: int, seconds: float = 8.0) -> Message:
        """The provisional answer to our INVITE; learns the early dialog from it."""
        end = time.monotonic() + seconds
        while True:
            message = self.receive(max(0.01, end - time.monotonic()))
            if message.code == code and message.headers["call-id"] == self.call_id:
                self.remote, self.target = message.headers["to"], message.contact
                return message

    def asked(self, method: str, seconds: float = 8.0) -> Message:
        """The next request of this method, left unanswered."""
        end = time.monotonic() + seconds
        while True:
            message = self.receive(end - time.monotonic())
            if message.start.startswith(f"{method} "):
                if method == "INVITE" and not self.remote:
                    self._take(message)
                return message

    def hears_nothing(self, seconds: float = 0.5) -> bool:
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def reply(self, request: Message, code: int, body: str = "", headers: Mapping[str, str] | None = None) -> None:
        to = request.headers["to"]
        if body and "a=crypto:" not in body:
            self.media.peer_key = None  # encryption was offered and is declined
        self._send(
            f"SIP/2.0 {code} Answer",
            {
                "Via": ", ".join(request.vias),
                **({"Record-Route": ", ".join(request.routes)} if request.routes else {}),
                "From": request.headers["from"],
                "To": to if ";tag=" in to or code == 100 else f"{to};tag={self.tag}",
                "Call-ID": request.headers["call-id"],
                "CSeq": request.headers["cseq"],
                "Contact": f"<sip:{self.word}user@{self.host}:{self.port}>",
                **(headers or {}),
            },
            body,
        )

    def _take(self, invite: Message) -> None:
        """Become the called end of a dialog."""
        self.invited = invite
        self.call_id, self.target = invite.headers["call-id"], invite.contact
        self.local, self.remote = f"{invite.headers['to']};tag={self.tag}", invite.headers["from"]
        if invite.body:
            self.media.towards(invite.body)

    def _learn(self, answer: Message) -> Message:
        if answer.method == "INVITE":
            self.refused = "" if answer.code < 300 else answer.headers["to"]
        if answer.code < 300 and answer.method == "INVITE":
            self.remote, self.target = answer.headers["to"], answer.contact
            if answer.body:
                self.media.towards(answer.body)
        return answer

    def _send(self, start: str, headers: Mapping[str, str], body: str) -> None:
        lines = [start, *(f"{name}: {value}" for name, value in headers.items())]
        lines += ["Content-Type: application/sdp"] if body else []
        text = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])
        self.line.sendto(text.encode(), self.sbc)


@contextmanager
def phones(box: Box) -> Iterator[tuple[Phone, Phone]]:
    """One at the PBX, one at the carrier."""
    caller, callee = Phone(box, "pbx", media=31000), Phone(box, "carrier")
    try:
        yield caller, callee
    finally:
        caller.close()
        callee.close()


def connect(
    caller: Phone, callee: Phone, offer: str | None = None, answer: Callable[[], str] | None = None
) -> tuple[Message, Message]:
    """Set up a call; what the callee was offered and what the caller was answered."""
    caller.invite(body=offer)
    invite = callee.asked("INVITE")
    callee.reply(invite, 200, answer() if answer else callee.describe())
    answered = caller.answer_to("INVITE")
    assert answered.code == 200, answered.start
    caller.acknowledge()
    callee.asked("ACK")
    return invite, answered


def hang_up(caller: Phone, callee: Phone) -> None:
    caller.request("BYE")
    callee.reply(callee.asked("BYE"), 200)
    assert caller.answer_to("BYE").code == 200
