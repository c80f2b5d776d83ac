"""Compares two ways of doing the same thing in one run, so that the machine's mood hits both.

Yardstick (A) and product (B) take turns as A B B A. Each round gives one ratio; the
median and the spread of the ratios are the result, what was measured is shown beside them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

#: Does the thing once and says how much it took; cleaning up is not counted.
Measured = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """What every run took, in `unit`, and one ratio (product to yardstick) for each round."""

    title: str
    yardstick: tuple[float, ...]
    product: tuple[float, ...]
    ratios: tuple[float, ...]
    target: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def is_met(self) -> bool:
        return self.target is None or self.ratio <= self.target


@dataclass(frozen=True)
class Figure:
    """What has a target of its own, whatever a yardstick takes: a delay that people hear, a loss."""

    title: str
    value: float
    unit: str
    target: float | None = None

    @property
    def is_met(self) -> bool:
        return self.target is None or self.value <= self.target


Found = Comparison | Figure


def compare(
    title: str,
    *,
    yardstick: Measured,
    product: Measured,
    rounds: int,
    target: float | None = None,
    warm_up: bool = True,
    unit: str = "s",
) -> Comparison:
    """Run `rounds` times A B B A, after one uncounted run of each."""
    if warm_up:
        yardstick(), product()
    yardsticks: list[float] = []
    products: list[float] = []
    ratios: list[float] = []
    for _ in range(rounds):
        first, second, third, fourth = yardstick(), product(), product(), yardstick()
        yardsticks += [first, fourth]
        products += [second, third]
        ratios.append((second + third) / (first + fourth))
    return Comparison(title, tuple(yardsticks), tuple(products), tuple(ratios), target, unit)


def describe(found: Found) -> str:
    """In a line, while more is measured."""
    value = f"{found.ratio:.2f} times" if isinstance(found, Comparison) else f"{found.value:.3f} {found.unit}"
    return f"{found.title}: {value}"


def show(found: Iterable[Found]) -> None:
    found = tuple(found)
    compared = [each for each in found if isinstance(each, Comparison)]
    alone = [each for each in found if isinstance(each, Figure)]
    for table in (_ratios(compared), _figures(alone)):
        if table.row_count:
            Console().print(table)


def _ratios(comparisons: Iterable[Comparison]) -> Table:
    table = Table(title="Ratios: product to yardstick, median (lowest to highest)", title_justify="left")
    table.add_column("What")
    for heading in ("product", "yardstick", "ratio", "spread", "target"):
        table.add_column(heading, justify="right")
    for each in comparisons:
        table.add_row(
            each.title,
            f"{statistics.median(each.product):.3f} {each.unit}",
            f"{statistics.median(each.yardstick):.3f} {each.unit}",
            f"{each.ratio:.2f}",
            f"{min(each.ratios):.2f} to {max(each.ratios):.2f}",
            _verdict(each),
        )
    return table


def _figures(figures: Iterable[Figure]) -> Table:
    table = Table(title="Figures", title_justify="left")
    table.add_column("What")
    for heading in ("figure", "target"):
        table.add_column(heading, justify="right")
    for each in figures:
        table.add_row(each.title, f"{each.value:.3f} {each.unit}", _verdict(each))
    return table


def _verdict(found: Found) -> str:
    if found.target is None:
        return "none"
    return f"{found.target:.2f} {'met' if found.is_met else 'MISSED'}"
