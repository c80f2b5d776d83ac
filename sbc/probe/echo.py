"""An echo on its own, for the far end of a lab: answers calls until it is told to end (SIGTERM, SIGINT)."""

from __future__ import annotations

import signal
import sys

from sbc.probe.arguments import parse_echo
from sbc.probe.call import Wanted
from sbc.probe.phone import Phone, PhoneError

#: Seconds after which a call to end is noticed.
_PATIENCE = 0.2


def main() -> int:
    line, credentials = parse_echo(sys.argv[1:])
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: told.append(number))
    with Phone(Wanted.codecs) as phone:
        try:
            phone.line(line, credentials, answers=True)
        except PhoneError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        sys.stdout.write(f"answering at {line.address} over {line.transport.upper()}\n")
        sys.stdout.flush()
        while not phone.wait(lambda: bool(told), _PATIENCE):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
