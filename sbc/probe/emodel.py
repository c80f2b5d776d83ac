"""How good a call sounds: the E-model, ITU-T Recommendation G.107 (06/2015). Pure.

What a packet network does to a call is delay and loss; everything else (loudness, room
noise, handsets) keeps the default values of G.107, table 2. Figures of codecs are those of
ITU-T G.113, appendix I.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: What the equations of clauses 7.2, 7.3 and 7.4 give for the default values, in dB of the rating scale.
_SIGNAL_TO_NOISE = 94.769  # Ro, and as well Roe
_SIMULTANEOUS = 1.414  # Is
_TALKER_ECHO_LOUDNESS = 65.0  # TELR, dB
_ECHO_PATH_LOSS = 110.0  # WEPL, dB
#: Delay that is not noticed yet, in ms, and how sensitive a conversation is to it: table 1, default class.
_UNNOTICED_DELAY = 100.0
_DELAY_SENSITIVITY = 1.0

LEAST, MOST = 1.0, 4.5


@dataclass(frozen=True)
class Codec:
    """`impairment` is what it costs without loss (Ie), `robustness` how well it bears loss (Bpl)."""

    impairment: float
    robustness: float


#: With concealment of lost packets, which every receiver here does.
G711 = Codec(impairment=0.0, robustness=25.1)
CODECS = {"PCMA": G711, "PCMU": G711}


def rating(codec: Codec, *, loss: float, delay: float) -> float:
    """The transmission rating factor R for a mean one-way `delay` in ms and a random packet `loss` in percent."""
    return _SIGNAL_TO_NOISE - _SIMULTANEOUS - delay_impairment(delay) - loss_impairment(codec, loss)


def mos(rating: float) -> float:
    """The mean opinion score of an average listener, 1.0 to 4.5 (annex B)."""
    if rating >= 100:
        return MOST
    r = max(rating, 0.0)
    return max(LEAST, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def loss_impairment(codec: Codec, loss: float) -> float:
    """Ie,eff (equation 7-29) for loss that is random (BurstR = 1)."""
    return codec.impairment + (95 - codec.impairment) * loss / (loss + codec.robustness)


def delay_impairment(delay: float) -> float:
    """Id (clause 7.4): what talker echo, listener echo and waiting for each other cost."""
    return _talker_echo(delay) + _listener_echo(2 * delay) + _waiting(delay)


def _talker_echo(delay: float) -> float:
    heard = _TALKER_ECHO_LOUDNESS - 40 * math.log10((1 + delay / 10) / (1 + delay / 150))
    heard += 6 * math.exp(-0.3 * delay**2)
    half = (_SIGNAL_TO_NOISE - (80 + 2.5 * (heard - 14))) / 2
    return (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-delay))


def _listener_echo(round_trip: float) -> float:
    half = (_SIGNAL_TO_NOISE - 10.5 * (_ECHO_PATH_LOSS + 7) / math.pow(round_trip + 1, 0.25)) / 2
    return half + math.sqrt(half**2 + 169)


def _waiting(delay: float) -> float:
    if delay <= _UNNOTICED_DELAY:
        return 0.0
    x = math.log2(delay / _UNNOTICED_DELAY)
    power = 6 * _DELAY_SENSITIVITY

    def bend(value: float) -> float:
        return math.pow(1 + math.pow(value, power), 1 / power)

    return 25 * (bend(x) - 3 * bend(x / 3) + 2)
