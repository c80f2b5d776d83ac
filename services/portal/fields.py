"""A form for any spec: built from its JSON Schema, read back into the document that the schema describes.

Pure: schema, document and problems in, values for the template out. A field is named by its path in the document, so
that what a verb says is wrong (`ports[1].segment`) is shown where it is. What is left empty is left out of the
document: the spec's own defaults hold, and are shown where one would type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

from naas.core.errors import Problem
from services.kind import Group as Box

Schema: TypeAlias = Mapping[str, Any]

#: Fields of a group beyond the required ones that stand in the open; the others are behind "More".
OPEN_FIELDS = 3
#: Said by a choice of scalars that may be left out.
NOTHING = ""
INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
#: More characters than this are written into a field of several lines.
LONG = 1000


class Look(StrEnum):
    """How a field is shown."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    SWITCH = "switch"
    SECRET = "secret"  # noqa: S105 - a word
    LONG = "long"
    LINES = "lines"
    CHECKS = "checks"
    JSON = "json"


@dataclass(frozen=True)
class Source:
    """Where a form gets what the schema cannot say: `choices` by what a field refers to (`x-reference`), `free` values
    to propose by path, and the problems that were found."""

    choices: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    free: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()

    def said_of(self, path: str) -> tuple[str, ...]:
        return tuple(problem.message for problem in self.problems if problem.path == path)

    def said_below(self, path: str) -> bool:
        return any(
            problem.path.startswith((f"{path}.", f"{path}[")) or problem.path == path for problem in self.problems
        )


@dataclass(frozen=True)
class Input:
    """One field. `value` is what was given (a list for lines and checks), `otherwise` what holds without it."""

    path: str
    title: str
    look: Look
    value: Any = ""
    help: str = ""
    otherwise: str = ""
    required: bool = False
    choices: Sequence[tuple[str, str]] = ()
    pattern: str = ""
    minimum: int | None = None
    maximum: int | None = None
    proposal: str = ""
    problems: tuple[str, ...] = ()

    node = "input"

    @property
    def id(self) -> str:
        return _id(self.path)

    @property
    def text(self) -> str:
        return "\n".join(str(line) for line in self.value) if self.look is Look.LINES else str(self.value)

    @property
    def is_set(self) -> bool:
        return self.value not in ("", [], False, None)


@dataclass(frozen=True)
class Fields:
    """Fields that belong together. An `optional` one is there when it is switched `on`."""

    path: str
    title: str
    help: str
    shown: tuple[Node, ...]
    more: tuple[Node, ...] = ()
    optional: bool = False
    on: bool = True
    problems: tuple[str, ...] = ()
    trouble: bool = False
    node = "fields"

    @property
    def id(self) -> str:
        return _id(self.path)

    @property
    def open(self) -> bool:
        """Whether what is behind "More" is worth to be seen at once."""
        return any(_speaks(node) for node in self.more)


@dataclass(frozen=True)
class Rows:
    """A list of groups, to which some can be added and from which each can be taken."""

    path: str
    title: str
    one: str
    help: str
    rows: tuple[Fields, ...]
    least: int = 0
    most: int | None = None
    optional: bool = False
    on: bool = True
    problems: tuple[str, ...] = ()
    node = "rows"

    @property
    def id(self) -> str:
        return _id(self.path)

    @property
    def full(self) -> bool:
        return self.most is not None and len(self.rows) >= self.most


Node: TypeAlias = Input | Fields | Rows


def _id(path: str) -> str:
    return "f-" + re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")


def _speaks(node: Node) -> bool:
    match node:
        case Input():
            return node.is_set or bool(node.problems)
        case Rows():
            return bool(node.rows) or bool(node.problems)
    return node.trouble or (node.optional and node.on) or any(_speaks(part) for part in (*node.shown, *node.more))


# --- a document as a form -----------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """The form of a whole spec, box by box."""

    boxes: tuple[tuple[Box, tuple[Node, ...]], ...]
    problems: tuple[str, ...] = ()


def build(schema: Schema, layout: Iterable[Box], document: Mapping[str, Any], source: Source) -> Page:
    """The form of a document. What the layout does not name stands in a last box."""
    layout = list(layout)
    named = {name for box in layout for name in box.fields}
    rest = tuple(name for name in schema["properties"] if name not in named)
    if rest:
        layout.append(Box("Other settings", rest))
    builder = _Builder(schema, source)
    boxes = tuple(
        (
            box,
            tuple(builder.property(schema, name, document, "") for name in box.fields if name in schema["properties"]),
        )
        for box in layout
    )
    known = {path for _, nodes in boxes for node in nodes for path in _paths(node)}
    lost = tuple(f"{p.path}: {p.message}" if p.path else p.message for p in source.problems if p.path not in known)
    return Page(boxes, lost)


def _paths(node: Node) -> Iterator[str]:
    yield node.path
    match node:
        case Fields():
            for part in (*node.shown, *node.more):
                yield from _paths(part)
        case Rows():
            for row in node.rows:
                yield from _paths(row)
        case Input(look=Look.LINES | Look.CHECKS):
            yield from (f"{node.path}[{position}]" for position in range(len(node.value)))


class _Builder:
    def __init__(self, root: Schema, source: Source) -> None:
        self.root = root
        self.source = source

    def property(self, parent: Schema, name: str, document: Any, path: str) -> Node:
        given = document.get(name) if isinstance(document, Mapping) else None
        outer, inner, nullable = _resolve(parent["properties"][name], self.root)
        required = name in parent.get("required", ())
        return self.node(outer, inner, given, f"{path}.{name}" if path else name, _title(name), required, nullable)

    def node(
        self, outer: Schema, inner: Schema, given: Any, path: str, title: str, required: bool, nullable: bool
    ) -> Node:
        said = {
            "help": outer.get("description") or inner.get("description", ""),
            "problems": self.source.said_of(path),
        }
        if inner.get("type") == "object" and "properties" in inner:
            return self.fields(inner, given, path, title, optional=nullable, **said)
        if inner.get("type") == "array" and not _is_scalar(_resolve(inner["items"], self.root)[1]):
            return self.rows(inner, given, path, title, optional=nullable, **said)
        made = self.input(outer, inner, given, path, title, required)
        problems = made.problems
        if made.look in (Look.LINES, Look.CHECKS):
            problems += tuple(
                f"{value}: {words}"
                for i, value in enumerate(made.value)
                for words in self.source.said_of(f"{path}[{i}]")
            )
        return replace(made, problems=problems)

    def fields(
        self, schema: Schema, given: Any, path: str, title: str, *, optional: bool, help: str, problems: tuple[str, ...]
    ) -> Fields:
        nodes = [self.property(schema, name, given, path) for name in schema["properties"]]
        needed = set(schema.get("required", ()))
        names = list(schema["properties"])
        first = [n for n in names if n in needed]
        first += [n for n in names if n not in needed][: max(OPEN_FIELDS, 6 - len(first))]
        shown = tuple(node for name, node in zip(names, nodes, strict=True) if name in first)
        more = tuple(node for name, node in zip(names, nodes, strict=True) if name not in first)
        if len(more) == 1:
            shown, more = (*shown, *more), ()
        on = given is not None if optional else True
        return Fields(path, title, help, shown, more, optional, on, problems, self.source.said_below(path))

    def rows(
        self, schema: Schema, given: Any, path: str, title: str, *, optional: bool, help: str, problems: tuple[str, ...]
    ) -> Rows:
        _, item, _ = _resolve(schema["items"], self.root)
        one = _one_of(title)
        entries = given if isinstance(given, list) else []
        least = int(schema.get("minItems", 0))
        if given is None and least and not optional:
            entries = [{} for _ in range(least)]
        rows = tuple(
            self.fields(
                item,
                entry,
                f"{path}[{position}]",
                _row_title(one, position, entry),
                optional=False,
                help="",
                problems=self.source.said_of(f"{path}[{position}]"),
            )
            for position, entry in enumerate(entries)
        )
        on = given is not None if optional else True
        return Rows(path, title, one, help, rows, least, schema.get("maxItems"), optional, on, problems)

    def input(self, outer: Schema, inner: Schema, given: Any, path: str, title: str, required: bool) -> Input:
        default = outer.get("default", inner.get("default"))
        # What a field refers to may be said where it is used, and may be too much to be listed.
        if "x-reference" in outer:
            inner = {**inner, "x-reference": outer["x-reference"]}
        look = _look(inner, self.root)
        if look is Look.CHOICE and "enum" not in inner and inner["x-reference"] not in self.source.choices:
            look = Look.TEXT
        made = Input(
            path=path,
            title=title,
            look=look,
            value=given if given is not None else "",
            help=outer.get("description") or inner.get("description", ""),
            otherwise=_otherwise(default, inner),
            required=required,
            proposal=self.source.free.get(path, ""),
            problems=self.source.said_of(path),
        )
        match made.look:
            case Look.NUMBER:
                return replace(made, minimum=inner.get("minimum"), maximum=inner.get("maximum"))
            case Look.SWITCH:
                return replace(made, value=bool(default) if given is None else bool(given))
            case Look.LINES:
                return replace(made, value=given if isinstance(given, list) else [])
            case Look.CHECKS:
                words = tuple((str(v), str(v)) for v in _resolve(inner["items"], self.root)[1]["enum"])
                return replace(made, choices=words, value=given if isinstance(given, list) else [])
            case Look.JSON:
                return replace(made, value="" if given is None else json.dumps(given, indent=2))
            case Look.CHOICE:
                return replace(made, choices=self.choices(inner, default, required, given))
        return replace(made, pattern=inner.get("pattern", ""))

    def choices(self, inner: Schema, default: Any, required: bool, given: Any) -> tuple[tuple[str, str], ...]:
        if "enum" in inner:
            listed = tuple((str(value), str(value)) for value in inner["enum"])
        else:
            listed = tuple(self.source.choices.get(inner["x-reference"], ()))
            if given and given not in dict(listed):
                listed = (*listed, (str(given), str(given)))
        usual = f"{default} (as usual)" if default not in (None, "") else "none"
        first = (NOTHING, "choose") if required else (NOTHING, usual)
        return (first, *listed)


def _resolve(schema: Schema, root: Schema) -> tuple[Schema, Schema, bool]:
    """What stands at a place, the type in it, and whether there may be nothing."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    nullable = len(choices) < len(schema.get("anyOf", ()))
    inner = choices[0] if len(choices) == 1 else schema
    if "$ref" in inner:
        inner = root["$defs"][inner["$ref"].rpartition("/")[2]]
    return schema, inner, nullable


def resolved(schema: Schema, root: Schema) -> Schema:
    """The type that stands at a place, its references followed."""
    return _resolve(schema, root)[1]


def _is_scalar(schema: Schema) -> bool:
    return schema.get("type") in ("string", "integer", "number", "boolean")


def _look(schema: Schema, root: Schema) -> Look:
    match schema.get("type"):
        case "boolean":
            return Look.SWITCH
        case "integer":
            return Look.NUMBER
        case "array":
            return Look.CHECKS if "enum" in _resolve(schema["items"], root)[1] else Look.LINES
        case "string":
            if schema.get("format") == "password":
                return Look.SECRET
            if "enum" in schema or "x-reference" in schema:
                return Look.CHOICE
            return Look.LONG if schema.get("maxLength", 0) > LONG else Look.TEXT
    return Look.JSON


def _otherwise(default: Any, schema: Schema) -> str:
    if default not in (None, "", [], {}) and not isinstance(default, bool | list | dict):
        return str(default)
    examples = schema.get("examples") or schema.get("items", {}).get("examples") or ()
    return f"such as {examples[0]}" if examples else ""


def _title(name: str) -> str:
    words = name.replace("_", " ")
    return ABBREVIATED.sub(lambda found: ABBREVIATIONS[found[0]], words[:1].upper() + words[1:])


ABBREVIATIONS = {
    **{word: word.upper() for word in ("bgp", "nat", "tls", "asn", "bfd", "id", "med", "srtp", "dns")},
    **{word.capitalize(): word.upper() for word in ("bgp", "nat", "tls", "asn", "bfd", "id", "med", "srtp", "dns")},
    "ebgp": "eBGP",
    "Ebgp": "eBGP",
}
ABBREVIATED = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\b")


def _one_of(title: str) -> str:
    """ "Static routes" is a list of each a "static route"."""
    words = title[:1].lower() + title[1:] if title[:2] != title[:2].upper() else title
    for many, one in (("sses", "ss"), ("ies", "y"), ("s", "")):
        if words.endswith(many):
            return words.removesuffix(many) + one
    return words


def _row_title(one: str, position: int, entry: Any) -> str:
    named = entry if isinstance(entry, Mapping) else {}
    name = next((str(named[key]) for key in ("name", "address", "destination", "host") if named.get(key)), "")
    return f"{one.capitalize() if one.islower() else one} {name or position + 1}"


# --- a form as a document -----------------------------------------------------------------


def read(schema: Schema, data: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The document that was typed. What cannot be a number stays text, so that the spec says what is wrong with it."""
    made: dict[str, Any] = _Reader(schema, data).object(schema, "")
    return made


class _Reader:
    def __init__(self, root: Schema, data: Mapping[str, Sequence[str]]) -> None:
        self.root = root
        self.data = data

    def object(self, schema: Schema, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, place in schema["properties"].items():
            below = f"{path}.{name}" if path else name
            outer, inner, nullable = _resolve(place, self.root)
            value = self.value(outer, inner, below, nullable)
            if value is not None:
                found[name] = value
        return found

    def value(self, outer: Schema, inner: Schema, path: str, nullable: bool) -> Any:
        """What was given, None where nothing was."""
        if inner.get("type") == "object" and "properties" in inner:
            if nullable and not self.has(f"{path}.on"):
                return None
            return self.object(inner, path) or ({} if nullable else None)
        if inner.get("type") == "array" and not _is_scalar(_resolve(inner["items"], self.root)[1]):
            return self.rows(inner, path, nullable)
        return self.scalar(outer, inner, path)

    def rows(self, schema: Schema, path: str, nullable: bool) -> list[Any] | None:
        if nullable and not self.has(f"{path}.on"):
            return None
        _, item, _ = _resolve(schema["items"], self.root)
        count = self.first(f"{path}.rows")
        number = int(count) if count.isdecimal() and len(count) < 5 else 0
        most = int(schema.get("maxItems", 1000))
        rows = [self.object(item, f"{path}[{position}]") for position in range(min(number, most))]
        return rows if rows or nullable else None

    def scalar(self, outer: Schema, inner: Schema, path: str) -> Any:
        match _look(inner, self.root):
            case Look.SWITCH:
                on = self.has(path)
                return None if on == bool(outer.get("default", False)) else on
            case Look.CHECKS:
                return [word for word in self.data.get(path, ()) if word] or None
            case Look.LINES:
                lines = [line.strip() for line in self.first(path).splitlines() if line.strip()]
                typed = _resolve(inner["items"], self.root)[1].get("type")
                return [_number(line) if typed == "integer" else line for line in lines] or None
            case Look.NUMBER:
                text = self.first(path).strip()
                return _number(text) if text else None
            case Look.JSON:
                return _json(self.first(path))
            case Look.SECRET | Look.LONG:
                return self.first(path).replace("\r\n", "\n") or None
        return self.first(path).strip() or None

    def has(self, path: str) -> bool:
        return bool(self.data.get(path))

    def first(self, path: str) -> str:
        values = self.data.get(path) or ("",)
        return values[0]


def _number(text: str) -> int | str:
    return int(text) if INTEGER.fullmatch(text) else text


def _json(text: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- rows that come and go ----------------------------------------------------------------

PART = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


def add(document: dict[str, Any], path: str) -> None:
    """Append an empty entry to the list at a path, which is made where it is not there."""
    place = _walk(document, path, make=True)
    if place is None:
        return
    container, last = place
    if isinstance(container, dict) and isinstance(last, str):
        entries = container.setdefault(last, [])
        if isinstance(entries, list):
            entries.append({})


def remove(document: dict[str, Any], path: str) -> None:
    """Take the entry at a path out of its list. Not finding it is success."""
    place = _walk(document, path, make=False)
    if place is None:
        return
    container, last = place
    if isinstance(container, list) and isinstance(last, int) and last < len(container):
        del container[last]


def _walk(document: Any, path: str, *, make: bool) -> tuple[Any, str | int] | None:
    """What holds the last part of a path, and that part; None where the path leads nowhere."""
    parts: list[str | int] = [name or int(position) for name, position in PART.findall(path)]
    for part in parts[:-1]:
        if isinstance(document, dict) and isinstance(part, str) and (make or part in document):
            document = document.setdefault(part, {})
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return None
    return (document, parts[-1]) if parts else None
