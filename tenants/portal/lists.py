"""Lists of the portal: each with search, filter, sort, pages, export and an empty state."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.paginator import Paginator
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from tenants.models import TenantOwned
from tenants.portal.page import Page

PER_PAGE = 50
#: Rows of an export that are in memory at once.
ROWS = 500
#: What is typed where any number can be chosen.
NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")
#: Characters with which a spreadsheet begins a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Column:
    """A column: what stands above it, the field it is sorted by (empty: it is not), and its words in an export.

    `cell` names the block of the row's template: see `templates/portal/list.html`. Figures stand to the right.
    """

    title: str
    text: Callable[[Any], object]
    sort: str = ""
    figure: bool = False


@dataclass(frozen=True)
class Filter:
    """By what a list is narrowed: the field of the row, and what can be chosen, each with its words.

    Without choices any number can be typed.
    """

    name: str
    title: str
    field: str
    choices: Callable[[ListPage], Iterable[tuple[str, str]]] | None = None

    def offered(self, page: ListPage) -> list[tuple[str, str]] | None:
        return None if self.choices is None else list(self.choices(page))

    def takes(self, page: ListPage, chosen: str) -> bool:
        """Whether this can be chosen."""
        offered = self.offered(page)
        return NUMBER.fullmatch(chosen) is not None if offered is None else chosen in dict(offered)


@dataclass(frozen=True)
class Empty:
    """What a list says when there is nothing at all in it, and what one could do about that."""

    icon: str
    title: str
    text: str
    action: str = ""
    page: str = ""


class ListPage(Page):
    """A list of a tenant's rows. `row` is the template of one row's cells, in the order of the columns."""

    template = "portal/list.html"
    model: type[TenantOwned]
    row: str
    columns: ClassVar[tuple[Column, ...]]
    search: ClassVar[tuple[str, ...]] = ()
    filters: ClassVar[tuple[Filter, ...]] = ()
    empty: Empty
    #: Which notices of the event stream make the list look again: see `tenants/static/portal/stream.js`.
    follows: str = ""

    @property
    def empty_url(self) -> str:
        """Where `empty` leads."""
        return self.url(self.empty.page)

    def rows(self) -> QuerySet[Any]:
        """All rows that the list is about. Override it to fetch what the row's template needs."""
        return self.scope.all(self.model)

    def found(self) -> QuerySet[Any]:
        """Those that were asked for, in the order that was asked for."""
        rows = self.rows()
        for narrowing in self.filters:
            if chosen := self.request.GET.get(narrowing.name):
                taken = narrowing.takes(self, chosen)
                rows = rows.filter(**{narrowing.field: self.narrowed(narrowing, chosen)}) if taken else rows.none()
        if words := self.request.GET.get("q", "").split():
            for word in words:
                matches = [Q(**{f"{field}__icontains": word}) for field in self.search]
                rows = rows.filter(Q(*matches, _connector=Q.OR))
        order = self.request.GET.get("sort", "")
        if order.removeprefix("-") in {column.sort for column in self.columns if column.sort}:
            rows = rows.order_by(order, "pk")
        return rows

    def narrowed(self, narrowing: Filter, chosen: str) -> Any:
        """What the field is compared with when this was chosen."""
        del narrowing
        return chosen

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        match request.GET.get("format"):
            case "csv":
                return self._export("csv", "text/csv; charset=utf-8", self._lines())
            case "json":
                return self._export("json", "application/json", self._entries())
        return self.show(self.context())

    def context(self) -> Mapping[str, Any]:
        paginator = Paginator(self.found(), PER_PAGE)
        here = paginator.get_page(self.request.GET.get("page"))
        asked = any(self.request.GET.get(name) for name in ("q", *(f.name for f in self.filters)))
        return {
            "list": self,
            "rows": here,
            "pages": paginator.get_elided_page_range(here.number, on_each_side=1, on_ends=1),
            "asked": asked,
            "narrowing": [(f, f.offered(self), self.request.GET.get(f.name, "")) for f in self.filters],
        }

    def _export(self, ending: str, content_type: str, parts: Iterable[str]) -> HttpResponseBase:
        answer = StreamingHttpResponse(parts, content_type=content_type)
        answer["Content-Disposition"] = f'attachment; filename="{self.title.lower().replace(" ", "-")}.{ending}"'
        return answer

    def _entries(self) -> Iterator[str]:
        """A JSON array, an object for each row with the columns by their titles."""
        before = "["
        for row in self.found().iterator(ROWS):
            entry = {column.title: column.text(row) for column in self.columns if column.title}
            yield before + json.dumps(entry, cls=DjangoJSONEncoder)
            before = ",\n"
        yield "]" if before != "[" else "[]"

    def _lines(self) -> Iterator[str]:
        writer = csv.writer(_Echo())
        columns = [column for column in self.columns if column.title]
        yield writer.writerow([column.title for column in columns])
        for row in self.found().iterator(ROWS):
            yield writer.writerow([_harmless(column.text(row)) for column in columns])


def _harmless(value: object) -> str:
    """As text, which no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) and not isinstance(value, int | float) else text


class _Echo:
    """A file that gives back what is written."""

    def write(self, line: str) -> str:
        return line
