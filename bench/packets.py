"""Sends and receives RTP by the thousand, and times each packet: what a telephone network does to a relay.

One socket of each side carries all streams, told apart by SSRC. The kernel takes and gives packets in batches
(sendmmsg, recvmmsg), stamps what arrives, and gathers each packet from parts that are the same for all, so that
Python does next to nothing per packet.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.system.sbc.rtp import INTERVAL, PCMA, SAMPLES, socket_in

#: Milliseconds between two batches: a stream's packets are 20 ms apart, and the streams are spread over that time.
TICK = 0.001
SLOTS = round(INTERVAL / TICK)
#: Packets taken at once, and what is kept for one: a packet, and what the kernel says of it.
BATCH, ROOM, SAID = 256, 192, 64
#: Bytes that wait in a socket while Python is elsewhere.
WAITING = 32 * 2**20
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
#: Seconds that sending may end too late.
LATE = 0.2

_libc = ctypes.CDLL(None, use_errno=True)
Address = tuple[str, int]


class _Part(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.c_void_p),
        ("parts_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("_", ctypes.c_int),
        ("length", ctypes.c_uint32),
    )


@dataclass
class Heard:
    """What arrived since the last count: packets by SSRC, and how long each was under way, in ns."""

    packets: Counter[int] = field(default_factory=Counter)
    delays: array[int] = field(default_factory=lambda: array("q"))


class Side:
    """One side's end of all streams. `own` is where it sends from and receives."""

    def __init__(self, namespace: str, own: Address) -> None:
        self.socket = socket_in(namespace, *own)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, WAITING)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.heard = Heard()
        self.sent: Counter[int] = Counter()
        self._slots: list[ctypes.Array[_Message]] = []
        self._streams: list[range] = []
        self._keep: list[object] = []
        # Version, type, number, time: the same for all streams at a time. Then, in the payload, when it was sent.
        self._head, self._time = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
        self._rest = ctypes.create_string_buffer(bytes([0xD5]) * (SAMPLES - 8), SAMPLES - 8)
        self._data, self._control = ctypes.create_string_buffer(BATCH * ROOM), ctypes.create_string_buffer(BATCH * SAID)
        self._inbox = self._receiving()
        self._template = ctypes.string_at(self._inbox, ctypes.sizeof(self._inbox))
        self._unread: list[tuple[bytes, bytes]] = []

    def close(self) -> None:
        self.socket.close()

    # --- sending ---

    def towards(self, peers: Sequence[Address]) -> None:
        """Send a stream to each of these; its SSRC is its place here, the first being 1."""
        shares = [range(slot + 1, len(peers) + 1, SLOTS) for slot in range(SLOTS)]
        self._streams = shares
        self._slots = [self._batch(peers, share) for share in shares]

    def send(self, tick: int) -> None:
        """The packets of one tick."""
        slot = tick % SLOTS
        number = tick // SLOTS
        struct.pack_into("!BBHI", self._head, 0, 0x80, PCMA, number & 0xFFFF, number * SAMPLES & 0xFFFFFFFF)
        struct.pack_into("=q", self._time, 0, time.time_ns())
        batch, share = self._slots[slot], self._streams[slot]
        done = 0
        while done < len(share):
            begin = ctypes.byref(batch, done * ctypes.sizeof(_Message))
            taken = _libc.sendmmsg(self.socket.fileno(), begin, len(share) - done, 0)
            if taken < 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            done += taken
        self.sent.update(share)

    def _batch(self, peers: Sequence[Address], share: range) -> ctypes.Array[_Message]:
        batch = (_Message * max(len(share), 1))()
        for place, stream in enumerate(share):
            host, port = peers[stream - 1]
            name = ctypes.create_string_buffer(
                struct.pack("=HH", socket.AF_INET, socket.htons(port)) + socket.inet_aton(host) + bytes(8), 16
            )
            ssrc = ctypes.create_string_buffer(struct.pack("!I", stream), 4)
            parts = (_Part * 4)(*(_part(each) for each in (self._head, ssrc, self._time, self._rest)))
            self._keep += [name, ssrc, parts]
            batch[place] = _Message(ctypes.addressof(name), 16, ctypes.addressof(parts), 4)
        return batch

    # --- receiving ---

    def listen(self) -> None:
        """Take in what has arrived, to be read when there is time for it."""
        while (taken := self._take()) > 0:
            data, control = memoryview(self._data), memoryview(self._control)
            self._unread.append((bytes(data[: taken * ROOM]), bytes(control[: taken * SAID])))
            if taken < BATCH:
                return

    def read(self) -> None:
        """Count what was taken in, and how long it was under way."""
        found, delays = self.heard.packets, self.heard.delays
        for data, control in self._unread:
            packets = struct.iter_unpack(f"!8xI8s{ROOM - 20}x", data)
            stamps = struct.iter_unpack(f"=16xqq{SAID - 32}x", control)
            for (ssrc, sent), (seconds, nanoseconds) in zip(packets, stamps, strict=True):
                found[ssrc] += 1
                delays.append(seconds * 1_000_000_000 + nanoseconds - int.from_bytes(sent, "little"))
        self._unread.clear()

    def _take(self) -> int:
        # The kernel writes over how much room there is.
        ctypes.memmove(self._inbox, self._template, len(self._template))
        taken: int = _libc.recvmmsg(self.socket.fileno(), self._inbox, BATCH, socket.MSG_DONTWAIT, None)
        return taken

    def _receiving(self) -> ctypes.Array[_Message]:
        batch = (_Message * BATCH)()
        for place in range(BATCH):
            part = _Part(ctypes.addressof(self._data) + place * ROOM, ROOM)
            self._keep.append(part)
            said = ctypes.addressof(self._control) + place * SAID
            batch[place] = _Message(None, 0, ctypes.addressof(part), 1, said, SAID)
        return batch


def _part(buffer: ctypes.Array[ctypes.c_char]) -> _Part:
    return _Part(ctypes.addressof(buffer), ctypes.sizeof(buffer))


def exchange(sides: Sequence[Side], seconds: float) -> None:
    """Every stream of every side sends for so long at the pace of speech, and what arrives is taken in meanwhile.

    Raises `RuntimeError` when this process did not keep the pace.
    """
    start = time.monotonic()
    for tick in range(round(seconds / TICK)):
        for side in sides:
            side.send(tick)
        for side in sides:
            side.listen()
        if (early := start + (tick + 1) * TICK - time.monotonic()) > 0:
            time.sleep(early)
    if (taken := time.monotonic() - start) > seconds + LATE:
        raise RuntimeError(f"the packets of {seconds} s took {taken:.2f} s to send: the machine is too busy to measure")
    time.sleep(0.2)
    for side in sides:
        side.listen()
        side.read()


def forget(sides: Sequence[Side]) -> None:
    for side in sides:
        side.heard, side.sent = Heard(), Counter()
