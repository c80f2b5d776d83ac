"""Whether the trunks that are asked are well, from what the store keeps of their answers (redis/lib/peers.lua)."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from . import engine

#: Trunks that are named in a condition.
NAMED = 10
#: The states of a trunk, the worst first.
WORST = ("down", "degraded", "unknown", "up")

State = dict[str, Any]


def show() -> int:
    """Print how many trunks are asked, and how those fare that a page holds: what is not well first."""
    asked = _asked()
    with engine.Store() as store:
        encoded = dict(_known(store, asked.trunk))
    found = sorted((_state(name, json.loads(state)) for name, state in encoded.items()), key=_rank)
    print(json.dumps({"count": len(found), "trunks": found[asked.first : asked.first + asked.most]}))
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--trunk", default="", help="only this one")
    return parser.parse_args()


def all_answer() -> str | None:
    """None when no address of a trunk is down, otherwise which ones are, in words."""
    with engine.Store() as store:
        down: list[str] = store.ask("FCALL_RO", "down", "0")
    if not down:
        return None
    more = f" and {len(down) - NAMED} more" if len(down) > NAMED else ""
    named = (pair.partition(" ") for pair in sorted(down)[:NAMED])
    return ", ".join(f"{uri} of trunk {trunk}" for trunk, _, uri in named) + f"{more} without an answer to OPTIONS"


def all_registered() -> str | None:
    """None when the SBC is registered with all trunks that want it, otherwise with which it is not, in words."""
    with engine.Store() as store:
        answer: list[str] = store.ask("FCALL_RO", "unregistered", "0")
    if not answer:
        return None
    found = sorted(zip(answer[::2], answer[1::2], strict=True))
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    named = ", ".join(f"{trunk} ({f'answer {code}' if code != '0' else 'no answer'})" for trunk, code in found[:NAMED])
    return f"not registered with trunk {named}{more}"


def all_found() -> str | None:
    """None when every name of a trunk leads to an address, otherwise which do not, in words."""
    with engine.Store() as store:
        answer: list[str] = store.ask("FCALL_RO", "nameless", "0")
    if not answer:
        return None
    found = sorted(zip(answer[::2], answer[1::2], strict=True))
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(f"trunk {trunk}: {error}" for trunk, error in found[:NAMED]) + more


def _known(store: engine.Store, name: str) -> Iterator[tuple[str, str]]:
    """The trunks that are asked, or the one of this name, and their states as JSON. One may come twice."""
    for table in ("sbc:checks", "sbc:registrations", "sbc:names"):
        cursor = "0"
        while True:
            cursor, *found = store.ask("FCALL_RO", "peers", "0", table, cursor, name)
            yield from zip(found[::2], found[1::2], strict=True)
            if cursor == "0":
                break


def _state(name: str, known: State) -> State:
    return {"trunk": name, "state": _overall({address["state"] for address in known["addresses"]}), **known}


def _rank(trunk: State) -> tuple[bool, int, str]:
    """Those that are not well first."""
    lapsed = trunk["registration"] is not None and trunk["registration"]["state"] != "registered"
    return (not lapsed and trunk["state"] not in WORST[:2], WORST.index(trunk["state"]), trunk["trunk"])


def _overall(states: set[str]) -> str:
    """Calls get through while one address is not down."""
    if states == {"down"}:
        return "down"
    if "down" in states:
        return "degraded"
    return "up" if "up" in states else "unknown"
