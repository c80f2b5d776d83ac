"""The console's pages over tenants, their people, keys and limits, and the trail of what everyone did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminEmailInputWidget

from tenants import looks
from tenants.actor import Role
from tenants.console import BY_TENANT, Console, Table, acting_for, asks, back_to, list_of, page_of, staff_of
from tenants.models import (
    ApiToken,
    AuditEvent,
    IdempotencyRecord,
    Identity,
    Invitation,
    Membership,
    Quota,
    SingleSignOn,
    Tenant,
    TenantStatus,
    User,
)
from tenants.verbs import members, people, quotas, tokens

# Rights here hang on being staff, not on Django's groups.
admin.site.unregister((Group, EmailAddress, Authenticator, UserSession))


def show_once(
    page: Console,
    request: HttpRequest,
    account: people.Account,
    sentence: str,
    after: str,
    template: str = "console/once.html",
) -> HttpResponse:
    """A password that was just made. Nothing keeps it: not the session, not a message, not the browser's cache."""
    context = page.admin_site.each_context(request) | {
        "title": "A new password",
        "sentence": sentence,
        "email": account.user.email,
        "password": account.password,
        "next": after,
    }
    return TemplateResponse(request, template, context, headers={"Cache-Control": "no-store"})


class NewTenant(forms.ModelForm):  # type: ignore[type-arg]  # at run time it takes none
    owner = forms.EmailField(
        label="E-mail address of its first owner",
        help_text="Someone without an account gets one, with a password that you are shown once.",
        widget=UnfoldAdminEmailInputWidget,
    )

    class Meta:
        model = Tenant
        fields = ("name", "slug")


@admin.register(Tenant)
class TenantPage(Console):
    about = (
        "A tenant is a customer. Suspending one ends its access to the portal and the API; "
        "its services go on carrying traffic."
    )
    empty = "There are no customers yet. Make the first with the button at the top right."
    entered = ("name", "slug", "owner")
    editable = ("name",)
    list_display = ("name", "slug", "standing", "people", "created")
    list_filter = ("status",)
    search_fields = ("name", "slug", "id")
    date_hierarchy = "created_at"
    fieldsets = (
        ("Customer", {"fields": ("name", ("slug", "id"), ("standing", "created"))}),
        ("Its quota", {"fields": ("in_use",)}),
    )
    actions_detail = ("suspend", "resume")
    actions = ("suspend_selected", "resume_selected")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        rows: QuerySet[Tenant] = super().get_queryset(request).annotate(people_count=Count("memberships"))
        return rows

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewTenant
        return super().get_form(request, obj, change, **kwargs)

    @admin.display(description="Status", ordering="status")
    def standing(self, tenant: Tenant) -> str:
        return looks.badge(tenant.status)

    @admin.display(description="Members", ordering="people_count")
    def people(self, tenant: Any) -> int:
        count: int = tenant.people_count
        return count

    created = looks.moment("created_at", "Customer since")

    @admin.display(description="In use")
    def in_use(self, tenant: Tenant) -> str:
        has, may = quotas.usage(tenant), quotas.limits(tenant)
        return looks.lines(
            [
                looks.share(has.services, may.services, "services"),
                looks.share(float(has.vcpu), float(may.vcpu), "vCPU"),
                looks.share(has.memory_mb, may.memory_mb, "MiB of memory"),
            ]
        )

    def tables(self, request: HttpRequest, row: Tenant) -> Iterable[Table]:
        yield Table(
            "Where to look next",
            ("What", "How many"),
            [(looks.anchor(address, heading), count) for heading, count, address in self._owned(request, row)],
            "This tenant has nothing yet.",
        )
        yield Table(
            "Members",
            ("Person", "Role", "Since"),
            [
                (looks.link(member, member.user.email), looks.badge(member.role), looks.ago(member.created_at))
                for member in row.memberships.select_related("user")
            ],
            "Nobody can log in for this tenant. Add a member under Access.",
            more=list_of(Membership, tenant__id__exact=row.pk),
        )

    def _owned(self, request: HttpRequest, tenant: Tenant) -> Iterable[tuple[str, int, str]]:
        """The tenant's rows on every page that wants to be found from here, whichever package it is of."""
        for model, page in self.admin_site._registry.items():
            if isinstance(page, Console) and page.on_tenant:
                count = page.get_queryset(request).filter(tenant=tenant).count()
                yield page.on_tenant, count, list_of(model, tenant__id__exact=tenant.pk)

    def write_new(self, request: HttpRequest, form: Any) -> Tenant:
        opening = people.open_tenant_with_owner(
            staff=staff_of(request),
            name=form.cleaned_data["name"],
            slug=form.cleaned_data["slug"],
            email=form.cleaned_data["owner"],
        )
        form.instance.owner = opening.owner
        return opening.tenant

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        if obj.owner.password is None:
            return back_to(request, page_of(obj))
        sentence = f"{obj.name} is open, and {obj.owner.user.email} is its owner with this new account."
        return show_once(self, request, obj.owner, sentence, page_of(obj))

    def write(self, request: HttpRequest, row: Tenant, changes: Mapping[str, Any]) -> None:
        people.rename_tenant(actor=staff_of(request), tenant=row, name=changes["name"])

    def has_suspend_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, object_id, lambda tenant: tenant.status == TenantStatus.ACTIVE)

    def has_resume_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, object_id, lambda tenant: tenant.status == TenantStatus.SUSPENDED)

    @asks(
        title="Suspend",
        question="Its people and programs are refused from now on. Its services go on carrying traffic.",
        icon="block",
        allowed="suspend",
        variant=ActionVariant.DANGER,
    )
    def suspend(self, request: HttpRequest, tenant: Tenant) -> str:
        members.set_status(staff=staff_of(request), tenant=tenant, status=TenantStatus.SUSPENDED)
        return f"{tenant} is suspended."

    @asks(title="Let in again", question="Its people and programs may work again.", icon="check", allowed="resume")
    def resume(self, request: HttpRequest, tenant: Tenant) -> str:
        members.set_status(staff=staff_of(request), tenant=tenant, status=TenantStatus.ACTIVE)
        return f"{tenant} is active."

    @admin.action(description="Suspend")
    def suspend_selected(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        verb = TenantPage.suspend.verb
        self.carry_out(request, rows.filter(status=TenantStatus.ACTIVE), lambda tenant: verb(self, request, tenant))

    @admin.action(description="Let in again")
    def resume_selected(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        verb = TenantPage.resume.verb
        self.carry_out(request, rows.filter(status=TenantStatus.SUSPENDED), lambda tenant: verb(self, request, tenant))


@admin.register(Quota)
class QuotaPage(Console):
    about = "The most a tenant may have at once. What it has beyond a lowered limit stays; it cannot order more."
    empty = "Every tenant has the default limits."
    entered = ("tenant", "services", "vcpu", "memory_mb")
    editable = ("services", "vcpu", "memory_mb")
    list_display = ("tenant", "services", "vcpu", "memory")
    list_select_related = ("tenant",)
    search_fields = ("tenant__name", "tenant__slug")
    autocomplete_fields = ("tenant",)
    fieldsets = ((None, {"fields": ("tenant", "services", "vcpu", "memory_mb")}),)
    on_tenant = "Limits"

    @admin.display(description="Memory", ordering="memory_mb")
    def memory(self, quota: Quota) -> str:
        return f"{quota.memory_mb} MiB"

    def write_new(self, request: HttpRequest, form: Any) -> Quota:
        return self._set(request, form.cleaned_data["tenant"], form.cleaned_data)

    def write(self, request: HttpRequest, row: Quota, changes: Mapping[str, Any]) -> None:
        now = {"services": row.services, "vcpu": row.vcpu, "memory_mb": row.memory_mb}
        self._set(request, row.tenant, now | dict(changes))

    def _set(self, request: HttpRequest, tenant: Tenant, wanted: Mapping[str, Any]) -> Quota:
        limits = quotas.Amount(wanted["services"], Decimal(wanted["vcpu"]), wanted["memory_mb"])
        return quotas.set_limits(staff=staff_of(request), tenant=tenant, limits=limits)


@admin.register(User)
class UserPage(Console):
    about = (
        "People log in by e-mail address. Customers are members of tenants; the provider's staff is made with "
        "manage.py create_staff alone. Closing an account keeps what its person did in the audit trail."
    )
    entered = ("email", "name")
    editable = ("name", "is_active")
    list_display = ("email", "name", "side", "open", "member_of", "seen")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email", "name")
    fieldsets = (
        ("Person", {"fields": ("email", "name", "side", "is_active")}),
        ("When", {"fields": ("seen", "joined")}),
    )
    actions_detail = ("renew_password",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request).prefetch_related("memberships__tenant")
        return rows

    @admin.display(description="Side", ordering="is_staff")
    def side(self, user: User) -> str:
        return looks.badge("staff" if user.is_staff else "customer", "Provider staff" if user.is_staff else "Customer")

    @admin.display(description="Account", ordering="is_active")
    def open(self, user: User) -> str:
        return looks.badge("open") if user.is_active else looks.badge("closed", tone=looks.Tone.BAD)

    @admin.display(description="Member of")
    def member_of(self, user: User) -> str:
        return looks.lines([looks.link(member.tenant) for member in user.memberships.all()])

    seen = looks.moment("last_login", "Last login")
    joined = looks.moment("date_joined", "Account made")

    def tables(self, request: HttpRequest, row: User) -> Iterable[Table]:
        yield Table(
            "Member of",
            ("Tenant", "Role", "Since"),
            [
                (looks.link(member.tenant), looks.link(member, member.role), looks.ago(member.created_at))
                for member in row.memberships.all()
            ],
            "This person belongs to no tenant.",
        )

    def write_new(self, request: HttpRequest, form: Any) -> User:
        given = form.cleaned_data
        form.instance.account = people.create(staff=staff_of(request), email=given["email"], name=given["name"])
        user: User = form.instance.account.user
        return user

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return show_once(self, request, obj.account, f"{obj.email} has an account.", page_of(obj))

    def write(self, request: HttpRequest, row: User, changes: Mapping[str, Any]) -> None:
        people.change(staff=staff_of(request), user=row, **changes)

    def has_renew_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, object_id, lambda user: not user.is_staff)

    @asks(
        title="Renew password",
        question="The present password and all sessions of this person end. The new password is shown once.",
        icon="key",
        allowed="renew",
    )
    def renew_password(self, request: HttpRequest, user: User) -> HttpResponse:
        account = people.renew_password(staff=staff_of(request), user=user)
        response = show_once(
            self, request, account, f"{user.email} has a new password.", page_of(user), template="console/secret.html"
        )
        # Instead of the dialog, which would send itself again.
        response["HX-Retarget"] = response["HX-Reselect"] = "#dialog"
        response["HX-Reswap"] = "outerHTML"
        return response


@admin.register(Membership)
class MemberPage(Console):
    about = "Which person may do what in which tenant: viewers read, operators order, owners also let people in."
    empty = "No tenant has members yet."
    entered = ("tenant", "user", "role")
    editable = ("role",)
    removable = True
    list_display = ("user", "tenant", "rank", "since")
    list_select_related = ("user", "tenant")
    list_filter = (BY_TENANT, "role")
    search_fields = ("user__email", "tenant__name")
    autocomplete_fields = ("tenant", "user")
    fieldsets = ((None, {"fields": ("tenant", "user", "role", "since")}),)
    on_tenant = "Members"

    @admin.display(description="Role", ordering="role")
    def rank(self, member: Membership) -> str:
        return looks.badge(member.role)

    since = looks.moment("created_at", "Since")

    def write_new(self, request: HttpRequest, form: Any) -> Membership:
        given = form.cleaned_data
        actor = acting_for(request, given["tenant"])
        return members.add(actor=actor, user=given["user"], role=Role(given["role"]))

    def write(self, request: HttpRequest, row: Membership, changes: Mapping[str, Any]) -> None:
        members.add(actor=acting_for(request, row.tenant), user=row.user, role=Role(changes["role"]))

    def remove(self, request: HttpRequest, row: Membership) -> None:
        members.remove(actor=acting_for(request, row.tenant), id=row.pk)


@admin.register(Invitation)
class InvitationPage(Console):
    about = "Roles offered by mail. The code is in the mail alone: nobody can read it here."
    empty = "No tenant has invited anybody yet."
    list_display = ("email", "tenant", "rank", "standing", "invited_by", "invited")
    list_select_related = ("tenant",)
    list_filter = (BY_TENANT, "role")
    search_fields = ("email", "id", "tenant__name")
    fieldsets = (
        ("Invitation", {"fields": ("id", "email", "tenant", "rank", "standing")}),
        ("When", {"fields": ("invited_by", "invited", "expires")}),
    )
    on_tenant = "Invitations"

    @admin.display(description="Role", ordering="role")
    def rank(self, invitation: Invitation) -> str:
        return looks.badge(invitation.role)

    @admin.display(description="State")
    def standing(self, invitation: Invitation) -> str:
        if invitation.accepted_at:
            return looks.badge("active", "Accepted")
        if invitation.withdrawn_at:
            return looks.badge("revoked", "Withdrawn", tone=looks.Tone.BAD)
        return looks.badge("open")

    invited = looks.moment("invited_at", "Invited")
    expires = looks.moment("expires_at", "Expires")


@admin.register(SingleSignOn)
class SignOnPage(Console):
    about = (
        "Providers at which tenants let their people log in. The secret is shown to nobody. A domain is confirmed by "
        "`manage.py confirm_domain`, after it was looked into."
    )
    empty = "No tenant has single sign-on yet."
    list_display = ("issuer", "tenant", "role", "domains", "confirmed", "changed")
    list_select_related = ("tenant",)
    list_filter = (BY_TENANT,)
    search_fields = ("issuer", "tenant__name")
    fieldsets = ((None, {"fields": ("tenant", "issuer", "client_id", "role", "domains", "confirmed", "changed")}),)
    changed = looks.moment("changed_at", "Changed")


@admin.register(Identity)
class IdentityPage(Console):
    about = "Who is who at a tenant's provider of single sign-on. It opens their account for this tenant alone."
    empty = "Nobody's account is linked to a provider yet."
    list_display = ("subject", "user", "tenant", "issuer", "linked")
    list_select_related = ("tenant", "user")
    list_filter = (BY_TENANT,)
    search_fields = ("subject", "user__email", "tenant__name")
    fieldsets = ((None, {"fields": ("subject", "user", "tenant", "issuer", "linked")}),)
    linked = looks.moment("created_at", "Linked")


@admin.register(ApiToken)
class TokenPage(Console):
    about = "Keys for programs. Nobody can read a token here: it was shown once, to the one who made it."
    empty = "No tenant has made a token yet."
    list_display = ("name", "prefix", "tenant", "rank", "standing", "expires", "used")
    list_select_related = ("tenant",)
    list_filter = (BY_TENANT, "role", ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "prefix", "id", "tenant__name")
    fieldsets = (
        ("Token", {"fields": ("name", "prefix", "tenant", "rank", "standing")}),
        ("When", {"fields": ("created_by", "created", "expires", "used")}),
    )
    actions_detail = ("revoke",)
    actions = ("revoke_selected",)
    on_tenant = "API tokens"

    @admin.display(description="Role", ordering="role")
    def rank(self, token: ApiToken) -> str:
        return looks.badge(token.role)

    @admin.display(description="State")
    def standing(self, token: ApiToken) -> str:
        return looks.badge("revoked", tone=looks.Tone.BAD) if token.revoked_at else looks.badge("active", "Not revoked")

    created = looks.moment("created_at", "Made")
    expires = looks.moment("expires_at", "Expires", never="never")
    used = looks.moment("last_used_at", "Last used", never="never")

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, object_id, lambda token: token.revoked_at is None)

    @asks(
        title="Revoke",
        question="Programs that use this token are refused from now on. It cannot be brought back.",
        icon="key_off",
        allowed="revoke",
        variant=ActionVariant.DANGER,
    )
    def revoke(self, request: HttpRequest, token: ApiToken) -> str:
        tokens.revoke(actor=acting_for(request, token.tenant), id=token.pk)
        return f"{token} is revoked."

    @admin.action(description="Revoke")
    def revoke_selected(self, request: HttpRequest, rows: QuerySet[ApiToken]) -> None:
        self.carry_out(request, rows, lambda token: TokenPage.revoke.verb(self, request, token))


@admin.register(AuditEvent)
class AuditPage(Console):
    about = "Who did what, when and from where. Written once: the database refuses to change it."
    empty = "Nobody has done anything yet."
    list_display = ("at", "actor", "verb", "thing", "tenant", "address")
    list_select_related = ("tenant",)
    list_filter = (BY_TENANT, "actor_kind", "object_type")
    search_fields = ("actor", "verb", "object_id", "request_id")
    date_hierarchy = "at"
    fieldsets = (
        ("What", {"fields": ("at", "actor", "verb", "thing", "tenant")}),
        ("From where", {"fields": ("actor_kind", "address", "request_id")}),
        ("Details", {"fields": ("details",)}),
    )
    on_tenant = "Audit trail"

    @admin.display(description="Object")
    def thing(self, event: AuditEvent) -> str:
        """The row by its id, linked where there is a page for it. It may be gone."""
        pages: Mapping[str, type[Model]] = {str(m._meta.model_name): m for m in self.admin_site._registry}
        model = pages.get(event.object_type)
        if model is None or not event.object_id:
            return event.object_id
        return looks.link(model(pk=event.object_id), f"{model._meta.verbose_name} {event.object_id}")

    @admin.display(description="Details")
    def details(self, event: AuditEvent) -> str:
        return looks.document(event.detail)


@admin.register(IdempotencyRecord)
class IdempotencyPage(Console):
    about = (
        "Requests that named an Idempotency-Key, so that sending one again does nothing twice. Answers are not shown: "
        "they are the customer's and may hold a token."
    )
    empty = "No request has named an Idempotency-Key lately."
    list_display = ("key", "path", "tenant", "outcome", "created_at")
    list_select_related = ("tenant",)
    list_filter = (BY_TENANT,)
    search_fields = ("key", "path")
    date_hierarchy = "created_at"
    fieldsets = ((None, {"fields": ("key", "path", "tenant", "outcome", "created_at", "started_at")}),)

    @admin.display(description="Answer", ordering="status", empty_value="in flight")
    def outcome(self, record: IdempotencyRecord) -> int | None:
        return record.status
