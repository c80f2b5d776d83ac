"""What the verbs ask of a section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Generic, TypeVar

from naas.core.errors import Problem
from sbc.kind.compile import World
from sbc.kind.entries import Entry
from sbc.models.configuration import Named
from services.kind import Spec
from services.models import ServiceInstance

S = TypeVar("S", bound=Spec)
R = TypeVar("R", bound=Named)
#: What rows have in common whose entries are written together.
Place = tuple[object, ...]


class Section(Generic[S, R]):
    """One kind of document. `noun` is what people call one, `verb` begins the verbs of the audit trail, `most` is
    how many an SBC can have.
    """

    noun: ClassVar[str]
    verb: ClassVar[str]
    most: ClassVar[int]
    spec: type[S]
    model: type[R]

    def name(self, spec: S) -> str:
        raise NotImplementedError

    def problems(self, instance: ServiceInstance, spec: S, here: World, row: R | None) -> Iterator[Problem]:
        """What of `spec` does not agree with the rest of the configuration; `row` is what it replaces."""
        raise NotImplementedError

    def columns(self, instance: ServiceInstance, spec: S) -> dict[str, Any]:
        """What is kept beside the document, once there are no problems."""
        raise NotImplementedError

    def relate(self, row: R, spec: S) -> None:
        """Write the rows that hang on this one, in place of those that did."""

    def users(self, row: R) -> Iterable[str]:
        """Who would be left without the row, as people call them."""
        return ()

    def place(self, row: R) -> Place:
        """Where the entries of the row are; other rows may have theirs there too."""
        raise NotImplementedError

    def entries(self, instance: ServiceInstance, place: Place, here: World) -> tuple[Entry, ...]:
        """The entries of a place, by the rows as they are now."""
        raise NotImplementedError
