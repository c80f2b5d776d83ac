"""The pages about a tenant itself: its people and invitations, tokens, trail and settings."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from tenants.models import ApiToken, AuditEvent, Invitation, Membership, Tenant, TenantStatus, User
from tenants.verbs import tokens
from tests import world

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"


@pytest.fixture
def owner(db: None) -> Client:
    world.customer("acme", world.pop())
    return person("owner@acme.example")


def person(email: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(email=email))
    return client


def invite(owner: Client, commits: Any, email: str = "new@acme.example", role: str = "operator") -> str:
    """The code in the mail that an invitation sends."""
    mail.outbox.clear()
    with commits(execute=True):
        assert owner.post("/t/acme/team/invite/", {"email": email, "role": role}).status_code == 303
    (sent,) = mail.outbox
    assert sent.to == [email]
    (link,) = re.findall(r"http\S+", str(sent.body))
    page, _, code = link.partition("#")
    assert page == "http://testserver/invitation/"
    return str(code)


def join(code: str, password: str = PASSWORD, client: Client | None = None) -> Any:
    return (client or Client()).post("/invitation/", {"code": code, "name": "New One", "password": password})


def test_who_is_invited_joins_with_the_code_of_the_mail_and_a_password_of_their_own(
    owner: Client, django_capture_on_commit_callbacks: Any
) -> None:
    code = invite(owner, django_capture_on_commit_callbacks)
    assert code not in owner.get("/t/acme/team/").content.decode()
    assert "new@acme.example" in owner.get("/t/acme/team/").content.decode()
    client = Client()
    joined = join(code, client=client)
    assert (joined.status_code, joined["Location"]) == (302, "/t/acme/")
    assert client.get("/t/acme/").status_code == 200, "and is logged in"
    member = Membership.unscoped.get(user__email="new@acme.example")
    assert (member.role, member.user.name, member.user.check_password(PASSWORD)) == ("operator", "New One", True)
    assert AuditEvent.unscoped.filter(verb="member.invite", object_id=Invitation.unscoped.latest("invited_at").pk)
    assert join(code).status_code == 400, "a code opens once"


def test_a_weak_password_is_refused_and_the_invitation_stays_open(
    owner: Client, django_capture_on_commit_callbacks: Any
) -> None:
    code = invite(owner, django_capture_on_commit_callbacks)
    refused = join(code, "short")
    assert refused.status_code == 400
    assert "at least 12 characters" in refused.content.decode()
    assert not User.objects.filter(email="new@acme.example").exists()
    assert join(code).status_code == 302


def test_who_has_an_account_joins_with_its_password_and_keeps_it(
    owner: Client, django_capture_on_commit_callbacks: Any
) -> None:
    User.objects.create_user("known@other.example", PASSWORD, name="Known")
    code = invite(owner, django_capture_on_commit_callbacks, "Known@Other.example".lower())
    wrong = join(code, "not the right password")
    assert wrong.status_code == 400
    assert not Membership.unscoped.filter(user__email="known@other.example").exists()
    assert join(code).status_code == 302
    user = User.objects.get(email="known@other.example")
    assert (user.name, user.check_password(PASSWORD)) == ("Known", True)


@pytest.mark.parametrize("how", ["withdrawn", "late", "again", "suspended"])
def test_an_invitation_that_is_not_open_any_more_lets_nobody_in(
    owner: Client, django_capture_on_commit_callbacks: Any, how: str
) -> None:
    code = invite(owner, django_capture_on_commit_callbacks)
    invitation = Invitation.unscoped.get(email="new@acme.example")
    match how:
        case "withdrawn":
            owner.post(f"/t/acme/team/invitations/{invitation.pk}/withdraw/")
        case "late":
            Invitation.unscoped.update(expires_at=timezone.now() - timedelta(seconds=1))
        case "again":
            assert invite(owner, django_capture_on_commit_callbacks) != code
        case "suspended":
            Tenant.objects.update(status=TenantStatus.SUSPENDED)
    refused = join(code)
    assert refused.status_code == 400
    assert "not open any more" in refused.content.decode()
    assert not User.objects.filter(email="new@acme.example").exists()


@pytest.mark.parametrize(
    ("email", "role", "said"),
    [
        ("nobody", "viewer", "no e-mail address"),
        ("a@b.example\nBcc: c@d.example", "viewer", "no e-mail address"),
        ("x@acme.example", "king", "is one of viewer, operator, owner"),
        ("viewer@acme.example", "owner", "is a member of Acme already"),
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(owner: Client, email: str, role: str, said: str) -> None:
    before = Invitation.unscoped.count()
    answer = owner.post("/t/acme/team/invite/", {"email": email, "role": role}, follow=True)
    assert said in answer.content.decode()
    assert Invitation.unscoped.count() == before


@pytest.mark.django_db(transaction=True)
def test_a_mail_that_cannot_be_sent_is_said_and_the_invitation_can_be_sent_again(owner: Client, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    answer = owner.post("/t/acme/team/invite/", {"email": "new@acme.example", "role": "viewer"}, follow=True)
    assert "the mail could not be sent" in answer.content.decode()
    assert Invitation.unscoped.filter(email="new@acme.example", withdrawn_at__isnull=True).count() == 1


def test_a_members_role_is_changed_and_the_last_owner_stays(owner: Client) -> None:
    viewer = Membership.unscoped.get(user__email="viewer@acme.example")
    owner.post(f"/t/acme/team/{viewer.pk}/", {"role": "operator"})
    viewer.refresh_from_db()
    assert viewer.role == "operator"
    me = Membership.unscoped.get(user__email="owner@acme.example")
    for change in ({"role": "viewer"}, {"act": "remove"}):
        said = owner.post(f"/t/acme/team/{me.pk}/", change, follow=True).content.decode()
        assert "is the last owner" in said
    owner.post(f"/t/acme/team/{viewer.pk}/", {"act": "remove"})
    assert not Membership.unscoped.filter(pk=viewer.pk).exists()


def test_a_token_is_shown_once_works_and_is_revoked(owner: Client) -> None:
    made = owner.post("/t/acme/tokens/", {"name": "ci", "role": "operator", "days": "30"})
    assert made["Cache-Control"] == "no-store"
    (plaintext,) = re.findall(r"naas_\w+_[\w-]{20,}", made.content.decode())
    assert tokens.find(plaintext) == ApiToken.unscoped.get(name="ci")
    assert plaintext not in owner.get("/t/acme/tokens/").content.decode()
    owner.post(f"/t/acme/tokens/{ApiToken.unscoped.get(name='ci').pk}/revoke/")
    assert tokens.find(plaintext) is None
    assert "revoked" in owner.get("/t/acme/tokens/?revoked=False").content.decode()
    for wrong in ({"name": ""}, {"days": "9999"}, {"role": "king"}):
        asked = {"name": "x", "role": "viewer", "days": ""} | wrong
        assert owner.post("/t/acme/tokens/", asked).status_code == 303
    assert not ApiToken.unscoped.filter(name="x").exists()


def test_only_owners_see_tokens_and_only_who_may_order_sees_the_trail(owner: Client) -> None:
    viewer = person("viewer@acme.example")
    assert viewer.get("/t/acme/tokens/").status_code == 403
    assert viewer.get("/t/acme/audit/").status_code == 403
    page = viewer.get("/t/acme/team/").content.decode()
    assert "/t/acme/tokens/" not in page, "what one may not see is not offered"
    assert "guest@acme.example" not in page, "who is invited is the owners' matter"
    Membership.unscoped.filter(user__email="viewer@acme.example").update(role="operator")
    assert viewer.get("/t/acme/audit/").status_code == 200
    assert viewer.get("/t/acme/tokens/").status_code == 403


def test_the_trail_is_searched_and_exported(owner: Client) -> None:
    owner.post("/t/acme/settings/", {"name": "Acme Networks"})
    assert Tenant.objects.get().name == "Acme Networks"
    page = owner.get("/t/acme/audit/?verb=tenant.rename").content.decode()
    assert "Acme Networks" in page
    AuditEvent.unscoped.create(
        tenant=Tenant.objects.get(), actor="x", actor_kind="user", verb="order.place", detail={"items": ["add edge-a"]}
    )
    assert "items: [&#x27;add edge-a&#x27;]" in owner.get("/t/acme/audit/").content.decode()
    export = owner.get("/t/acme/audit/?format=csv&q=tenant.rename").getvalue().decode()
    assert "tenant.rename" in export
    assert owner.post("/t/acme/settings/", {"name": " "}, follow=True).status_code == 200
    assert Tenant.objects.get().name == "Acme Networks"


def test_another_password_ends_other_sessions(owner: Client) -> None:
    user = User.objects.get(email="owner@acme.example")
    user.set_password(PASSWORD)
    user.save()
    here, there = person(user.email), person(user.email)
    new = "another horse battery staple"
    changed = here.post("/account/", {"oldpassword": PASSWORD, "password1": new, "password2": new}, follow=True)
    assert "The password is changed" in changed.content.decode()
    assert here.get("/t/acme/").status_code == 200
    assert there.get("/t/acme/").status_code == 302
    assert Client().get("/account/").status_code == 302
