"""A value that goes over the broker or into a file as JSON, and is believed only when it is whole."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, ClassVar, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from worker.errors import PermanentError

M = TypeVar("M")


class Message:
    """What frozen dataclasses get from here: their way to JSON and back. `what` is what people call one."""

    what: ClassVar[str]

    def __init_subclass__(cls, *, what: str) -> None:
        cls.what = what

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = self._form().dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Read what `to_json` wrote. Raises `PermanentError`, which holds nothing of what was read: it may be a key."""
        try:
            return cls._form().validate_json(json.dumps(document), strict=True)
        except (ValidationError, TypeError, ValueError) as error:
            raise PermanentError(f"{cls.what} is malformed at {_places(error) or 'its top'}") from None

    @classmethod
    def _form(cls) -> TypeAdapter[Self]:
        return _adapter(cls)  # type: ignore[arg-type]  # mypy asks whether instances can be hashed, not the class


@cache
def _adapter(model: type[M]) -> TypeAdapter[M]:
    return TypeAdapter(model)


def _places(error: Exception) -> str:
    """The fields that are wrong."""
    found = error.errors(include_input=False) if isinstance(error, ValidationError) else []
    return ", ".join(".".join(map(str, each["loc"])) for each in found)
