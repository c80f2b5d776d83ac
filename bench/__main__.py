"""`python -m bench [MEASURE ...]`: measure on a private platform that is made for it and removed afterwards."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from rich.console import Console

from bench import changes, orders, records, sbc
from bench.measure import Comparison, show
from tests.platform import Platform
from tests.routers import make_segments

Measure = Callable[..., list[Comparison]]
MEASURES: dict[str, Measure] = {
    "orders": orders.measure,
    "changes": changes.measure,
    "sbc": sbc.measure,
    "records": records.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="|".join(MEASURES), help="default: all")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of yardstick, product, product, yardstick")
    parser.add_argument("--strict", action="store_true", help="end with status 1 when a target is missed")
    options = parser.parse_args()
    if unknown := set(options.measures) - set(MEASURES):
        parser.error(f"there is no measure {', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    if os.geteuid() != 0:
        parser.error("containers and network namespaces need root: run this as root")
    found = measure(options.measures or list(MEASURES), options.rounds)
    show(found)
    return int(options.strict and not all(comparison.is_met for comparison in found))


def measure(names: list[str], rounds: int) -> list[Comparison]:
    platform = Platform()
    try:
        with Console(stderr=True).status("starting a private platform"):
            platform.start()
            make_segments(platform)
        found: list[Comparison] = []
        for name in names:
            with Console(stderr=True).status(f"measuring {name}"):
                found += MEASURES[name](platform, rounds=rounds)
        return found
    finally:
        platform.close()


if __name__ == "__main__":
    sys.exit(main())
