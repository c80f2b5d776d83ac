"""The tone that a test call plays, and how it is found again in what came back. Pure but for two WAV files.

Samples are 16 bits, mono, `RATE` a second, as G.711 carries them.
"""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RATE = 8000
#: Hz; what telephone lines are tested with (ITU-T O.6).
FREQUENCY = 1020.0
#: A block is tone when this share of its power is at the frequency; noise has a few percent there.
PURITY = 0.8
_BLOCK = RATE // 50
_PLAYED = 8000
#: Mean square below which a block is silence: 40 dB below what is played.
_FLOOR = (_PLAYED / 100) ** 2 / 2


@dataclass(frozen=True)
class Heard:
    """`seconds` of tone in all, of which the first began at `onset` seconds; None when there was none."""

    seconds: float
    onset: float | None


def played(silence: float, seconds: float, frequency: float = FREQUENCY) -> array[int]:
    """Seconds of silence, and then of the tone, 12 dB below the loudest that there is."""
    step = 2 * math.pi * frequency / RATE
    sound = array("h", bytes(2 * round(silence * RATE)))
    sound.extend(round(_PLAYED * math.sin(step * n)) for n in range(round(seconds * RATE)))
    return sound


def hear(samples: Sequence[int], frequency: float = FREQUENCY) -> Heard:
    """Look for the tone in blocks of 20 ms, which is what one packet carries."""
    starts = range(0, len(samples) - _BLOCK + 1, _BLOCK)
    found = [start for start in starts if _is_tone(samples[start : start + _BLOCK], frequency)]
    return Heard(len(found) * _BLOCK / RATE, found[0] / RATE if found else None)


def _is_tone(block: Sequence[int], frequency: float) -> bool:
    mean_square = sum(sample * sample for sample in block) / len(block)
    return mean_square > _FLOOR and share(block, frequency) > PURITY


def share(block: Sequence[int], frequency: float) -> float:
    """How much of the block's power is at `frequency`, from 0 to about 1 (Goertzel's algorithm)."""
    coefficient = 2 * math.cos(2 * math.pi * frequency / RATE)
    last = before = 0.0
    for sample in block:
        last, before = sample + coefficient * last - before, last
    there = last * last + before * before - coefficient * last * before
    everything = sum(sample * sample for sample in block)
    return 2 * there / (len(block) * everything) if everything else 0.0


def write(file: Path, samples: array[int]) -> None:
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())


def read(file: Path) -> array[int]:
    """The samples of a WAV file as `write` writes it. Raises `ValueError` for any other."""
    try:
        with wave.open(str(file), "rb") as sound:
            if (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) != (1, 2, RATE):
                raise ValueError(f"{file} is not 16-bit mono at {RATE} Hz")
            return array("h", sound.readframes(sound.getnframes()))
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{file} is no WAV file: {error}") from error
