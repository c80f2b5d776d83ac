"""What the PoP needs from the database of a VNF: the tables, which the core writes, and the records of the VNF.

Every method raises `TemporaryError` while the database does not answer. What comes out of it
is the VNF's text: nothing here reads a record's body.
"""

from __future__ import annotations

import re
from typing import Protocol

from worker.errors import PermanentError
from worker.report import Record, TableChange

_ID = re.compile(r"(\d{1,20})-(\d{1,20})")


def place(id: str) -> tuple[int, int]:
    """A record's id as what tells which of two comes first. Raises `PermanentError` when it is none."""
    found = _ID.fullmatch(id)
    if found is None:
        raise PermanentError(f"{id[:64]!r} is not the id of a record")
    return int(found[1]), int(found[2])


class Tables(Protocol):
    """An open database. Used by one thread at a time."""

    def revision(self) -> int:
        """The revision of the tables; 0 when they are empty."""

    def apply(self, change: TableChange) -> int:
        """Carry out all of the change, when its base is the revision that is there; else nothing.

        Says the revision afterwards. Raises `PermanentError`, and nothing was changed, when a command is refused.
        Two changes of one database must not be applied at once.
        """

    def records(self, after: str, most: int) -> tuple[Record, ...]:
        """At most so many of the records after the one of id `after`, oldest first; with '' from the first."""

    def forget(self, upto: str) -> None:
        """Remove the records up to and with the one of this id. Not finding any is success."""

    def close(self) -> None:
        """Let go of the connection. The next use makes one again."""
