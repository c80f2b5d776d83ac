"""Which sources are not heard, and hearing them again."""

import json
import sys

from . import engine


def show() -> int:
    """Print the bans in force, those that end last first: address, reason and until (Unix seconds)."""
    found = sorted(engine.rpc("guard.bans") or [], key=lambda ban: (-ban["until"], ban["address"]))
    print(json.dumps([{name: ban[name] for name in ("address", "reason", "until")} for ban in found]))
    return 0


def lift() -> int:
    """Lift the ban of the address given. That there is none is success, and said."""
    try:
        engine.rpc("guard.lift", sys.argv[1])
    except engine.Refused as reason:
        print(reason)
    return 0
