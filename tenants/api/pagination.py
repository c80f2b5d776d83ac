"""Lists in pages: `?limit=` and `?offset=`, answered with the total and links to the neighbours."""

from __future__ import annotations

from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

from naas.core.errors import Invalid, Problem

#: No list is longer than this; a larger offset is a mistake, and databases overflow on it.
FARTHEST = 10_000_000


class Pages(LimitOffsetPagination):
    default_limit = 50
    max_limit = 200

    def get_limit(self, request: Request) -> int:
        asked = _number(request, "limit", 1)
        return self.default_limit if asked is None else min(asked, self.max_limit)

    def get_offset(self, request: Request) -> int:
        return _number(request, "offset", 0) or 0


def _number(request: Request, name: str, least: int) -> int | None:
    """The query parameter as a number; None when it is not given. Raises `Invalid`."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and least <= int(text) <= FARTHEST):
        raise Invalid([Problem(name, f"a whole number from {least} to {FARTHEST} is needed")])
    return int(text)
