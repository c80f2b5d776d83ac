"""Ending a call that stands: both sides get a BYE, or, before an answer, the called one a CANCEL."""

import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import calls, engine

#: Kamailio's states of a dialog that was answered, and the one in which it is over.
ANSWERED, OVER = (3, 4), 5
#: Dialogs that Kamailio is asked for at once: its answer is one datagram.
MOST_AT_ONCE = 100
#: Seconds within which a call that was answered is in the store.
WRITTEN_WITHIN = 3
#: What the record of a call says that was ended here.
CAUSE = "ended-by-tenant"


class Dialog(NamedTuple):
    """A dialog of Kamailio; before an answer with Call-ID and CSeq of its INVITE."""

    entry: str
    number: str
    invite: tuple[str, str] | None = None


def end() -> int:
    """End the call whose id is given. Prints why not when there is no such call."""
    wanted = sys.argv[1]
    dialog = _find(wanted)
    if dialog is None:
        print(f"there is no call {wanted}")
        return 1
    # First, for both sides may have answered before this is back.
    engine.rpc("htable.sets", "ending", f"{dialog.entry}:{dialog.number}", CAUSE)
    try:
        _end(dialog)
    except engine.Refused:
        print(f"the call {wanted} has just ended")
        return 1
    return 0


def _end(dialog: Dialog) -> None:
    if dialog.invite:
        engine.rpc("tm.cancel", *dialog.invite)
    else:
        engine.rpc("dlg.end_dlg", int(dialog.entry), int(dialog.number))


def _find(wanted: str) -> Dialog | None:
    """The dialog of a call. The store knows those answered a second ago and longer; Kamailio is asked for others."""
    parts = wanted.split("-")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    _, entry, number = parts
    with engine.Store(calls.DIALOGS) as store:
        told = calls.read(store.ask("HGET", f"{calls.BEFORE}{entry}:{number}{calls.AFTER}", "dialog_value") or "")
    if told.get("answered") and calls.name(told, f"{entry}:{number}") == wanted:
        return Dialog(entry, number)
    return next((dialog for name, dialog in _newest() if name == wanted), None)


def _newest() -> Iterator[tuple[str, Dialog]]:
    """Calls without an answer, and those answered just now, with their ids."""
    for dialog in (*_dialogs("lt", 1), *_dialogs("gt", int(time.time()) - WRITTEN_WITHIN)):
        variables = dialog.get("variables") or ()
        told = calls.read(next((variable["call"] for variable in variables if "call" in variable), ""))
        if dialog["state"] < OVER and told.get("started"):
            entry, number = str(dialog["h_entry"]), str(dialog["h_id"])
            invite = None if dialog["state"] in ANSWERED else (dialog["call-id"], str(dialog["caller"]["cseq"]))
            yield calls.name(told, f"{entry}:{number}"), Dialog(entry, number, invite)


def _dialogs(comparison: str, second: int) -> list[dict[str, Any]]:
    """Dialogs by the second of their answer, which is 0 before it."""
    try:
        found: list[dict[str, Any]] = engine.rpc("dlg.list_match", "start_ts", comparison, str(second), MOST_AT_ONCE)
    except engine.Refused:  # there is none
        return []
    return found
