"""`python -m bench [MEASURE ...]`: measure on what is made for it (a platform, an SBC) and removed afterwards."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console

from bench import changes, events, features, force, media, orders, portal, records, samples, sbc, setup
from bench.measure import Found, describe, show
from tests.platform import Platform
from tests.routers import make_segments

#: What is measured on a private platform, and what on an SBC that stands alone.
ON_PLATFORM: dict[str, Callable[..., Iterable[Found]]] = {
    "orders": orders.measure,
    "changes": changes.measure,
    "records": records.measure,
    "force": force.measure,
    "samples": samples.measure,
    "events": events.measure,
}
ALONE: dict[str, Callable[..., Iterable[Found]]] = {
    "sbc": sbc.measure,
    "features": features.measure,
    "setup": setup.measure,
    "portal": portal.measure,
    "media": media.measure,
}
MEASURES = ON_PLATFORM | ALONE


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
    names = options.measures or list(MEASURES)
    found = [
        *measure_on_platform([name for name in names if name in ON_PLATFORM], options.rounds),
        *(each for name in names if name in ALONE for each in measure(name, rounds=options.rounds)),
    ]
    show(found)
    return int(options.strict and not all(each.is_met for each in found))


def measure_on_platform(names: list[str], rounds: int) -> list[Found]:
    if not names:
        return []
    platform = Platform()
    try:
        with Console(stderr=True).status("starting a private platform"):
            platform.start()
            make_segments(platform)
        return [each for name in names for each in measure(name, platform, rounds=rounds)]
    finally:
        platform.close()


def measure(name: str, *on: Platform, rounds: int) -> Iterator[Found]:
    console = Console(stderr=True)
    with console.status(f"measuring {name}"):
        for found in MEASURES[name](*on, rounds=rounds):
            console.print(describe(found))
            yield found


if __name__ == "__main__":
    sys.exit(main())
