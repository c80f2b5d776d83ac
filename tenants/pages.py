"""The front door: where people log in, and what they find there. What they order and watch is not shown here."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

from allauth.account.decorators import reauthentication_required
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.account.views import PasswordChangeView
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_safe

from naas.core.errors import Forbidden, Invalid, Problem, Refusal
from tenants import scope
from tenants.api.authentication import SIGNED_ON, acting, has_factor
from tenants.api.throttling import Attempts
from tenants.models import SingleSignOn, Tenant, TenantStatus
from tenants.portal.page import LAST_TENANT
from tenants.signin import oidc
from tenants.signin import sessions as places
from tenants.signin.accounts import note
from tenants.verbs import invitations, signon


class Account(PasswordChangeView):  # type: ignore[misc]  # untyped library
    """One's own account: who one is, where one is a member, and another password, which ends all other sessions."""

    template_name = "site/account.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not request.user.has_usable_password():
            # Whoever came by single sign-on has no password that could be asked for; the page says how to get one.
            return render(request, self.template_name, self.about())
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return dict(super().get_context_data(**kwargs)) | self.about()

    def about(self) -> dict[str, Any]:
        """What the page tells of its person."""
        person: Any = self.request.user
        members = person.memberships.select_related("tenant").order_by("tenant__name")
        factors = list(Authenticator.objects.filter(user=person).order_by("created_at"))
        return {
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


#: Under which a session keeps for which tenant, and as whom, it is about to be linked.
LINKING = "linking"


def _sign_on_of(slug: str) -> SingleSignOn:
    tenant = get_object_or_404(Tenant, slug=slug, status=TenantStatus.ACTIVE)
    found: SingleSignOn = get_object_or_404(scope.of(tenant).all(SingleSignOn).select_related("tenant"))
    return found


def _sign_on_page(request: HttpRequest, sign_on: SingleSignOn, refused: Refusal | None = None) -> HttpResponse:
    host, linking = urlsplit(sign_on.issuer).hostname, request.session.get(LINKING)
    said: dict[str, Any] = {"tenant": sign_on.tenant, "host": host, "refused": refused}
    said["linking"] = refused is None and linking == _linking(request, sign_on)
    return render(request, "site/sign_on.html", said, status=refused.status if refused else 200)


def _linking(request: HttpRequest, sign_on: SingleSignOn) -> list[Any]:
    return [sign_on.tenant_id, request.user.pk]


@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator]
def sign_on(request: HttpRequest, tenant: str) -> HttpResponse:
    """The way to a tenant's provider. Who is logged in links their account there, after showing again who they are."""
    row = _sign_on_of(tenant)
    if request.method != "POST":
        return _sign_on_page(request, row)
    member = row.tenant.memberships.filter(user_id=request.user.pk or 0).exists()
    if not member or request.session.get(SIGNED_ON):
        return _sign_on_page(request, row, Forbidden("log in with your password, as a member of this company"))
    request.session[LINKING] = _linking(request, row)
    return redirect("sign_on", tenant)


@require_safe
def sign_on_go(request: HttpRequest, tenant: str) -> HttpResponse:
    row = _sign_on_of(tenant)
    if request.user.is_authenticated and request.session.get(LINKING) != _linking(request, row):
        return redirect("portal:home", tenant)
    back = request.build_absolute_uri(reverse("sign_on_back", args=[tenant]))
    try:
        return oidc.begin(request, row, back)
    except Refusal as refused:
        return _sign_on_page(request, row, refused)


@require_safe
def sign_on_back(request: HttpRequest, tenant: str) -> HttpResponse:
    """Who comes back from the provider is let in, or linked where that was asked for in this session."""
    row = _sign_on_of(tenant)
    linking = request.session.pop(LINKING, None)
    try:
        claims = oidc.finish(request, row)
        if request.user.is_authenticated:
            return _link(request, row, claims, linking)
        member = signon.admit(sign_on=row, claims=claims)
    except Refusal as refused:
        return _sign_on_page(request, row, refused)
    request.signed_on = row.tenant_id  # type: ignore[attr-defined]  # for `Accounts.pre_login`
    record_authentication(request, member.user, method="signon")
    home = reverse("portal:home", args=[tenant])
    answer: HttpResponse = perform_login(request, Login(user=member.user, redirect_url=home))
    return answer


def _link(request: HttpRequest, row: SingleSignOn, claims: signon.Claims, linking: object) -> HttpResponse:
    member = row.tenant.memberships.select_related("tenant", "user").filter(user_id=request.user.pk or 0).first()
    if linking != _linking(request, row) or member is None:
        raise Forbidden("you are logged in already; log out first, or link your account from here")
    signon.link(actor=acting(member, request), claims=claims)
    messages.success(request, f"Your account is linked: you can log in to {row.tenant.name} by it.")
    return redirect("account")
