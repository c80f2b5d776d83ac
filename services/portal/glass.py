"""The looking glass: questions put to a running service, and what it answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from naas.core.errors import Invalid, NotFound, Refusal
from services import inquiries
from services.kind import Group, Question
from services.models import Inquiry
from services.portal import fields
from services.portal.fields import Source
from services.portal.tabs import ServicePage
from services.registry import kinds
from tenants.actor import Role

#: Answers that are listed.
LATEST = 10


class Glass(ServicePage):
    tab = "service-ask"
    template = "portal/glass.html"
    writes = Role.VIEWER

    @property
    def questions(self) -> Mapping[str, Question]:
        return kinds()[self.service.kind].questions

    @property
    def question(self) -> Question:
        known = self.questions
        if not known:
            raise NotFound(f"a {self.service.kind} answers no questions")
        chosen = self.request.GET.get("question") or next(iter(known))
        if chosen not in known:
            raise NotFound(f"a {self.service.kind} is not asked {chosen!r}; it is asked: {', '.join(known)}")
        return known[chosen]

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        asked = request.GET.get("inquiry")
        inquiry = self.scope.get(Inquiry, asked) if asked else None
        if inquiry is not None and inquiry.instance_id != self.service.pk:
            raise NotFound(f"{asked} was not asked of {self.service.name}")
        return self.page(inquiry.arguments if inquiry else {}, inquiry)

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        question = self.question
        schema = question.arguments.model_json_schema()
        arguments = fields.read(schema, {name: request.POST.getlist(name) for name in request.POST})
        try:
            asked = inquiries.ask(actor=self.actor, instance=self.service, question=question.name, arguments=arguments)
        except Invalid as refused:
            return self.page(arguments, None, refused, status=refused.status)
        shown = {"question": question.name, "inquiry": asked.pk}
        return self.redirect("service-ask", shown, id=self.service.pk)

    def page(
        self, arguments: Mapping[str, Any], inquiry: Inquiry | None, refused: Refusal | None = None, status: int = 200
    ) -> HttpResponse:
        question = self.question
        schema = question.arguments.model_json_schema()
        problems = refused.problems if isinstance(refused, Invalid) else ()
        said = tuple(type(p)(p.path.removeprefix("arguments."), p.message) for p in problems)
        groups = (Group(question.title, tuple(schema.get("properties", ()))),)
        return self.show(
            {
                "title": f"Ask {self.service.name}",
                "questions": self.questions.values(),
                "question": question,
                "form": fields.build(schema, groups, dict(arguments), Source({}, {}, said)),
                "inquiry": inquiry,
                "latest": self.service.inquiries.all()[:LATEST],
            },
            status=status,
        )
