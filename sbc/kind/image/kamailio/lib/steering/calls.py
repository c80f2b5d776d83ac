"""Which calls stand now, from Kamailio's dialogs."""

import json
from collections.abc import Iterator
from typing import Any

from . import engine

#: What the routing script keeps of a call in the one variable of its dialog, tab-separated: CALL in redis/lib/sbc.lua.
FIELDS = (
    "from_trunk", "route", "emergency", "caller", "called", "started", "to_trunk", "called_out", "tried",
    "answered", "codec", "srtp_in", "srtp_out",
)  # fmt: skip
#: A dialog that has been answered (4: confirmed); one that is over stays listed for some seconds.
ANSWERED, OVER = (3, 4), 5


def show() -> int:
    """Print the calls that stand, the oldest first. Quality is told when a call has ended, in its record."""
    found = (call for dialog in engine.rpc("dlg.list") or [] if (call := _call(dialog)) is not None)
    print(json.dumps(sorted(found, key=lambda call: (call["started"], call["id"]))))
    return 0


def _call(dialog: dict[str, Any]) -> dict[str, Any] | None:
    """One call as it is shown; None for what is over, or has not been routed yet."""
    kept = next(_kept(dialog), "")
    told = dict(zip(FIELDS, kept.split("\t"), strict=False))
    if dialog["state"] >= OVER or not told.get("started"):
        return None
    return {
        "id": f"{dialog['h_entry']}-{dialog['h_id']}",
        "started": _milliseconds(told["started"]),
        "answered": _milliseconds(told.get("answered")) if dialog["state"] in ANSWERED else None,
        "caller": told["caller"],
        "called": told["called"],
        "from_trunk": told["from_trunk"],
        "to_trunk": told.get("to_trunk") or None,
        "codec": told.get("codec") or None,
        "quality": None,
    }


def _kept(dialog: dict[str, Any]) -> Iterator[str]:
    for variable in dialog.get("variables") or ():
        if "call" in variable:
            yield variable["call"]


def _milliseconds(seconds: str | None) -> int | None:
    """A moment as Kamailio writes it (`1700000000.123456`)."""
    return round(float(seconds) * 1000) if seconds else None
