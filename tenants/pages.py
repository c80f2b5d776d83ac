"""The front door: where people log in, and what they find there. What they order and watch is not shown here."""

from __future__ import annotations

import math
from typing import Any

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.account.views import PasswordChangeView
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_safe

from naas.core.errors import Invalid, Problem, Refusal
from tenants.api.authentication import has_factor
from tenants.api.throttling import Attempts
from tenants.portal.page import LAST_TENANT
from tenants.signin import sessions as places
from tenants.signin.accounts import note
from tenants.verbs import invitations


class Account(PasswordChangeView):  # type: ignore[misc]  # untyped library
    """One's own account: who one is, where one is a member, and another password, which ends all other sessions."""

    template_name = "site/account.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person: Any = self.request.user
        members = person.memberships.select_related("tenant").order_by("tenant__name")
        factors = list(Authenticator.objects.filter(user=person).order_by("created_at"))
        return dict(super().get_context_data(**kwargs)) | {
            "members": members,
            "totp": any(factor.type == Authenticator.Type.TOTP for factor in factors),
            "passkeys": [factor for factor in factors if factor.type == Authenticator.Type.WEBAUTHN],
            "recovery": any(factor.type == Authenticator.Type.RECOVERY_CODES for factor in factors),
            "places": places.of(person, self.request),
            "asking": [] if has_factor(person) else [m.tenant for m in members if m.tenant.needs_second_factor],
        }


@login_required
def sessions(request: HttpRequest) -> HttpResponse:
    """Ends a session of one's own, or all but this one."""
    person: Any = request.user
    if request.method == "POST":
        ended = places.end(person, request.POST.get("end", ""), request)
        if ended:
            note(request, person, "account.sessions_ended", sessions=ended)
        messages.success(request, f"{ended} session{'' if ended == 1 else 's'} ended.")
    return redirect("account")


def to_console(request: HttpRequest) -> HttpResponse:
    """Staff log in where everybody does, with what everybody has to show; others are told that it is not for them."""
    wanted = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        wanted = reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(wanted)
    if not request.user.is_staff:
        return render(request, "site/no_console.html", status=403)
    return redirect(wanted)


def invitation(request: HttpRequest) -> HttpResponse:
    """Takes up an invitation with the code from its mail, and logs in whom it lets in."""
    if request.method != "POST":
        return render(request, "site/invitation.html", {"said": {}})
    attempts = Attempts()
    typed = {name: request.POST.get(name, "") for name in ("code", "name", "password")}
    if not attempts.allow_request(request, None):  # type: ignore[arg-type]  # it reads META alone
        said = {"code": f"Too many attempts. Try again in {math.ceil(attempts.wait())} seconds."}
        return render(request, "site/invitation.html", {"said": said, "typed": typed}, status=429)
    try:
        member = invitations.accept(request=request, **typed)
    except Refusal as refused:
        found = refused.problems if isinstance(refused, Invalid) else (Problem("code", refused.detail),)
        said = {problem.path: problem.message for problem in found}
        return render(request, "site/invitation.html", {"said": said, "typed": typed}, status=refused.status)
    record_authentication(request, member.user, method="password", email=member.user.email)
    home = reverse("portal:home", args=[member.tenant.slug])
    answer: HttpResponse = perform_login(request, Login(user=member.user, redirect_url=home))
    return answer


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """To the portal, for who belongs to a tenant; otherwise who one is, and the ways from here."""
    person = request.user
    members = list(person.memberships.select_related("tenant")) if person.is_authenticated else []
    if members:
        slugs = [member.tenant.slug for member in members]
        last = request.session.get(LAST_TENANT)
        return redirect("portal:home", last if last in slugs else slugs[0])
    return render(request, "site/home.html", {"members": members})
