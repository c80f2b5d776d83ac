"""The dial simulator: where a call would go, and why, step by step. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from naas.core.errors import Invalid, Problem
from sbc.portal.documents import OfSbc
from sbc.simulation import CallSpec, Simulation, simulate
from services.kind import Group
from services.portal import fields
from services.portal.fields import Source

FORM = (
    Group("The call", ("number", "trunk", "caller", "at")),
    Group("From an address instead of a trunk", ("source", "side", "user", "asserted", "privacy", "draw")),
)
#: What becomes of a call, in a sentence.
SAID = {
    "routed": "It goes out.",
    "refused": "It is refused with {code}.",
    "challenged": "Its sender is asked for a password.",
    "unanswered": "Its sender hears nothing at all.",
}


class Simulator(OfSbc):
    tab = "sbc-simulator"
    title = "Where a call would go"
    template = "portal/sbc/simulator.html"

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        schema = CallSpec.model_json_schema()
        document = fields.read(schema, {name: request.GET.getlist(name) for name in request.GET})
        if not request.GET.get("number"):
            return self.page(schema, document, (), None)
        try:
            return self.page(schema, document, (), simulate(self.service, document))
        except Invalid as refused:
            return self.page(schema, document, refused.problems, None)

    def page(
        self,
        schema: Mapping[str, Any],
        document: Mapping[str, Any],
        problems: Sequence[Problem],
        found: Simulation | None,
    ) -> HttpResponseBase:
        form = fields.build(schema, FORM, document, Source(self.choices(), {}, problems))
        said = SAID[found.outcome].format(code=found.decision.code) if found else ""
        return self.show({"form": form, "found": found, "said": said})
