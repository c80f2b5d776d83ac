"""What a customer says of a route: which calls it takes, when, and to which trunks they go."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sbc.kind.fields import HeaderRule, Name, NumberPattern, NumberPrefix, Target, ZoneName
from sbc.policy import Route
from services.fields import Findings, Many
from services.kind import Spec

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: A challenge is answered or refused, and a call that was cancelled goes nowhere else.
NEVER_A_REASON = frozenset({401, 407, 487})

#: Local time, to the minute; 24:00 is the end of a day.
TimeOfDay = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples=["08:30"])]


def _reason_to_try_another(code: int) -> int:
    if code in NEVER_A_REASON:
        raise ValueError(f"after {code} no other target is tried")
    return code


Code = Annotated[int, Field(ge=400, le=699), AfterValidator(_reason_to_try_another)]


class WindowSpec(Spec):
    """When a route is open: on these days from `start` to `end`, over midnight when the end is not after the start."""

    timezone: ZoneName
    days: Many[Day] = Field(DAYS, min_length=1, max_length=7)
    start: TimeOfDay = "00:00"
    end: TimeOfDay = "24:00"

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        findings.add_repeats(("days",), self.days)
        if self.start == "24:00":
            findings.add(("start",), "a day begins at 00:00")
        findings.raise_if_any("WindowSpec")
        return self


class RouteSpec(Spec):
    """A route: where calls from a trunk (or any) go whose number begins with `prefix` or matches `pattern`."""

    name: Name
    enabled: bool = True
    from_trunk: Name | None = Field(
        None, description="Without one: from any trunk", json_schema_extra={"x-reference": "trunk"}
    )
    prefix: NumberPrefix | None = Field(None, description="The longest decides; without prefix and pattern all numbers")
    pattern: NumberPattern | None = Field(
        None, description="X is 0-9, Z 1-9, N 2-9, a final dot the rest; goes before prefixes"
    )
    order: int = Field(100, ge=0, le=65_535, description="Decides between routes alike; the lowest comes first")
    window: WindowSpec | None = None
    targets: Many[Target] = Field(min_length=1, max_length=16)
    failover: Many[Code] = Field(
        Route.failover, max_length=64, description="Answers after which the next target is tried"
    )
    timeout: int = Field(60, ge=1, le=180, description="Seconds without an answer, after which the next is tried")
    headers: Many[HeaderRule] = Field((), max_length=32, description="Of messages that start a call by this route")

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        if self.prefix is not None and self.pattern is not None:
            findings.add(("pattern",), "give a prefix or a pattern")
        findings.add_repeats(("targets",), [target.trunk for target in self.targets], "trunk")
        findings.add_repeats(("failover",), self.failover)
        findings.raise_if_any("RouteSpec")
        return self
