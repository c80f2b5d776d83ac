"""What an instance carried and used, as values, and how counters become rates. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field

from worker.message import Message

#: What is measured (`port.in.bits`), and of which part of the instance ("lan", "probe:lan", a VNF's name, or nothing).
SampleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+){0,3}$", max_length=48)]
SampleLabel = Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]{0,64}$")]

#: A name, and behind a slash a label where there is one, as a probe tells a value.
SampleKey = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+){0,3}(/[A-Za-z0-9:._-]{1,64})?$", max_length=112)
]


@dataclass(frozen=True)
class Reading:
    """One value of one moment. Rates are by the second."""

    name: SampleName
    label: SampleLabel
    value: Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Samples(Message, what="samples"):
    """What a PoP read at one moment (Unix seconds), by instance."""

    pop: str
    at: float
    readings: tuple[tuple[str, tuple[Reading, ...]], ...]


#: Instance, name, label, and which counter it is where several are added up (two containers of a VNF).
Series: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True)
class Total:
    """A counter as it stands. `owner` is what counts: another one (an interface made anew) began at nothing."""

    value: float
    owner: str


def rates(before: Mapping[Series, Total], now: Mapping[Series, Total], seconds: float) -> dict[Series, float]:
    """How fast each counter grew. Of one that is new, began anew or runs backwards nothing is known."""
    if seconds <= 0:
        return {}
    return {
        series: (total.value - last.value) / seconds
        for series, total in now.items()
        if (last := before.get(series)) is not None and last.owner == total.owner and last.value <= total.value
    }
