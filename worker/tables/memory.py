"""Tables in memory: what `worker.tables.base.Tables` promises, without a database.

It ships, and holds to the same contract suite as the Redis driver. `note` does what the VNF does to
the real one, `lose` and `away` what the world does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field

from worker.errors import PermanentError, TemporaryError
from worker.report import Record, TableChange
from worker.tables.base import place


@dataclass
class Contents:
    """The tables by key: hashes and sets. A key is one of them."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)


class MemoryTables:
    """Keys of tables begin with `prefix`. `away` says why nothing answers, '' while it does."""

    def __init__(self, prefix: str = "sbc:") -> None:
        self.contents = Contents()
        self.away = ""
        self._prefix = prefix
        self._revision = 0
        self._records: dict[tuple[int, int], Record] = {}
        self._numbers = itertools.count(1)

    def note(self, key: str, body: str) -> str:
        """Write a record down; says its id."""
        number = next(self._numbers)
        self._records[1, number] = Record(f"1-{number}", key, body)
        return f"1-{number}"

    def lose(self) -> None:
        """Everything is gone, as after the volume was lost."""
        self.contents, self._revision, self._records = Contents(), 0, {}

    # --- the protocol ---

    def revision(self) -> int:
        self._answer()
        return self._revision

    def apply(self, change: TableChange) -> int:
        self._answer()
        if change.base is None or change.base == self._revision:
            before = Contents() if change.base is None else deepcopy(self.contents)
            self.contents = _changed(before, change.commands, self._prefix)
            self._revision = change.revision
        return self._revision

    def records(self, after: str, most: int) -> tuple[Record, ...]:
        self._answer()
        later = [record for at, record in sorted(self._records.items()) if not after or at > place(after)]
        return tuple(later[:most])

    def forget(self, upto: str) -> None:
        self._answer()
        last = place(upto)
        self._records = {at: record for at, record in self._records.items() if at > last}

    def close(self) -> None:
        """There is nothing to let go of."""

    def _answer(self) -> None:
        if self.away:
            raise TemporaryError(self.away, delay=1)


def _changed(contents: Contents, commands: Iterable[tuple[str, ...]], prefix: str) -> Contents:
    for number, command in enumerate(commands, 1):
        if not all(key.startswith(prefix) for key in _keys(command)):
            raise PermanentError(f"command {number} is about no table")
        if not _run(contents, command):
            raise PermanentError(f"command {number} changes no table, lacks arguments or is for one of another kind")
    return contents


def _keys(command: tuple[str, ...]) -> tuple[str, ...]:
    return command[1:] if command[:1] == ("DEL",) else command[1:2]


def _run(contents: Contents, command: tuple[str, ...]) -> bool:
    """Carry out one command. Says whether it is one that can be."""
    hashes, sets = contents.hashes, contents.sets
    match command:
        case ("HSET", key, *pairs) if pairs and len(pairs) % 2 == 0 and key not in sets:
            hashes.setdefault(key, {}).update(zip(pairs[::2], pairs[1::2], strict=True))
        case ("HDEL", key, *names) if names and key not in sets:
            hashes[key] = {name: value for name, value in hashes.get(key, {}).items() if name not in names}
        case ("SADD", key, *members) if members and key not in hashes:
            sets.setdefault(key, set()).update(members)
        case ("SREM", key, *members) if members and key not in hashes:
            sets[key] = sets.get(key, set()) - set(members)
        case ("DEL", *keys) if keys:
            contents.hashes = {key: table for key, table in hashes.items() if key not in keys}
            contents.sets = {key: table for key, table in sets.items() if key not in keys}
        case _:
            return False
    return True
