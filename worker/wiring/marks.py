"""The marks by which this PoP knows its interfaces: altnames in the kernel, where the thing itself is.

A mark is written twice: as a draft (digest `-`) right after the interface was made or before
it is changed, and with its digest when it is whole. Pure text; nothing here touches an interface.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.errors import PermanentError

#: The kernel's limit for an altname (ALTIFNAMSIZ) without the final NUL.
LONGEST = 127

_ROOT = "naas"
_DRAFT = "-"


@dataclass(frozen=True)
class Mark:
    """What an interface is: `kind` is seg, uplink, wire or shaper, `key` what it belongs to.

    `digests` is empty while the thing is half made.
    """

    kind: str
    key: tuple[str, ...]
    digests: tuple[str, ...] = ()

    def draft(self) -> Mark:
        return Mark(self.kind, self.key)


#: How many parts of a mark are key, by kind.
_KEYS = {"seg": 1, "uplink": 1, "wire": 3, "shaper": 3}


def write(pop: str, mark: Mark) -> str:
    """The altname. Raises `PermanentError` when it is longer than the kernel takes."""
    altname = ":".join((_ROOT, pop, mark.kind, *mark.key, *(mark.digests or (_DRAFT,))))
    if len(altname) > LONGEST:
        raise PermanentError(f"the interface mark {altname!r} is longer than {LONGEST} characters: use shorter names")
    return altname


def read(pop: str, altnames: Iterable[str]) -> Mark | None:
    """The mark among an interface's altnames, the whole one before the draft; None when it is not this PoP's."""
    found = [mark for altname in altnames if (mark := _parse(pop, altname)) is not None]
    return max(found, key=lambda mark: len(mark.digests), default=None)


def _parse(pop: str, altname: str) -> Mark | None:
    match altname.split(":"):
        case [root, owner, kind, *rest] if root == _ROOT and owner == pop and len(rest) > _KEYS.get(kind, len(rest)):
            key, digests = tuple(rest[: _KEYS[kind]]), tuple(rest[_KEYS[kind] :])
            return Mark(kind, key, () if digests == (_DRAFT,) else digests)
    return None
