"""What a kind of network function is: the contract between the platform and `services.kinds`.

A kind turns a spec (what the customer ordered) and a context (what the platform resolved
for it: ports, addresses, size) into VNF values. It is pure: it reads no database, no clock
and no environment, so the same values always render the same files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from naas.core.errors import Problem
from worker.errors import NaasError
from worker.topology import Vnf


class Spec(BaseModel):
    """Base of every spec and of every part of one: strict types, unknown fields refused, values frozen.

    Secrets are `pydantic.SecretStr`: they are encrypted in the database and masked in answers.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class SpecError(NaasError):
    """The spec is well-formed but cannot be rendered; every problem found is listed, with its path in the spec."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{p.path}: {p.message}" for p in problems))
        self.problems = problems


def problems_of(error: ValidationError, model: type[BaseModel] | None = None) -> tuple[Problem, ...]:
    """What pydantic found wrong, by field path: the location `("ports", 1, "segment")` is `ports[1].segment`.

    With the `model` that refused, the words tell which fields there are and show the example that a field publishes.
    """
    details = error.errors(include_url=False, include_input=False)
    schema = model.model_json_schema() if model else {}
    return tuple(
        Problem(_path(detail["loc"]), _said(detail, schema))
        for detail in details
        if not _follows_from_another(detail, details)
    )


def _follows_from_another(detail: ErrorDetails, details: Iterable[ErrorDetails]) -> bool:
    """Whether a list is only found too short because what is wrong in it was not counted."""
    length = len(detail["loc"])
    inside = (other["loc"] for other in details if len(other["loc"]) > length)
    return detail["type"] == "too_short" and any(location[:length] == detail["loc"] for location in inside)


def _said(detail: ErrorDetails, schema: Mapping[str, Any]) -> str:
    """pydantic's words, but for those that speak of Python or of a pattern alone."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            places = _places(schema, schema, detail["loc"][:-1])
            known = ", ".join(dict.fromkeys(name for place in places for name in place.get("properties", ())))
            return f"there is no such field; there are: {known}" if known else "there is no such field"
        case "too_short":
            return f"needs at least {context['min_length']}, has {context['actual_length']}"
        case "too_long":
            return f"takes at most {context['max_length']}"
        case "string_pattern_mismatch":
            examples = [place["examples"][0] for place in _places(schema, schema, detail["loc"]) if "examples" in place]
            like = f"must look like {examples[0]}: " if examples else ""
            return f"{like}it must match {context['pattern']}"
        case _:
            return detail["msg"].removeprefix("Value error, ")


def _places(schema: Mapping[str, Any], root: Mapping[str, Any], location: Sequence[int | str]) -> Iterator[Any]:
    """What a JSON Schema says about a location: several parts of it where one of several types may stand."""
    if "$ref" in schema:
        yield from _places(root["$defs"][schema["$ref"].rpartition("/")[2]], root, location)
    for choice in schema.get("anyOf", ()):
        yield from _places(choice, root, location)
    if not location:
        yield schema
        return
    first, rest = location[0], location[1:]
    inner = schema.get("items") if isinstance(first, int) else schema.get("properties", {}).get(first)
    if inner:
        yield from _places(inner, root, rest)


def _path(location: Iterable[int | str]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


@dataclass(frozen=True)
class PortRequest:
    """A port that a spec asks for.

    `segment` is the id or name of one of the tenant's segments. Without `addresses`
    (in CIDR notation) the platform takes one from each prefix of the segment.
    `path` is where the spec says so, for error messages. `vnf` names the VNF whose port it
    is, None the first that the kind renders; two VNFs may have ports of one name. `field` is
    where below `path` its addresses are. `routes` are prefixes, each with its next hop.
    """

    name: str
    segment: str
    path: str
    addresses: tuple[str, ...] = ()
    vnf: str | None = None
    field: str = "addresses"
    routes: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """What tells it from the instance's other ports: `lan`, or `probe:lan` of a VNF that is named."""
        return self.name if self.vnf is None else f"{self.vnf}:{self.name}"


@dataclass(frozen=True)
class Port:
    """A port as the platform resolved it. `addresses` in CIDR notation, `mtu` in bytes."""

    name: str
    segment: str
    addresses: tuple[str, ...]
    mtu: int = 1500


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate of the platform's own authority: chain, key and authority in PEM."""

    chain: str
    key: str = field(repr=False)
    authority: str


@dataclass(frozen=True)
class Context:
    """What a kind may know besides its spec. `cpu` in cores, `memory` in bytes, `ports` by `PortRequest.key`.

    `seed` is a secret of this instance alone, the same for all its generations (32 bytes in hexadecimal): see
    `secret`. `certificate` is the one that the platform issued, where the kind asked for it.
    """

    instance: str
    name: str
    cpu: float
    memory: int
    ports: Mapping[str, Port]
    seed: str = field(default="00" * 32, repr=False)
    certificate: IssuedCertificate | None = None

    def secret(self, purpose: str) -> str:
        """A secret for one purpose (a password between two containers, a key), as 64 hexadecimal digits.

        Derived from the seed, so that nothing else has to be kept (BLAKE2b, RFC 7693, keyed).
        """
        return hashlib.blake2b(purpose.encode(), key=bytes.fromhex(self.seed), digest_size=32).hexdigest()


@dataclass(frozen=True)
class Question:
    """Something a customer may ask a running service (looking glass).

    `command` turns validated arguments into an argument list; no shell is ever involved,
    and an argument that reaches it has passed the types of `arguments`. `timeout` in seconds.
    One that `changes` something takes the role that writing takes.
    """

    name: str
    title: str
    arguments: type[BaseModel]
    vnf: str
    container: str
    command: Callable[[Any], tuple[str, ...]]
    timeout: float = 10.0
    changes: bool = False


@dataclass(frozen=True)
class Asked:
    """What a blueprint asks for. `of` is what it names: words, a prefix in CIDR notation, or a UNI of the tenant."""

    name: str
    label: str
    proposal: str = ""
    of: Literal["words", "prefix", "uni"] = "words"
    help: str = ""


@dataclass(frozen=True)
class Net:
    """A segment that a blueprint needs. With the id of a UNI it is at that port."""

    name: str
    prefix: str
    uni: str = ""
    transport: bool = False


@dataclass(frozen=True)
class Draft:
    """What comes of a blueprint: segments, and services of its kind, each by name and with its spec."""

    nets: tuple[Net, ...]
    services: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Blueprint:
    """A small network that works, from few answers. `parts` names, in order, what hangs together in its picture.

    `draw` is pure; it raises `SpecError` with the names of the answers that are wrong.
    """

    name: str
    title: str
    description: str
    parts: tuple[str, ...]
    asks: tuple[Asked, ...]
    draw: Callable[[Mapping[str, str]], Draft]
    then: str = ""


@dataclass(frozen=True)
class Group:
    """A box of the order form: a title and the top-level fields of the spec in it."""

    title: str
    fields: tuple[str, ...]
    help: str = ""


def hosts_of(answers: Mapping[str, str], *names: str) -> tuple[tuple[str, str], ...]:
    """The first two addresses of each prefix that was answered. Raises `SpecError` for what is no such prefix."""
    found, problems = [], []
    for name in names:
        try:
            network = ip_network(answers[name])
            found.append((str(network[1]), str(network[2])))
        except (ValueError, IndexError):
            problems.append(Problem(name, f"{answers[name]!r} is no prefix with room for two, such as 10.40.0.0/24"))
    if problems:
        raise SpecError(*problems)
    return tuple(found)


def _no_certificate(_spec: Any, _context: Context) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Kind:
    """One kind of network function, as listed in `settings.NAAS_KINDS`.

    `version` counts the changes of the spec's schema; `ports` names what a spec attaches to;
    `render` gives the VNFs (raises `SpecError`); `form` is layout only, types come from the
    spec; `example` is a spec that renders in the context of `example_context`. `certificate` gives the
    names (DNS or addresses) for which a spec wants a certificate issued, none when it brings its own or needs none.
    """

    name: str
    title: str
    description: str
    version: int
    spec: type[Spec]
    ports: Callable[[Any], tuple[PortRequest, ...]]
    render: Callable[[Any, Context], tuple[Vnf, ...]]
    form: tuple[Group, ...]
    example: Mapping[str, Any]
    example_context: Context
    questions: Mapping[str, Question] = field(default_factory=dict)
    #: What an order form proposes, by path in the spec: "asn" is one that the tenant uses nowhere else.
    proposals: Mapping[str, str] = field(default_factory=dict)
    certificate: Callable[[Any, Context], tuple[str, ...]] = _no_certificate
    blueprints: tuple[Blueprint, ...] = ()
