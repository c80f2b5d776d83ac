"""Real media for tests: RTP and RTCP (RFC 3550) or SRTP (RFC 3711) from a namespace, counted where it arrives.

SRTP is AES_CM_128_HMAC_SHA1_80 without a master key identifier.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import hmac
import os
import re
import secrets
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

#: Seconds between two packets, and samples in one, of G.711.
INTERVAL, SAMPLES = 0.020, 160
PCMU, PCMA, EVENT = 0, 8, 101
TAG = 10
SUITE = "AES_CM_128_HMAC_SHA1_80"
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def socket_in(namespace: str, host: str, port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    """A socket of the network namespace `namespace`, bound to an address there."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        try:
            with Path(f"/run/netns/{namespace}").open() as there:
                if _libc.setns(there.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            own = socket.socket(family, kind)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.bind((host, port))
            made.append(own)
        except OSError as error:
            made.append(error)

    # A namespace is a thread's, and what was opened in it stays there.
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def _keystream(key: bytes, counter: int, length: int) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(16, "big"))).encryptor()
    return encryptor.update(bytes(length))


def offered(body: str) -> re.Match[str]:
    """Tag and key of our suite in a session description."""
    found = re.search(rf"a=crypto:(\d+) {SUITE} inline:([A-Za-z0-9+/]+)", body)
    assert found is not None, body
    return found


@dataclass(frozen=True)
class Key:
    """The master key and salt of one direction."""

    master: bytes = field(default_factory=lambda: secrets.token_bytes(30))

    @classmethod
    def from_sdp(cls, body: str) -> Key:
        """The key that a session description offers for this suite."""
        return cls(base64.b64decode(offered(body)[2] + "=="))

    def line(self, tag: str) -> str:
        inline = base64.b64encode(self.master).decode()
        return f"a=crypto:{tag} {SUITE} inline:{inline}\r\n"

    def _derived(self, label: int, length: int) -> bytes:
        salt = int.from_bytes(self.master[16:], "big")
        return _keystream(self.master[:16], (salt ^ (label << 48)) << 16, length)

    def protect(self, packet: bytes, rollover: int = 0) -> bytes:
        """The packet sealed, when its sequence number has gone round so many times."""
        sealed = packet[:12] + self._crypt(packet, rollover)
        return sealed + self._tag(sealed, rollover)

    def open(self, packet: bytes, rollover: int = 0) -> bytes | None:
        """The RTP packet within, or None when it was not made with this key."""
        sealed, tag = packet[:-TAG], packet[-TAG:]
        if not hmac.compare_digest(tag, self._tag(sealed, rollover)):
            return None
        return sealed[:12] + self._crypt(sealed, rollover)

    def _crypt(self, packet: bytes, rollover: int) -> bytes:
        sequence, ssrc = struct.unpack("!2xH4xI", packet[:12])
        salt = int.from_bytes(self._derived(2, 14), "big")
        counter = (salt << 16) ^ (ssrc << 64) ^ (rollover << 32) ^ (sequence << 16)
        stream = _keystream(self._derived(0, 16), counter, len(packet) - 12)
        return bytes(a ^ b for a, b in zip(packet[12:], stream, strict=True))

    def _tag(self, sealed: bytes, rollover: int) -> bytes:
        return hmac.new(self._derived(1, 20), sealed + rollover.to_bytes(4, "big"), hashlib.sha1).digest()[:TAG]


class Stream:
    """One end's media. `heard` counts what arrived by payload type, `spoiled` what was not for us; `arrivals` are the
    times at which it was taken in (monotonic seconds)."""

    def __init__(self, namespace: str, host: str, port: int, key: Key | None = None, payload: int = PCMA) -> None:
        self.host, self.port, self.key, self.payload = host, port, key, payload
        self.rtp, self.rtcp = socket_in(namespace, host, port), socket_in(namespace, host, port + 1)
        for own in (self.rtp, self.rtcp):
            own.setblocking(False)
        self.peer: tuple[str, int] = ("", 0)
        self.peer_key: Key | None = None
        self.tag = "1"
        self.ssrc, self.sequence, self.timestamp = secrets.randbits(32), 100, 0
        self.heard: Counter[int] = Counter()
        self.spoiled = 0
        self.arrivals: list[float] = []
        self._last_heard: int | None = None
        self.bodies: list[bytes] = []
        self.reports: list[tuple[int, bytes]] = []
        self.peer_ssrc = 0
        self._last_report = 0

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()

    def towards(self, body: str) -> None:
        """Send where a session description says, and expect its key."""
        connection = next(line for line in body.splitlines() if line.startswith("c="))
        media = next(line for line in body.splitlines() if line.startswith("m=audio"))
        self.peer = (connection.split()[-1], int(media.split()[1]))
        self.peer_key = None
        if "a=crypto:" in body:
            self.peer_key, self.tag = Key.from_sdp(body), offered(body)[1]

    def send(self, body: bytes = bytes(SAMPLES), payload: int | None = None) -> None:
        kind = self.payload if payload is None else payload
        head = struct.pack("!BBHII", 0x80, kind, self.sequence & 0xFFFF, self.timestamp, self.ssrc)
        packet = head + body
        if self.key and self.peer_key:
            packet = self.key.protect(packet, self.sequence >> 16)
        self.rtp.sendto(packet, self.peer)
        self.sequence += 1
        self.timestamp += SAMPLES

    def listen(self) -> None:
        """Take in what has arrived."""
        for packet in _waiting(self.rtp):
            opened = self._opened(packet)
            if opened is None:
                self.spoiled += 1
                continue
            self.arrivals.append(time.monotonic())
            self.heard[opened[1] & 0x7F] += 1
            self.peer_ssrc = struct.unpack("!I", opened[8:12])[0]
            self.bodies.append(opened[12:])
        for packet in _waiting(self.rtcp):
            self.reports.append((_ntp_middle(time.time()), packet))

    def _opened(self, packet: bytes) -> bytes | None:
        if self.peer_key is None:
            return packet
        index = self._index(packet)
        opened = self.peer_key.open(packet, index >> 16)
        if opened is not None:
            self._last_heard = max(index, self._last_heard or 0)
        return opened

    def _index(self, packet: bytes) -> int:
        """Sequence number and how often it has gone round, as near to the last as can be (RFC 3711, 3.3.1)."""
        sequence = int.from_bytes(packet[2:4], "big")
        if self._last_heard is None:
            return sequence
        around = self._last_heard >> 16
        candidates = [sequence | rollover << 16 for rollover in (around - 1, around, around + 1) if rollover >= 0]
        last = self._last_heard
        return min(candidates, key=lambda index: abs(index - last))

    def report(self, *, lost: int = 0, jitter: int = 0) -> None:
        """Say by RTCP what was sent, and how it came in: `lost` of 256, `jitter` in ms."""
        now = time.time()
        self.listen()
        seconds = int(now) + 2208988800
        sender = struct.pack(
            "!BBHIIIIII", 0x81, 200, 12, self.ssrc, seconds, int(now % 1 * 2**32), self.timestamp, self.sequence, 0
        )
        heard_at, last = self._last_sender_report()
        delay = (_ntp_middle(now) - heard_at) & 0xFFFFFFFF if last else 0
        about = struct.pack("!IIIIII", self.peer_ssrc, lost << 24 | lost, self.sequence, jitter * 8, last, delay)
        name = b"\x81\xca\x00\x03" + struct.pack("!I", self.ssrc) + b"\x01\x04test\x00\x00"
        self.rtcp.sendto(sender + about + name, (self.peer[0], self.peer[1] + 1))

    def _last_sender_report(self) -> tuple[int, int]:
        for heard_at, packet in reversed(self.reports):
            if packet[1] == 200:
                return heard_at, int.from_bytes(packet[10:14], "big")
        return 0, 0


def _ntp_middle(now: float) -> int:
    return int((now + 2208988800) * 65536) & 0xFFFFFFFF


def _waiting(own: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(own.recv(2048))
    except BlockingIOError:
        return found


def exchange(streams: Sequence[Stream], packets: int) -> None:
    """Each sends so many packets at the pace of speech; then what arrived is taken in."""
    start = time.monotonic()
    for number in range(packets):
        for stream in streams:
            stream.send(os.urandom(SAMPLES))
        time.sleep(max(0.0, start + (number + 1) * INTERVAL - time.monotonic()))
    time.sleep(0.1)
    for stream in streams:
        stream.listen()
