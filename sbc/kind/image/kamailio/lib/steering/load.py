"""How much an SBC has to do: the calls that stand, and how those ended that did since it was asked last."""

import json
from collections import defaultdict
from collections.abc import Mapping

from . import engine

#: What stands for all trunks together.
ALL = "*"
#: Trunks whose values are told: all where there are no more, otherwise the busiest.
MOST_TRUNKS = 20
#: Fields of what is counted that are no way to end.
ANSWERED, HEARD, MOS = "answered", "heard", "mos"

Counts = Mapping[str, int]


def show() -> int:
    """Print how many calls stand, in all and by trunk."""
    counts = standing()
    print(json.dumps({"calls": counts.pop(ALL, 0), "trunks": counts}))
    return 0


def standing() -> dict[str, int]:
    """Calls that are counted against limits now, by trunk, without the platform's own trunks."""
    slots = engine.rpc("htable.dump", "calls") or []
    counted = {item["name"]: int(item["value"]) for slot in slots for item in slot["slot"]}
    return {name: count for name, count in counted.items() if ":" not in name and count > 0}


def values() -> dict[str, float]:
    """What is measured, by name and trunk. Rates are of the calls that ended since this was asked last."""
    now = standing()
    with engine.Store() as store:
        passed, *pairs = store.ask("FCALL", "pace", "0")
        named = store.ask("HKEYS", "sbc:trunks") if store.ask("HLEN", "sbc:trunks") <= 2 * MOST_TRUNKS else []
    seconds = int(passed) / 1000 if passed else 0.0
    ended = _by_trunk(pairs)
    known = {name for name in (*named, *now, *ended) if ":" not in name} - {ALL}
    busiest = sorted(known, key=lambda name: (-now.get(name, 0), -sum(ended[name].values()), name))[:MOST_TRUNKS]
    found = _values("calls", "", now.get(ALL, 0), ended[ALL], seconds)
    for name in busiest:
        found |= _values("trunk", f"/{name}", now.get(name, 0), ended[name], seconds)
    return found


def _by_trunk(pairs: list[str]) -> defaultdict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for field, count in zip(pairs[::2], pairs[1::2], strict=True):
        trunk, _, how = field.partition(" ")
        found[trunk][how] = int(count)
    return found


def _values(of: str, label: str, now: int, counts: Counts, seconds: float) -> dict[str, float]:
    found: dict[str, float] = {f"{of}.now{label}": now}
    if seconds <= 0:
        return found
    failed = {how: count for how, count in counts.items() if how not in (ANSWERED, HEARD, MOS)}
    answered, lost = counts.get(ANSWERED, 0), sum(failed.values())
    for name, count in (("attempts", answered + lost), (ANSWERED, answered), ("failed", lost)):
        found[f"{of}.{name}{label}"] = count / seconds
    for cause, count in failed.items():
        found[f"{of}.failed.{cause.replace('-', '_')}{label}"] = count / seconds
    if answered + lost:
        found[f"{of}.ratio{label}"] = 100 * answered / (answered + lost)
    if counts.get(HEARD):
        found[f"{of}.mos{label}"] = counts[MOS] / counts[HEARD] / 100
    return found
