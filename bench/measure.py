"""Compares two ways of doing the same thing in one run, so that the machine's mood hits both.

Yardstick (A) and product (B) take turns as A B B A. Each round gives one ratio; the
median and the spread of the ratios are the result, seconds are shown beside them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

#: Does the thing once and says how many seconds it took; cleaning up is not counted.
Timed = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """Seconds of every run, and one ratio (product to yardstick) for each round."""

    title: str
    yardstick: tuple[float, ...]
    product: tuple[float, ...]
    ratios: tuple[float, ...]
    target: float | None = None

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def is_met(self) -> bool:
        return self.target is None or self.ratio <= self.target


def compare(
    title: str, *, yardstick: Timed, product: Timed, rounds: int, target: float | None = None, warm_up: bool = True
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
    return Comparison(title, tuple(yardsticks), tuple(products), tuple(ratios), target)


def show(comparisons: Iterable[Comparison]) -> None:
    table = Table(title="Ratios: product to yardstick, median (lowest to highest)", title_justify="left")
    table.add_column("What")
    for heading in ("product, s", "yardstick, s", "ratio", "spread", "target"):
        table.add_column(heading, justify="right")
    for each in comparisons:
        table.add_row(
            each.title,
            f"{statistics.median(each.product):.3f}",
            f"{statistics.median(each.yardstick):.3f}",
            f"{each.ratio:.2f}",
            f"{min(each.ratios):.2f} to {max(each.ratios):.2f}",
            _verdict(each),
        )
    Console().print(table)


def _verdict(comparison: Comparison) -> str:
    if comparison.target is None:
        return "none"
    return f"{comparison.target:.2f} {'met' if comparison.is_met else 'MISSED'}"
