"""The pages about a tenant itself: its people, its keys for programs, its trail, its limits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from smtplib import SMTPException
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from naas.core.errors import Conflict, Invalid, Problem
from tenants import scope
from tenants.actor import Role
from tenants.api.authentication import has_factor, with_factor
from tenants.models import ApiToken, AuditEvent, Invitation, Membership, SingleSignOn
from tenants.portal.lists import Column, Empty, Filter, ListPage
from tenants.portal.page import Page
from tenants.verbs import invitations, members, people, quotas, signon, tokens

log = logging.getLogger(__name__)

#: Days after which a token can be made to end; empty is never.
LIFETIMES = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "never"))
ROLES = [(role.value, words) for role, words in (
    (Role.VIEWER, "viewer: looks"),
    (Role.OPERATOR, "operator: orders and changes"),
    (Role.OWNER, "owner: people and keys too"),
)]  # fmt: skip
KINDS = [("user", "people"), ("token", "programs"), ("system", "the platform")]


def role_of(text: str) -> Role:
    """Raises `Invalid`."""
    try:
        return Role(text)
    except ValueError:
        raise Invalid([Problem("role", f"is one of {', '.join(Role)}")]) from None


class Team(ListPage):
    title = "Team"
    section = "team"
    template = "portal/team.html"
    writes = Role.OWNER
    model = Membership
    follows = "membership"
    row = "portal/team_row.html"
    search = ("user__email", "user__name")
    columns = (
        Column("Person", lambda member: member.user.email, "user__email"),
        Column("Name", lambda member: member.user.name, "user__name"),
        Column("Role", lambda member: member.role, "role"),
        Column("Since", lambda member: member.created_at.isoformat(), "created_at"),
        Column("", lambda _member: ""),
    )
    filters: ClassVar = (Filter("role", "Role", "role", lambda _page: [(r.value, r.value) for r in Role]),)
    empty = Empty("users", "Nobody is here", "Members see and order this company's services.")

    def rows(self) -> QuerySet[Membership]:
        return super().rows().select_related("user")

    def context(self) -> Mapping[str, Any]:
        pending = self.scope.all(Invitation).filter(accepted_at__isnull=True, withdrawn_at__isnull=True)
        return {
            **super().context(),
            "roles": ROLES,
            "invitations": [(i, i.expires_at <= timezone.now()) for i in pending] if self.may_write else [],
        }


class Posted(Page):
    """Something that is only posted to; opened, it leads back."""

    back: str
    writes = Role.OWNER

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        self.look()
        return self.redirect(self.back)

    def look(self) -> Any:
        """Find what the address names. Raises `NotFound`."""

    def refuse(self, refused: Any) -> HttpResponse:
        answer = super().refuse(refused)
        return self.redirect(self.back) if answer.status_code == 303 else answer


class Invite(Posted):
    back = "team"

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        page = request.build_absolute_uri(reverse("invitation"))
        email, role = request.POST.get("email", ""), role_of(request.POST.get("role", ""))
        try:
            sent = invitations.invite(actor=self.actor, email=email, role=role, page=page)
        except (SMTPException, OSError) as error:
            log.warning("an invitation could not be mailed: %s", error)
            raise Conflict("the mail could not be sent; try to send it again in a while") from error
        self.say(f"An invitation was sent to {sent.email}.")
        return self.redirect(self.back)


class Withdraw(Posted):
    back = "team"

    def look(self) -> Invitation:
        return self.scope.get(Invitation, self.kwargs["id"])

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        invitations.withdraw(actor=self.actor, id=self.look().pk)
        self.say("The invitation is void.")
        return self.redirect(self.back)


class Change(Posted):
    """Another role for a member, or none."""

    back = "team"

    def look(self) -> Membership:
        return self.scope.get(Membership, self.kwargs["id"])

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        member = self.look()
        if request.POST.get("act") == "remove":
            members.remove(actor=self.actor, id=member.pk)
            self.say(f"{member.user.email} is no member any more.")
            return self.redirect(self.back)
        role = role_of(request.POST.get("role", ""))
        members.add(actor=self.actor, user=member.user, role=role)
        self.say(f"{member.user.email} has the role {role} now.")
        return self.redirect(self.back)


class Tokens(ListPage):
    title = "API tokens"
    section = "tokens"
    template = "portal/tokens.html"
    reads = writes = Role.OWNER
    model = ApiToken
    follows = "apitoken"
    row = "portal/tokens_row.html"
    search = ("name", "prefix")
    columns = (
        Column("Name", lambda token: token.name, "name"),
        Column("Begins with", lambda token: f"naas_{token.prefix}"),
        Column("Role", lambda token: token.role, "role"),
        Column("Made", lambda token: token.created_at.isoformat(), "created_at"),
        Column("Last used", lambda token: token.last_used_at, "last_used_at"),
        Column("Ends", lambda token: token.revoked_at or token.expires_at, "expires_at"),
        Column("", lambda _token: ""),
    )
    filters: ClassVar = (
        Filter("revoked", "State", "revoked_at__isnull", lambda _page: [("True", "not revoked"), ("False", "revoked")]),
    )
    empty = Empty("key", "No tokens yet", "A token lets a program of yours use the API: scripts, Terraform, a CI.")

    def rows(self) -> QuerySet[ApiToken]:
        return super().rows().select_related("created_by")

    def narrowed(self, narrowing: Filter, chosen: str) -> Any:
        return chosen == "True" if narrowing.name == "revoked" else chosen

    def context(self) -> Mapping[str, Any]:
        return {**super().context(), "roles": ROLES, "lifetimes": LIFETIMES, "now": timezone.now()}

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """Make a token. It is shown on the page that answers, once, and on no other."""
        name = request.POST.get("name", "").strip()
        if not 1 <= len(name) <= 100:
            raise Invalid([Problem("name", "give it a name of up to 100 characters, by which you will know it")])
        days = request.POST.get("days", "")
        if days not in dict(LIFETIMES):
            raise Invalid([Problem("days", "choose one of those that are listed")])
        issued = tokens.issue(
            actor=self.actor,
            name=name,
            role=role_of(request.POST.get("role", "")),
            expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
        )
        answer = self.show({**self.context(), "issued": issued})
        answer["Cache-Control"] = "no-store"
        return answer


class Revoke(Posted):
    back = "tokens"

    def look(self) -> ApiToken:
        self.actor.require(Role.OWNER)
        return self.scope.get(ApiToken, self.kwargs["id"])

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        token = self.look()
        tokens.revoke(actor=self.actor, id=token.pk)
        self.say(f"Token {token.name} opens nothing any more.")
        return self.redirect(self.back)


def _verbs(page: ListPage) -> Iterable[tuple[str, str]]:
    found = scope.of(page.actor).all(AuditEvent).order_by("verb").values_list("verb", flat=True).distinct()
    return [(verb, verb) for verb in found]


class Audit(ListPage):
    title = "Audit trail"
    section = "audit"
    reads = Role.OPERATOR
    model = AuditEvent
    follows = "audit"
    row = "portal/audit_row.html"
    search = ("actor", "verb", "object_id", "address")
    columns = (
        Column("When", lambda event: event.at.isoformat(), "at"),
        Column("Who", lambda event: event.actor, "actor"),
        Column("From", lambda event: event.address, "address"),
        Column("Did", lambda event: event.verb, "verb"),
        Column("To", lambda event: event.object_id, "object_id"),
        Column("Details", lambda event: event.detail),
    )
    filters: ClassVar = (
        Filter("verb", "Did", "verb", _verbs),
        Filter(
            "kind",
            "By",
            "actor_kind",
            lambda _page: [("user", "people"), ("token", "programs"), ("system", "platform")],
        ),
    )
    empty = Empty("file-text", "Nothing was done yet", "Who did what, when and from where is kept here, and stays.")


class Settings(Page):
    section = "settings"
    title = "Settings"
    template = "portal/settings.html"
    writes = Role.OWNER

    def context(self) -> Mapping[str, Any]:
        tenant = self.actor.tenant
        return {
            "tenant": tenant,
            "without": self.without(),
            "limits": quotas.limits(tenant),
            "used": quotas.usage(tenant),
        }

    def without(self) -> int:
        """How many members have no second factor."""
        return self.scope.all(Membership).exclude(user__in=with_factor()).count()

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        if request.POST.get("act") == "second-factor":
            return self.ask_second_factor(request)
        name = request.POST.get("name", "").strip()
        if not 1 <= len(name) <= 100:
            raise Invalid([Problem("name", "give up to 100 characters")])
        people.rename_tenant(actor=self.actor, tenant=self.actor.tenant, name=name)
        self.say("The name is changed.")
        return self.redirect("settings")

    def ask_second_factor(self, request: HttpRequest) -> HttpResponse:
        """Who asks it of others has one: otherwise this page would be the last that they see."""
        asked = request.POST.get("asked") == "on"
        if asked and not has_factor(self.person):
            raise Conflict("set up a second factor of your own first, on the page of your account")
        people.ask_second_factor(actor=self.actor, asked=asked)
        self.say("Members need a second factor now." if asked else "Members need no second factor any more.")
        return self.redirect("settings")

    @property
    def person(self) -> Any:
        return self.request.user


class SignOn(Page):
    """How the tenant's people log in at its own provider."""

    section = "settings"
    title = "Single sign-on"
    template = "portal/sign_on.html"
    reads = writes = Role.OWNER

    def context(self) -> Mapping[str, Any]:
        slug, whole = self.actor.tenant.slug, self.request.build_absolute_uri
        return {
            "row": self.scope.all(SingleSignOn).first(),
            "roles": [("", "nobody new is let in: people come by invitation"), *ROLES[:2]],
            "start": whole(reverse("sign_on", args=[slug])),
            "back": whole(reverse("sign_on_back", args=[slug])),
        }

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        if request.POST.get("act") == "off":
            signon.switch_off(actor=self.actor)
            self.say("Single sign-on is switched off.")
            return self.redirect("settings-sign-on")
        named = {name: request.POST.get(name, "") for name in ("issuer", "client_id", "secret", "role")}
        domains = request.POST.get("domains", "").replace(",", " ").split()
        signon.configure(actor=self.actor, **named, domains=domains)
        self.say("Single sign-on is set. Log out and try it before you rely on it.")
        return self.redirect("settings-sign-on")
