"""Sends spoiled copies of SIP messages. Run as a program in a side's namespace.

    mangler.py FOLDER SOURCE DESTINATION SEED COUNT

Each file of the folder is one message; the same seed spoils them in the same way.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from pathlib import Path

DELIMITERS = b',;:<>"= \r\n\t%!~@'


def flip(message: bytes, at: int, rng: random.Random) -> bytes:
    return message[:at] + bytes([rng.randrange(256)]) + message[at + 1 :]


def cut(message: bytes, at: int, rng: random.Random) -> bytes:
    return message[:at] + message[at + rng.randrange(1, 40) :]


def repeat(message: bytes, at: int, rng: random.Random) -> bytes:
    return message[:at] + message[at : at + rng.randrange(1, 200)] + message[at:]


def delimit(message: bytes, at: int, rng: random.Random) -> bytes:
    return message[:at] + bytes(rng.choices(DELIMITERS, k=rng.randrange(1, 6))) + message[at:]


def end(message: bytes, at: int, rng: random.Random) -> bytes:
    return message[:at]


def double_line(message: bytes, at: int, rng: random.Random) -> bytes:
    lines = message.split(b"\r\n")
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\r\n".join(lines)


def drop_line(message: bytes, at: int, rng: random.Random) -> bytes:
    lines = message.split(b"\r\n")
    del lines[rng.randrange(len(lines))]
    return b"\r\n".join(lines)


WAYS = (flip, cut, repeat, delimit, end, double_line, drop_line)


def spoiled(message: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randrange(1, 6)):
        message = rng.choice(WAYS)(message, rng.randrange(len(message) or 1), rng)
    return message[:60_000]


def main(folder: str, source: str, destination: str, seed: str, count: str) -> None:
    messages = [file.read_bytes() for file in sorted(Path(folder).iterdir())]
    rng = random.Random(int(seed))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 5060))
        for number in range(int(count)):
            sock.sendto(spoiled(rng.choice(messages), rng), (destination, 5060))
            if number % 20 == 0:
                time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
