"""The front door: where people log in, and what they find there. What they order and watch is not shown here."""

from __future__ import annotations

import math
from typing import Any

from django.contrib import messages
from django.contrib.auth import login, views
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.http import require_safe
from unfold.forms import AuthenticationForm as StaffForm

from naas.core.errors import Invalid, Problem, Refusal
from tenants.api.throttling import Attempts
from tenants.portal.page import LAST_TENANT
from tenants.verbs import invitations


class PersonLogin(AuthenticationForm):
    """Counts attempts before a password is looked at, so that guessing is held up, right or wrong."""

    def clean(self) -> dict[str, Any]:
        attempts = Attempts()
        if not attempts.allow_request(self.request, None):  # type: ignore[arg-type]  # it reads META alone
            raise ValidationError(f"Too many attempts. Try again in {math.ceil(attempts.wait())} seconds.")
        return super().clean()


class StaffLogin(PersonLogin, StaffForm):  # type: ignore[misc]  # untyped library
    """The same in the provider's console, for staff alone."""


class Login(views.LoginView):
    authentication_form = PersonLogin
    template_name = "site/login.html"
    redirect_authenticated_user = True


class Account(LoginRequiredMixin, views.PasswordChangeView):
    """One's own account: who one is, where one is a member, and another password, which ends all other sessions."""

    template_name = "site/account.html"
    success_url = reverse_lazy("account")

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        messages.success(self.request, "The password is changed. Who was logged in elsewhere is logged out.")
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person: Any = self.request.user
        members = person.memberships.select_related("tenant").order_by("tenant__name")
        return super().get_context_data(**kwargs) | {"members": members}


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
    login(request, member.user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("portal:home", member.tenant.slug)


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
