"""What a customer says of strangers and of emergencies: source rules, and the numbers that always go through."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sbc.kind.fields import Name, Number, Target
from services.fields import Findings, Many, PortName, Text, UnicastPrefix
from services.kind import Spec


class SourceRule(Spec):
    """Whether a source address may send anything at all. The rule of the longest prefix that holds it decides.

    A source without a rule is allowed. To allow nobody but some, deny 0.0.0.0/0 and ::/0.
    """

    name: Name
    cidr: UnicastPrefix
    action: Literal["allow", "deny"]
    side: PortName | None = Field(None, description="On this side only", json_schema_extra={"x-reference": "side"})
    note: Text = ""


class EmergencySpec(Spec):
    """Emergency numbers: routed before all else to these targets, as dialled, and exempt from every limit."""

    numbers: Many[Number] = Field((), max_length=64)
    targets: Many[Target] = Field((), max_length=16)

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        findings.add_repeats(("numbers",), self.numbers)
        findings.add_repeats(("targets",), [target.trunk for target in self.targets], "trunk")
        if self.numbers and not self.targets:
            findings.add(("targets",), "say where these numbers go")
        findings.raise_if_any("EmergencySpec")
        return self
