"""Single sign-on, against a real OpenID provider: it lets in who is linked, and no one by an address alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.test import Client, TestCase
from oidc_provider_mock import run_server_in_thread

from tenants.actor import Actor, Role
from tenants.models import AuditEvent, Identity, Membership, SingleSignOn, Tenant, User
from tenants.signin import oidc
from tenants.verbs import members

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
SECRET = "the-clients-secret-of-acme"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, run_server_in_thread() as server:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.NAAS_SSO_LOOPBACK = True
    caches["counts"].clear()


def person(email: str, role: Role = Role.VIEWER, *slugs: str, **fields: Any) -> User:
    user = User.objects.create_user(email, PASSWORD, **fields)
    for slug in slugs:
        members.add(actor=Actor.system(Tenant.objects.get(slug=slug)), user=user, role=role)
    return user


def logged_in(email: str) -> Client:
    client = Client()
    assert client.post("/login/", {"login": email, "password": PASSWORD}).status_code == 302
    return client


@pytest.fixture
def owner(db: None) -> Client:
    for slug in ("acme", "globex"):
        Tenant.objects.create(name=slug.capitalize(), slug=slug)
    person("owner@acme.example", Role.OWNER, "acme")
    return logged_in("owner@acme.example")


def configure(owner: Client, issuer: str, /, **changed: str) -> Any:
    given = {"issuer": issuer, "client_id": "naas", "secret": SECRET, "role": "viewer", "domains": "acme.example"}
    return owner.post("/t/acme/settings/sign-on/", given | changed, follow=True)


@pytest.fixture
def acme(owner: Client, issuer: str) -> Tenant:
    assert "Single sign-on is set" in configure(owner, issuer).content.decode()
    return Tenant.objects.get(slug="acme")


def known(issuer: str, subject: str, email: str, is_verified: object = True) -> None:
    """Let the provider know someone."""
    httpx.put(f"{issuer}/users/{subject}", json={"email": email, "email_verified": is_verified, "name": "Some One"})


def at_provider(client: Client, subject: str, slug: str = "acme") -> str:
    """The way back from the provider, after someone logged in there as `subject`."""
    away = client.get(f"/sso/{slug}/go/")
    assert away.status_code == 302, away.content.decode()
    there = httpx.post(away["Location"], data={"sub": subject})
    back = urlsplit(there.headers["location"])
    assert (back.netloc, back.path) == ("testserver", f"/sso/{slug}/back/")
    return f"{back.path}?{back.query}"


def sign_on(subject: str, client: Client | None = None) -> tuple[Client, Any]:
    client = client or Client()
    return client, client.get(at_provider(client, subject))


def link(client: Client, subject: str) -> Any:
    asked = client.post("/sso/acme/")
    assert asked["Location"].startswith("/account/again/")
    client.post(asked["Location"], {"password": PASSWORD})
    return client.get(at_provider(client, subject))


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


def test_the_secret_is_encrypted_and_never_shown_again(owner: Client, acme: Tenant, issuer: str) -> None:
    row = SingleSignOn.unscoped.get()
    assert SECRET not in row.sealed
    page = owner.get("/t/acme/settings/sign-on/").content.decode()
    assert SECRET not in page and row.sealed not in page
    assert "http://testserver/sso/acme/back/" in page
    assert SECRET not in str([event.detail for event in AuditEvent.unscoped.filter(verb="signon.configure")])
    assert "is set" in text(configure(owner, issuer, secret="", role=""))
    assert "give the secret that belongs to" in text(configure(owner, "https://evil.example", secret=""))
    call_command("renew_factors")
    assert SingleSignOn.unscoped.get().sealed != row.sealed


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("issuer", "ftp://login.example.com", "give the provider"),
        ("issuer", "https://u:p@login.example.com", "without user, query or fragment"),
        ("issuer", "https://login.example.com/?x=1", "without user, query or fragment"),
        ("issuer", "https://[::1", "this is no address"),
        ("issuer", "", "give the provider"),
        ("client_id", "", "client id"),
        ("domains", "acme.example not_a_domain", "is no domain"),
        ("role", "owner", "is one of viewer, operator"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(
    owner: Client, issuer: str, field: str, value: str, said: str
) -> None:
    assert f"{field}: " in (refused := text(configure(owner, issuer, **{field: value})))
    assert said in refused
    assert not SingleSignOn.unscoped.exists()


def test_plain_http_is_refused_but_in_tests(owner: Client, issuer: str, settings: Any) -> None:
    settings.NAAS_SSO_LOOPBACK = False
    assert "give the provider" in text(configure(owner, issuer))


def test_only_an_owner_sets_it(owner: Client, issuer: str) -> None:
    person("op@acme.example", Role.OPERATOR, "acme")
    operator = logged_in("op@acme.example")
    assert operator.get("/t/acme/settings/sign-on/").status_code == 403
    configure(operator, issuer)
    assert not SingleSignOn.unscoped.exists()


def test_who_links_their_account_logs_in_by_it(acme: Tenant, issuer: str) -> None:
    ann = person("ann@elsewhere.example", Role.OPERATOR, "acme")
    known(issuer, "s-ann", "another@address.example")
    assert link(logged_in(ann.email), "s-ann")["Location"] == "/account/"
    client, answer = sign_on("s-ann")
    assert answer["Location"] == "/t/acme/"
    assert client.get("/api/v1/me").json()["role"] == "operator"
    assert AuditEvent.unscoped.get(verb="signon.link").actor == ann.email


def test_an_asserted_address_opens_no_account(acme: Tenant, issuer: str) -> None:
    """Neither of a member, nor of another tenant's people, nor of staff, though address and domain are right."""
    call_command("confirm_domain", "acme", "acme.example")
    person("ann@acme.example", Role.VIEWER, "acme")
    person("gil@acme.example", Role.OWNER, "globex")
    person("ops@acme.example", is_staff=True)
    for name in ("ann", "gil", "ops", "owner"):
        known(issuer, f"x-{name}", f"{name.capitalize()}@ACME.example")
        client, answer = sign_on(f"x-{name}")
        assert answer.status_code == 403 and "log in with your password first" in text(answer)
        assert client.get("/api/v1/me").status_code == 401
    assert not Identity.unscoped.exists()


@pytest.mark.parametrize(
    ("email", "is_verified", "confirmed", "role", "lets"),
    [
        ("new@acme.example", True, "acme.example", "viewer", True),
        ("new@acme.example", True, "", "viewer", False),
        ("new@acme.example", True, "acme.example", "", False),
        ("new@acme.example", False, "acme.example", "viewer", False),
        ("new@acme.example", "true", "acme.example", "viewer", False),
        ("new@sub.acme.example", True, "acme.example", "viewer", False),
        ("new@other.example", True, "acme.example other.example", "viewer", False),
        ("", True, "acme.example", "viewer", False),
        ("a b@acme.example", True, "acme.example", "viewer", False),
    ],
)
def test_new_people_are_let_in_only_as_the_tenant_set_and_of_confirmed_domains(
    owner: Client, issuer: str, email: str, is_verified: object, confirmed: str, role: str, lets: bool
) -> None:
    configure(owner, issuer, role=role)
    for domain in confirmed.split():
        call_command("confirm_domain", "acme", domain)
    subject = f"n-{abs(hash((email, is_verified, confirmed, role)))}"
    known(issuer, subject, email, is_verified)
    client, answer = sign_on(subject)
    assert answer.status_code == (302 if lets else 403), text(answer)
    assert Membership.unscoped.filter(user__email=email, role="viewer").exists() is lets
    assert User.objects.filter(email=email).exists() is lets
    if lets:
        assert not User.objects.get(email=email).has_usable_password()
        assert sign_on(subject)[1]["Location"] == "/t/acme/", "and again the next time"
        assert AuditEvent.unscoped.filter(verb="signon.join").count() == 1
        page = text(client.get("/account/"))
        assert "Choose a password by mail" in page and "Password of today" not in page
        assert client.post("/account/password/", {"password1": "x"}).status_code == 200
        assert not User.objects.get(email=email).has_usable_password()


def test_a_domain_is_confirmed_for_one_tenant(acme: Tenant, issuer: str) -> None:
    call_command("confirm_domain", "acme", "Acme.example")
    globex = Tenant.objects.get(slug="globex")
    with pytest.raises(CommandError, match="no single sign-on"):
        call_command("confirm_domain", "globex", "acme.example")
    SingleSignOn.unscoped.create(tenant=globex, issuer=issuer, client_id="g", sealed="x")
    with pytest.raises(CommandError, match="for another tenant"):
        call_command("confirm_domain", "globex", "acme.example")
    with pytest.raises(CommandError, match="is no domain"):
        call_command("confirm_domain", "globex", "example")


def test_a_session_by_a_tenants_provider_is_for_this_tenant_alone(acme: Tenant, issuer: str) -> None:
    ann = person("ann@elsewhere.example", Role.OWNER, "acme", "globex")
    link(logged_in(ann.email), "s-both")
    client, _ = sign_on("s-both")
    assert client.get("/t/acme/").status_code == 200
    assert client.get("/t/globex/").status_code == 403
    assert client.get("/api/v1/me", headers={"X-Tenant": "globex"}).status_code == 403
    client.post("/logout/")
    client.post("/login/", {"login": ann.email, "password": PASSWORD})
    assert client.get("/t/globex/").status_code == 200, "the password opens all"


@pytest.mark.parametrize("how", ["removed", "closed", "staff", "off", "suspended"])
def test_who_may_not_any_more_is_not_let_in(owner: Client, acme: Tenant, issuer: str, how: str) -> None:
    ann = person("ann@elsewhere.example", Role.VIEWER, "acme")
    link(logged_in(ann.email), f"s-{how}")
    client = Client()
    back = at_provider(client, f"s-{how}")
    match how:
        case "removed":
            member = Membership.unscoped.get(user=ann)
            members.remove(actor=Actor.system(acme), id=member.pk)
        case "closed":
            User.objects.filter(pk=ann.pk).update(is_active=False)
        case "staff":
            User.objects.filter(pk=ann.pk).update(is_staff=True)
        case "off":
            owner.post("/t/acme/settings/sign-on/", {"act": "off"})
        case "suspended":
            Tenant.objects.update(status="suspended")
    assert client.get(back).status_code in (403, 404)
    assert client.get("/api/v1/me").status_code == 401


def test_a_second_factor_is_asked_for_here_too(acme: Tenant, issuer: str) -> None:
    ann = person("ann@elsewhere.example", Role.VIEWER, "acme")
    link(logged_in(ann.email), "s-mfa")
    Authenticator.objects.create(user=ann, type=Authenticator.Type.WEBAUTHN, data={"name": "k", "credential": {}})
    client, answer = sign_on("s-mfa")
    assert answer["Location"].startswith("/login/code/")
    assert client.get("/api/v1/me").status_code == 401


def test_a_way_back_is_good_once_and_in_its_own_session(acme: Tenant, issuer: str) -> None:
    ann = person("ann@elsewhere.example", Role.VIEWER, "acme")
    link(logged_in(ann.email), "s-once")
    client = Client()
    back = at_provider(client, "s-once")
    assert Client().get(back).status_code == 400, "somebody else's session"
    assert client.get(back.replace("code=", "code=x")).status_code == 400
    assert client.get(back).status_code == 400, "its state is spent"
    assert client.get("/sso/acme/back/?error=access_denied&state=x").status_code == 400
    assert client.get("/sso/acme/back/").status_code == 400


def test_nobody_is_linked_without_asking_for_it(acme: Tenant, issuer: str) -> None:
    """As if a stranger led someone who is logged in to a way back of theirs."""
    ann = person("ann@elsewhere.example", Role.VIEWER, "acme")
    client = logged_in(ann.email)
    assert client.get("/sso/acme/go/")["Location"] == "/t/acme/"
    stranger = Client()
    back = at_provider(stranger, "s-evil")
    assert client.get(back).status_code == 400
    bob = person("bob@elsewhere.example", Role.VIEWER, "acme")
    assert link(logged_in(bob.email), "s-bob").status_code == 302
    assert "linked to another account" in text(link(client, "s-bob"))
    assert list(Identity.unscoped.values_list("user__email", flat=True)) == [bob.email]


def test_who_is_no_member_or_staff_is_not_linked(acme: Tenant, issuer: str) -> None:
    for email, fields in (("gil@globex.example", {}), ("ops@provider.example", {"is_staff": True})):
        person(email, Role.OWNER, "globex", **fields)
        client = logged_in(email)
        asked = client.post("/sso/acme/")
        refused = client.post(asked["Location"], {"password": PASSWORD})
        assert refused.status_code == 403
    boss = person("boss@provider.example", Role.OWNER, "acme", is_staff=True)
    assert link(logged_in(boss.email), "s-boss").status_code == 403
    assert not Identity.unscoped.exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://no-such-name.invalid/",
        "file:///etc/passwd",
    ],
)
def test_no_provider_leads_us_into_our_own_network(settings: Any, url: str) -> None:
    settings.NAAS_SSO_LOOPBACK = False
    with pytest.raises(oidc.SignOnFailed):
        oidc.refuse_inward(url)


def test_a_provider_that_calls_itself_otherwise_or_does_not_answer_is_refused(
    owner: Client, issuer: str, settings: Any
) -> None:
    configure(owner, issuer.replace("localhost", "127.0.0.1") + "/elsewhere")
    assert Client().get("/sso/acme/go/").status_code == 400
    configure(owner, "http://localhost:1")
    answer = Client().get("/sso/acme/go/")
    assert answer.status_code == 400 and "Single sign-on did not work" in text(answer)


def test_a_tenant_without_it_has_no_such_address(owner: Client) -> None:
    for address in ("/sso/acme/", "/sso/acme/go/", "/sso/acme/back/", "/sso/nobody/"):
        assert Client().get(address).status_code == 404


def test_who_came_by_single_sign_on_gets_a_password_by_mail(acme: Tenant, issuer: str) -> None:
    call_command("confirm_domain", "acme", "acme.example")
    known(issuer, "s-mail", "mail@acme.example")
    sign_on("s-mail")
    with TestCase.captureOnCommitCallbacks(execute=True):
        Client().post("/account/forgotten/", {"email": "mail@acme.example"})
    for thread in threading.enumerate():
        if thread.name == "mail":
            thread.join(5)
    (link,) = re.findall(r"http://testserver(/\S+)", str(mail.outbox[-1].body))
    client = Client()
    at = client.get(link, follow=True).redirect_chain[-1][0]
    assert client.post(at, {"password1": PASSWORD, "password2": PASSWORD}).status_code == 302
    assert logged_in("mail@acme.example").get("/t/acme/").status_code == 200
