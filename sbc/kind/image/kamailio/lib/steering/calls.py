"""Which calls stand now, and how good their media are.

Kamailio writes its dialogs into the VNF's Redis once a second. They are read there: its control socket answers in one
datagram, which does not hold some hundred calls.
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from . import engine

#: What the routing script keeps of a call in the one variable of its dialog, tab-separated: CALL in redis/lib/sbc.lua.
FIELDS = (
    "from_trunk", "route", "emergency", "caller", "called", "started", "to_trunk", "called_out", "tried",
    "answered", "codec", "srtp_in", "srtp_out", "nat_in", "nat_out", "timer", "least_timer",
)  # fmt: skip
#: Redis' databases of tables and of dialogs.
TABLES, DIALOGS = 0, 1
#: Its key, before and after the dialog (`entry:id`).
BEFORE, AFTER = "dialog_vars:entry::", ":call"
#: Dialogs that one step of a search looks at.
PAGE = "1000"
#: What rtpengine averages over a call, in the order in which `quality` of redis/lib/sbc.lua takes it.
MEASURED = ("packet loss", "jitter", "round-trip time")

Call = dict[str, Any]


def show() -> int:
    """Print how many calls stand, and of those, the oldest first, what a page holds."""
    asked = _asked()
    with engine.Store(DIALOGS) as dialogs, engine.Store(TABLES) as tables:
        found = sorted(_standing(dialogs, asked.trunk), key=lambda call: (call["started"], call["id"]))
        page = found[asked.first : asked.first + asked.most]
        for call in page:
            call["quality"] = _quality(call, dialogs, tables) if call["answered"] else None
    print(json.dumps({"count": len(found), "calls": page}))
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--trunk", help="only calls from or to it")
    return parser.parse_args()


def _standing(dialogs: engine.Store, trunk: str | None) -> Iterator[Call]:
    keys = [key for key in _keys(dialogs) if key.endswith(AFTER)]
    for key, kept in zip(keys, dialogs.ask_all([("HGET", key, "dialog_value") for key in keys]), strict=True):
        call = _call(key[len(BEFORE) : -len(AFTER)], kept or "")
        if call and trunk in (None, call["from_trunk"], call["to_trunk"]):
            yield call


def _keys(dialogs: engine.Store) -> set[str]:
    cursor, found = "0", set[str]()
    while True:
        cursor, keys = dialogs.ask("SCAN", cursor, "MATCH", f"{BEFORE}*{AFTER}", "COUNT", PAGE)
        found.update(keys)
        if cursor == "0":
            return found


def _call(dialog: str, kept: str) -> Call | None:
    """One call as it is shown; None for what has ended, or has not been routed yet."""
    told = read(kept)
    if not told.get("started"):
        return None
    return {
        "id": name(told, dialog),
        "started": _milliseconds(told["started"]),
        "answered": _milliseconds(told.get("answered")),
        "caller": told["caller"],
        "called": told["called"],
        "from_trunk": told["from_trunk"],
        "to_trunk": told.get("to_trunk") or None,
        "codec": told.get("codec") or None,
    }


def read(kept: str) -> dict[str, str]:
    """What is kept of a call, by its names."""
    return dict(zip(FIELDS, kept.split("\t"), strict=False))


def name(told: Mapping[str, str], dialog: str) -> str:
    """The id of a call, which is the one of its record."""
    return f"{_milliseconds(told['started'])}-{dialog.replace(':', '-')}"


def _milliseconds(seconds: str | None) -> int | None:
    """A moment as Kamailio writes it (`1700000000.123456`), to the millisecond as in the record."""
    return math.floor(float(seconds) * 1000) if seconds else None


# --- quality --------------------------------------------------------------------------


def _quality(call: Call, dialogs: engine.Store, tables: engine.Store) -> dict[str, Any] | None:
    """What either end has reported of what it hears so far; None when rtpengine does not know the call."""
    _, entry, number = call["id"].split("-")
    callid = dialogs.ask("HGET", f"dialog:entry::{entry}:{number}", "callid")
    media = engine.media("query", **{"call-id": callid}) if callid else {}
    if media.get("result") != "ok":
        return None
    reported = {label: _reported(media, label) for label in ("caller", "callee")}
    return {
        label: json.loads(tables.ask("FCALL_RO", "quality", "0", call["codec"] or "", *figures)) if figures else None
        for label, figures in reported.items()
    }


def _reported(media: dict[str, Any], label: str) -> list[str]:
    """The figures of one end, as rtpengine averages what it told by RTCP; none when it told nothing."""
    sources = {
        str(stream["SSRC"])
        for tag in media["tags"].values()
        if tag.get("label") == label
        for part in tag["medias"]
        for stream in part["streams"]
        if "SSRC" in stream
    }
    averages = [media["SSRC"][source].get("average MOS") for source in sources if source in media["SSRC"]]
    told = [average for average in averages if average]
    return [f"{fmean(average[name] for average in told):.0f}" for name in MEASURED] if told else []
