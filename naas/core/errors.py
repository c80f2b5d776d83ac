"""What the platform says when it refuses a request: a code for programs, a sentence for people, and where.

Rendered as RFC 9457 problem details at the HTTP edge; raised by verbs, which know nothing
of HTTP except that a refusal has a status.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.errors import NaasError


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: `path` is a field path as in `items[0].spec.ports[1].segment`."""

    path: str
    message: str

    def under(self, prefix: str) -> Problem:
        """The same problem seen from one level up."""
        if not self.path:
            return Problem(prefix, self.message)
        joint = "" if self.path.startswith("[") else "."
        return Problem(f"{prefix}{joint}{self.path}", self.message)


class Refusal(NaasError):
    """A request that changes nothing because of what it asks; `problems` say what to mend."""

    status = 400
    code = "refused"
    title = "The request was refused"

    def __init__(self, detail: str, *problems: Problem) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = problems


class Invalid(Refusal):
    """One or more fields are wrong; each is in `problems`."""

    code = "invalid"
    title = "Some fields are not valid"

    def __init__(self, problems: Iterable[Problem]) -> None:
        listed = tuple(problems)
        super().__init__("; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in listed), *listed)


class NotFound(Refusal):
    """There is no such thing, or it belongs to another tenant: the two look the same."""

    status = 404
    code = "not-found"
    title = "Not found"


class Forbidden(Refusal):
    """The actor's role does not allow this."""

    status = 403
    code = "forbidden"
    title = "Your role does not allow this"


class Conflict(Refusal):
    """The thing is not in a state in which this can be done."""

    status = 409
    code = "conflict"
    title = "This cannot be done now"


class QuotaExceeded(Conflict):
    code = "quota-exceeded"
    title = "The tenant's quota is used up"


class CapacityExceeded(Conflict):
    code = "capacity-exceeded"
    title = "The PoP has no room for this"
