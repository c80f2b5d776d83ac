"""What one side can learn of the other from the messages on its wire, also by decoding them.

A capture is searched for the other side's words as they are, and after every run of
characters that could be base64 or hexadecimal has been decoded, at every alignment. Then
the attack that unravels a fixed substitution is tried: from one sealed value whose content
is known, learn which character stands for which, and read the others with it.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}")
#: The last byte of a UDP checksum may be a capital letter: methods are named, not guessed.
_START = re.compile(
    rb"SIP/2\.0 \d{3} |"
    rb"(?:INVITE|ACK|BYE|CANCEL|OPTIONS|PRACK|UPDATE|INFO|REFER|REGISTER|NOTIFY|SUBSCRIBE|MESSAGE) sips?:"
)
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){4,}")
#: How much may stand before the known content in a sealed value (an initial vector, a tag).
SKIPPED = 28


def frames(file: Path) -> list[tuple[float, bytes]]:
    """The frames of a capture file, and when each came (Unix time)."""
    data = file.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    fraction = 1e-9 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1e-6
    at, found = 24, []
    while at + 16 <= len(data):
        seconds, parts, length = struct.unpack(order + "III", data[at : at + 12])
        found.append((seconds + parts * fraction, data[at + 16 : at + 16 + length]))
        at += 16 + length
    return found


def payloads(file: Path) -> list[bytes]:
    """The frames of a capture file."""
    return [frame for _, frame in frames(file)]


def messages(file: Path) -> list[bytes]:
    """SIP over UDP as captured: everything from the first line on."""
    found = []
    for frame in payloads(file):
        start = _START.search(frame)
        if start:
            found.append(frame[start.start() :])
    return found


def readings(text: bytes) -> Iterator[bytes]:
    """The text, and what its parts decode to."""
    yield text
    for match in _BASE64.finditer(text):
        run = match.group().replace(b"-", b"+").replace(b"_", b"/")
        for shift in range(4):
            part = run[shift:]
            yield base64.b64decode(part[: len(part) // 4 * 4] or b"")
    for match in _HEX.finditer(text):
        yield binascii.unhexlify(match.group())


def spellings(word: str) -> set[bytes]:
    """A word as text; an IPv4 address also as its four bytes."""
    found = {word.encode(), word.encode()[::-1]}
    if re.fullmatch(r"(\d+\.){3}\d+", word):
        found.add(bytes(map(int, word.split("."))))
    return found


def leaks(texts: Iterable[bytes], words: Iterable[str]) -> set[str]:
    """The words that can be read in the texts."""
    found = set()
    words = list(words)
    for text in texts:
        for number, reading in enumerate(readings(text)):
            for word in words:
                # The bytes of an address mean something in decoded text only: in the frame they are IP headers.
                candidates = spellings(word) if number else {word.encode()}
                if any(candidate.lower() in reading.lower() for candidate in candidates if len(candidate) >= 4):
                    found.add(word)
    return found


def sealed_values(texts: Iterable[bytes]) -> list[bytes]:
    """The distinct runs of base64url characters in the texts that are long enough to hold an address.

    The branches of Kamailio's own requests end in zeros, which are nobody's secret and alike in all of them.
    """
    runs = {run for text in texts for run in re.findall(rb"[A-Za-z0-9_-]{24,}", text)}
    return sorted(run for run in runs if b"0" * 12 not in run)


def learned(texts: Iterable[bytes], known: Iterable[bytes], words: Iterable[str]) -> dict[str, tuple[bytes, bytes]]:
    """The words that can be read by whoever knows what one sealed value holds: one of `known`, from some place on.

    Two mappings are learned from it, and every other value is read with them: which character stands for which, as a
    fixed substitution has it, and which bytes were added, as a keystream that is used again has it. With each word
    come the value that gave it away and the one that it was read in. Words are text here: among readings that are
    mostly chance the four bytes of an address would be found by chance.
    """
    values = sealed_values(texts)
    wanted = {word: word.encode().lower() for word in words}
    found: dict[str, tuple[bytes, bytes]] = {}
    for content in known:
        for value in values:
            others = [other for other in values if other != value]
            for other, reading in (*_substituted(value, content, others), *_added(value, content, others)):
                lowered = reading.lower()
                found |= {word: (value, other) for word, spelt in wanted.items() if spelt in lowered}
    return found


def _substituted(value: bytes, content: bytes, others: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for skipped in range(SKIPPED):
        table = substitution(value[skipped:], content)
        for other in others:
            yield other, read_with(table, other)


def _added(value: bytes, content: bytes, others: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    plain = [decoded(other) for other in others]
    whole = decoded(value)
    for skipped in range(SKIPPED):
        part = whole[skipped : skipped + len(content)]
        key = _xor(part, content[: len(part)])
        for other, bits in zip(others, plain, strict=True):
            there = bits[skipped : skipped + len(key)]
            yield other, _xor(there, key[: len(there)])


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def substitution(sealed: bytes, content: bytes) -> dict[int, int]:
    """Which base64 character would stand for which, if `sealed` were `content` under a fixed substitution."""
    plain = base64.b64encode(content).rstrip(b"=")
    return dict(zip(sealed, plain, strict=False))


def read_with(table: dict[int, int], sealed: bytes) -> bytes:
    """`sealed` read with a guessed table; unknown characters become A."""
    text = sealed.translate(bytes(table.get(character, ord("A")) for character in range(256)))
    return base64.b64decode(text[: len(text) // 4 * 4], validate=False)


def decoded(sealed: bytes) -> bytes:
    """The bytes of a base64url value without padding; of one cut off, all that is whole."""
    return base64.urlsafe_b64decode(sealed[: len(sealed) - (len(sealed) % 4 == 1)] + b"=" * (-len(sealed) % 4))
