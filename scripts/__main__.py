"""The verbs behind the Makefile: `python -m scripts up`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from scripts import console, down, images, pins, suites, up
from scripts.errors import SetupError
from scripts.place import Place, find_place

Verb = Callable[[Place], int | None]


def build_images(place: Place) -> None:
    place.make()
    with console.step("Images") as running:
        images.build_all(place, running)


VERBS: dict[str, Verb] = {
    "up": up.up,
    "down": down.down,
    "clean": down.clean,
    "images": build_images,
    "test": suites.test,
    "screenshots": suites.screenshots,
    "pins": pins.renew,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts", description=__doc__)
    parser.add_argument("verb", choices=VERBS)
    options = parser.parse_args(arguments)
    try:
        return VERBS[options.verb](find_place()) or 0
    except SetupError as error:
        console.say_failure(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
