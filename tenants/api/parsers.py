"""JSON that means one thing only, or a refusal that says where it does not.

Refused besides what is not JSON: NaN and infinities (not JSON, RFC 8259), integers beyond
64 bits, a member given twice (readers differ in which they take), nesting deeper than
`MAX_DEPTH`, NUL and lone surrogates (PostgreSQL and UTF-8 cannot hold them).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from naas.core.errors import Invalid, Problem

MAX_DEPTH = 32
INT64 = range(-(2**63), 2**63)


class StrictJson(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return parse(stream.read())


def parse(body: bytes) -> Any:
    """The document in `body`. Raises `ParseError`, or `Invalid` with paths."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise ParseError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ParseError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ParseError(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise ParseError("not JSON: a number has too many digits") from None
    problems = [Problem(path, message) for path, message in _walk(document)]
    if problems:
        raise Invalid(problems[:20])
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"not JSON: {name} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"the member {twice[:64]!r} is given twice in one object")
    return found


def _walk(document: Any) -> Iterator[tuple[str, str]]:
    """Every value that cannot be kept, with its path. A stack, not recursion: the depth is the caller's choice."""
    stack: list[tuple[str, Any, int]] = [("", document, 0)]
    while stack:
        path, value, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise ParseError(f"nested deeper than {MAX_DEPTH} levels")
        if message := _flaw(value):
            yield path, message
        elif isinstance(value, dict):
            for key, item in value.items():
                if message := _flaw(key):
                    yield path, f"a member's name is bad: {message}"
                else:
                    stack.append((f"{path}.{key}" if path else key, item, depth + 1))
        elif isinstance(value, list):
            stack.extend((f"{path}[{index}]", item, depth + 1) for index, item in enumerate(value))


def _flaw(value: object) -> str | None:
    match value:
        case str() if "\0" in value:
            return "the character NUL is not allowed"
        case str() if any("\ud800" <= character <= "\udfff" for character in value):
            return "half of a surrogate pair is not a character"
        case float() if not math.isfinite(value):
            return "this number is too large"
        case bool():
            return None
        case int() if value not in INT64:
            return "this number is too large"
    return None
