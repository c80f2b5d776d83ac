"""What a page of the portal is: for one tenant, which its address names, and a person who is a member there.

`self.actor` and `self.scope` are the only ways from a page to rows, as in the API. A tenant that the person does not
belong to is not there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import cached_property
from django.views import View

from naas.core.errors import NotFound, Refusal
from tenants import changes, converters, scope, wall
from tenants.actor import Actor, Role
from tenants.api.authentication import FactorNeeded, acting, refuse_entry
from tenants.models import Membership

log = logging.getLogger(__name__)

#: Under which the session keeps the tenant that its person looked at last.
LAST_TENANT = "tenant"
#: The only methods that change nothing.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

converters.register()


class Page(View):
    """A page. Name its `template`, the `section` of the navigation it stands in, its `title`, and the roles if they
    are not the usual ones.

    What a verb refuses of a POST is said on the page that was posted from; what it refuses of a GET is the page.
    """

    reads: Role = Role.VIEWER
    writes: Role = Role.OPERATOR
    template: str
    section: str = ""
    title: str = ""
    actor: Actor
    #: Since when the page must hear of changes: from before it was read. None where there are no event streams.
    since: int | None = None
    #: Where the person could be: for the switcher.
    memberships: Sequence[Membership] = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        member = _membership(request.user, kwargs.pop("tenant"))
        self.kwargs = kwargs
        try:
            refuse_entry(member, request.session)
            self.actor = acting(member, request)
            self.actor.require(self.reads if request.method in SAFE else self.writes)
            # Before only rows of this tenant can be seen.
            self.memberships = list(request.user.memberships.select_related("tenant").order_by("tenant__name"))
            wall.narrow(member.tenant)
            if request.session.get(LAST_TENANT) != member.tenant.slug:
                request.session[LAST_TENANT] = member.tenant.slug
            if settings.NAAS_EVENT_STREAMS and request.method in SAFE:
                self.since = changes.position()
            return super().dispatch(request, *args, **kwargs)
        except NotFound as missing:
            raise Http404(missing.detail) from missing
        except OperationalError as busy:
            log.warning("the database did not answer a page: %s", busy)
            answer = render(request, "portal/busy.html", status=503)
            answer["Retry-After"] = "2"
            return answer
        except FactorNeeded:
            # Where it is set up; the page says for whom.
            return HttpResponseRedirect(f"{reverse('account')}?{urlencode({'for': member.tenant.slug})}#factors")
        except Refusal as refused:
            return self.refuse(refused)

    @property
    def scope(self) -> scope.Scope:
        return scope.of(self.actor)

    @cached_property
    def may_write(self) -> bool:
        return self.actor.role.covers(self.writes)

    def url(self, name: str, **kwargs: Any) -> str:
        """The address of a page of this tenant."""
        return reverse(f"portal:{name}", kwargs={"tenant": self.actor.tenant.slug, **kwargs})

    def redirect(self, name: str, query: Mapping[str, str] | None = None, /, **kwargs: Any) -> HttpResponse:
        """To another page after a POST."""
        asked = f"?{urlencode(query)}" if query else ""
        return HttpResponseRedirect(self.url(name, **kwargs) + asked, status=303)

    def say(self, message: str) -> None:
        """Say on the next page what was done."""
        messages.success(self.request, message)

    def refuse(self, refused: Refusal) -> HttpResponse:
        """Say why not. Override it where a form can say it at its fields."""
        if self.request.method in SAFE or not hasattr(self, "actor"):
            return self.show({"refused": refused}, template="portal/refused.html", status=refused.status)
        messages.error(self.request, f"{refused.title}: {refused.detail}")
        return HttpResponseRedirect(self.request.get_full_path(), status=303)

    def show(self, context: Mapping[str, Any], *, template: str = "", status: int = 200) -> HttpResponse:
        """The page, with what all pages show around it."""
        common = {"page": self, "section": self.section, "title": self.title, "actor": getattr(self, "actor", None)}
        return render(self.request, template or self.template, {**common, **context}, status=status)

    def context(self) -> Mapping[str, Any]:
        """What the template is given. Override it for a page that only shows."""
        return {}

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        return self.show(self.context())


def _membership(person: Any, slug: str) -> Membership:
    member: Membership | None = person.memberships.select_related("tenant", "user").filter(tenant__slug=slug).first()
    if member is None:
        raise Http404(f"you are no member of {slug}")
    return member
