"""How a rate in bit/s becomes the numbers of a token bucket filter (tc-tbf(8)). Pure arithmetic.

The bucket holds 10 ms of the rate, so that a busy CPU between two turns of the queue costs no
throughput, and at least 16 full frames; the queue holds another 50 ms, enough for a TCP flow
to fill the rate over a short path, little enough to keep the delay of a full queue bearable.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import PermanentError

_BURST = 0.010
_LATENCY = 0.050
_LEAST_FRAMES = 16
_ETHERNET = 18
#: The filter counts in bytes per second, in 32 bits.
_FASTEST = (2**32 - 1) * 8


@dataclass(frozen=True)
class Bucket:
    """`rate` in bytes per second, `burst` and `limit` (the queue, burst included) in bytes."""

    rate: int
    burst: int
    limit: int


def bucket(rate: int, mtu: int) -> Bucket:
    """The token bucket for `rate` bit/s on a port of this MTU. Raises `PermanentError` when it cannot be held."""
    if not 8 <= rate <= _FASTEST:
        raise PermanentError(f"a rate of {rate} bit/s cannot be shaped: it must be between 8 and {_FASTEST}")
    per_second = rate // 8
    burst = max(int(per_second * _BURST), _LEAST_FRAMES * (mtu + _ETHERNET))
    return Bucket(per_second, burst, burst + max(int(per_second * _LATENCY), burst))
