"""The front door: where people log in, and what they find there. What they order and watch is not shown here."""

from __future__ import annotations

import math
from typing import Any

from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe
from unfold.forms import AuthenticationForm as StaffForm

from tenants.api.throttling import Attempts
from tenants.portal.page import LAST_TENANT


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
