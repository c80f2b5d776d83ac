"""Second factors: set up by who shows again who they are, asked for at every way in, encrypted, and told of."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.usersessions.models import UserSession
from django.core import mail
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.test import Client, TestCase

from naas.core.crypto import UnreadableSecret, Vault, new_key
from tenants.actor import Actor, Role
from tenants.models import AuditEvent, Tenant, User
from tenants.signin import factors
from tenants.verbs import members, tokens

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
EMAIL = "ann@acme.example"


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    caches["counts"].clear()


@pytest.fixture
def ann() -> User:
    ann = User.objects.create_user(EMAIL, PASSWORD)
    for slug in ("acme", "globex"):
        tenant = Tenant.objects.create(name=slug.capitalize(), slug=slug)
        members.add(actor=Actor.system(tenant, "a test"), user=ann, role=Role.OWNER)
    return ann


@pytest.fixture
def browser(ann: User) -> Client:
    """Logged in, with a password."""
    client = Client()
    assert log_in(client)["Location"] == "/"
    return client


def log_in(client: Client, password: str = PASSWORD) -> Any:
    return client.post("/login/", {"login": EMAIL, "password": password})


def code(secret: str, ahead: int = 0) -> str:
    """What the app shows `ahead` half minutes from now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + ahead)))


def committed(client: Client, address: str, given: dict[str, str]) -> Any:
    with TestCase.captureOnCommitCallbacks(execute=True):
        answer = client.post(address, given)
    for thread in threading.enumerate():
        if thread.name == "mail":
            thread.join(5)
    return answer


def set_up(client: Client) -> str:
    """The secret of an authenticator app that is switched on."""
    asked = client.get("/account/app/")
    assert asked["Location"] == "/account/again/?next=%2Faccount%2Fapp%2F"
    assert client.post(asked["Location"], {"password": "not it at all"}).status_code == 200
    assert client.post(asked["Location"], {"password": PASSWORD})["Location"] == "/account/app/"
    page = client.get("/account/app/").content.decode()
    (secret,) = re.findall(r'id="totp-secret"[^>]*>(\w+)<', page)
    assert "data:image/svg+xml;base64," in page
    assert "Incorrect code" in client.post("/account/app/", {"code": "000000"}).content.decode()
    mail.outbox.clear()
    on = committed(client, "/account/app/", {"code": code(secret, -1)})
    assert on["Location"] == "/account/codes/"
    return str(secret)


def recovery(client: Client) -> list[str]:
    page = client.get("/account/codes/").content.decode()
    return re.findall(r"<li>(\w{8})</li>", page)


def test_an_app_is_set_up_by_who_shows_again_who_they_are_and_told_of_in_every_tenant(browser: Client) -> None:
    set_up(browser)
    assert [sent.subject for sent in mail.outbox] == ["An authenticator app was added to your account"]
    trail = AuditEvent.unscoped.filter(verb="account.totp_activated").order_by("tenant__slug")
    assert [event.tenant and event.tenant.slug for event in trail] == ["acme", "globex"]
    assert {(event.actor, event.address) for event in trail} == {(EMAIL, "127.0.0.1")}
    assert len(recovery(browser)) == 10
    assert "Switch the app off" in browser.get("/account/").content.decode()


def test_with_an_app_the_password_alone_opens_nothing(browser: Client) -> None:
    secret = set_up(browser)
    elsewhere = Client()
    assert log_in(elsewhere)["Location"] == "/login/code/"
    for address in ("/account/", "/t/acme/", "/api/v1/me", "/account/app/off/"):
        assert elsewhere.get(address).status_code in (302, 401)
    assert "Incorrect code" in elsewhere.post("/login/code/", {"code": "000000"}).content.decode()
    assert elsewhere.post("/login/code/", {"code": code(secret)})["Location"] == "/"
    assert elsewhere.get("/account/").status_code == 200


def test_a_code_opens_once(browser: Client) -> None:
    secret = set_up(browser)
    now = code(secret)
    first, second = Client(), Client()
    for client in (first, second):
        log_in(client)
    assert first.post("/login/code/", {"code": now}).status_code == 302
    assert second.post("/login/code/", {"code": now}).status_code == 200
    spent = recovery(browser)[0]
    assert second.post("/login/code/", {"code": spent}).status_code == 302
    third = Client()
    log_in(third)
    assert third.post("/login/code/", {"code": spent}).status_code == 200
    assert spent not in recovery(browser)


def test_codes_are_not_guessed(browser: Client) -> None:
    secret = set_up(browser)
    guesser = Client()
    log_in(guesser)
    for _ in range(5):
        guesser.post("/login/code/", {"code": "000000"})
    assert "Too many" in guesser.post("/login/code/", {"code": code(secret)}).content.decode()


def test_the_code_is_asked_for_and_spent_also_while_redis_is_away(browser: Client, settings: Any) -> None:
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = settings.CACHES | {"counts": away}
    test_a_code_opens_once(browser)


@pytest.mark.parametrize("way", ["invitation", "reset", "console"])
def test_no_other_way_in_goes_past_the_second_factor(browser: Client, ann: User, way: str) -> None:
    set_up(browser)
    stranger = Client()
    match way:
        case "console":
            User.objects.filter(pk=ann.pk).update(is_staff=True)
            assert stranger.get("/admin/login/")["Location"].startswith("/login/")
            assert stranger.post("/admin/login/", {"username": EMAIL, "password": PASSWORD}).status_code == 302
        case "reset":
            committed(stranger, "/account/forgotten/", {"email": EMAIL})
            (link,) = re.findall(r"http://testserver(/\S+)", str(mail.outbox[-1].body))
            at = stranger.get(link, follow=True).redirect_chain[-1][0]
            new = "another good phrase"
            assert stranger.post(at, {"password1": new, "password2": new}).status_code == 302
            assert log_in(stranger, new)["Location"] == "/login/code/"
        case "invitation":
            from tenants.verbs import invitations

            tenant = Tenant.objects.create(name="Initech", slug="initech")
            mail.outbox.clear()
            with TestCase.captureOnCommitCallbacks(execute=True):
                invitations.invite(
                    actor=Actor.system(tenant), email=EMAIL, role=Role.VIEWER, page="http://testserver/invitation/"
                )
            key = re.findall(r"#(\S+)", str(mail.outbox[0].body))[0]
            joined = stranger.post("/invitation/", {"code": key, "name": "", "password": PASSWORD})
            assert joined["Location"].startswith("/login/code/")
    assert stranger.get("/api/v1/me").status_code == 401


def test_an_app_is_switched_off_by_who_shows_again_who_they_are(browser: Client, ann: User) -> None:
    set_up(browser)
    fresh = Client()
    fresh.force_login(ann)
    assert fresh.post("/account/app/off/")["Location"].startswith("/account/again/")
    assert Authenticator.objects.filter(user=ann).count() == 2
    assert committed(browser, "/account/app/off/", {})["Location"] == "/account/factors/"
    assert not Authenticator.objects.filter(user=ann).exists(), "and recovery codes for nothing go as well"
    assert AuditEvent.unscoped.filter(verb="account.totp_deactivated").count() == 2


def test_secrets_are_encrypted_in_the_database_and_read_with_a_new_key_after_renewal(
    browser: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = set_up(browser)
    codes = recovery(browser)
    rows = [str(factor.data) for factor in Authenticator.objects.all()]
    assert len(rows) == 2
    assert not any(secret in row or codes[0] in row for row in rows)
    old, new = settings.NAAS_ENCRYPTION_KEYS[0], new_key()
    monkeypatch.setattr(factors, "vault", lambda: Vault([new, old]))
    call_command("renew_factors")
    monkeypatch.setattr(factors, "vault", lambda: Vault([new]))
    assert recovery(browser) == codes
    client = Client()
    log_in(client)
    assert client.post("/login/code/", {"code": code(secret)}).status_code == 302
    monkeypatch.setattr(factors, "vault", lambda: Vault([old]))
    with pytest.raises(UnreadableSecret):
        factors.renew()


def test_ones_factors_are_ones_own(browser: Client, ann: User) -> None:
    set_up(browser)
    User.objects.create_user("bob@acme.example", PASSWORD)
    key = Authenticator.objects.create(user=ann, type=Authenticator.Type.WEBAUTHN, data={"name": "k", "credential": {}})
    bob = Client()
    bob.post("/login/", {"login": "bob@acme.example", "password": PASSWORD})
    bob.post("/account/again/?next=/account/", {"password": PASSWORD})
    assert bob.post(f"/account/passkeys/{key.pk}/remove/").status_code == 404
    assert bob.get("/account/codes/").status_code == 404


# --- sessions -------------------------------------------------------------------------

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Safari/604.1"


def at(agent: str) -> Client:
    client = Client(headers={"user-agent": agent})
    log_in(client)
    return client


def test_sessions_are_listed_with_browser_and_address_and_ended_one_by_one(ann: User) -> None:
    here, telephone = at(FIREFOX), at(SAFARI)
    page = here.get("/account/").content.decode()
    assert "Firefox on Linux</strong> (this one)" in page
    assert "Safari on iPhone" in page and "from 127.0.0.1" in page
    row = UserSession.objects.get(user_agent=SAFARI)
    assert here.post("/account/sessions/", {"end": str(row.pk)})["Location"] == "/account/"
    assert telephone.get("/account/").status_code == 302
    assert here.get("/account/").status_code == 200
    assert AuditEvent.unscoped.filter(verb="account.sessions_ended").count() == 2


def test_all_other_sessions_are_ended_at_once(ann: User) -> None:
    here, *others = at(FIREFOX), at(SAFARI), at("curl/8.14.1")
    here.post("/account/sessions/", {"end": "others"})
    assert [client.get("/account/").status_code for client in (here, *others)] == [200, 302, 302]
    assert UserSession.objects.count() == 1


@pytest.mark.parametrize("which", ["", "0", "x", "-1", "9" * 30, "1 OR 1=1"])
def test_a_session_that_is_not_there_is_not_ended(ann: User, which: str) -> None:
    here = at(FIREFOX)
    assert here.post("/account/sessions/", {"end": which}).status_code == 302
    assert here.get("/account/").status_code == 200


def test_a_session_of_someone_else_or_ones_own_is_not_ended(ann: User) -> None:
    here = at(FIREFOX)
    bob = User.objects.create_user("bob@acme.example", PASSWORD)
    other = Client()
    other.force_login(bob)
    other.get("/account/")
    here.post("/account/sessions/", {"end": str(UserSession.objects.get(user=bob).pk)})
    here.post("/account/sessions/", {"end": str(UserSession.objects.get(user=ann).pk)})
    assert (other.get("/account/").status_code, here.get("/account/").status_code) == (200, 200)


def test_that_a_session_was_seen_is_written_once_a_minute(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    here = at(FIREFOX)
    here.get("/account/")
    first = UserSession.objects.get().last_seen_at
    here.get("/account/")
    assert UserSession.objects.get().last_seen_at == first
    now = time.time()
    monkeypatch.setattr("tenants.signin.sessions.time.time", lambda: now + 61)
    here.get("/account/")
    assert UserSession.objects.get().last_seen_at > first


def test_a_stranger_gets_no_session_by_looking(db: None) -> None:
    client = Client()
    client.get("/")
    assert "sessionid" not in client.cookies


def test_who_lost_everything_is_helped_on_the_command_line(browser: Client, ann: User) -> None:
    set_up(browser)
    call_command("remove_factors", EMAIL)
    assert log_in(Client())["Location"] == "/"
    assert AuditEvent.unscoped.filter(verb="account.factors_removed").count() == 2
    with pytest.raises(CommandError, match="no account of"):
        call_command("remove_factors", "nobody@acme.example")


# --- a tenant that asks for one -------------------------------------------------------


def ask(client: Client, asked: str = "on") -> Any:
    return client.post("/t/acme/settings/", {"act": "second-factor", "asked": asked}, follow=True)


@pytest.fixture
def viewer(ann: User) -> Client:
    bob = User.objects.create_user("bob@acme.example", PASSWORD)
    members.add(actor=Actor.system(Tenant.objects.get(slug="acme")), user=bob, role=Role.VIEWER)
    client = Client()
    client.force_login(bob)
    return client


def test_where_a_second_factor_is_required_nothing_is_seen_without(browser: Client, viewer: Client) -> None:
    assert "set up a second factor of your own first" in ask(browser).content.decode()
    assert not Tenant.objects.get(slug="acme").needs_second_factor
    set_up(browser)
    assert "1 member has none" in browser.get("/t/acme/settings/").content.decode()
    assert "Members need a second factor now" in ask(browser).content.decode()
    for address in (
        "/t/acme/",
        "/t/acme/services/",
        "/t/acme/team/",
        "/t/acme/settings/",
        "/t/acme/services/?format=csv",
    ):
        assert viewer.get(address)["Location"] == "/account/?for=acme#factors"
        assert viewer.post(address).status_code == 302
    page = viewer.get("/account/").content.decode()
    assert "Acme lets in only who has a second factor" in page
    refused = viewer.get("/api/v1/me")
    assert (refused.status_code, refused.json()["code"]) == (403, "second-factor-needed")
    assert browser.get("/t/acme/").status_code == 200


def test_who_sets_one_up_is_let_in_and_other_tenants_are_as_before(browser: Client, viewer: Client) -> None:
    set_up(browser)
    ask(browser)
    bob = User.objects.get(email="bob@acme.example")
    members.add(actor=Actor.system(Tenant.objects.get(slug="globex")), user=bob, role=Role.VIEWER)
    assert viewer.get("/t/globex/").status_code == 200
    Authenticator.objects.create(user=bob, type=Authenticator.Type.RECOVERY_CODES, data={"seed": "x"})
    assert viewer.get("/t/acme/").status_code == 302, "recovery codes are no factor"
    Authenticator.objects.create(user=bob, type=Authenticator.Type.WEBAUTHN, data={"name": "k", "credential": {}})
    assert viewer.get("/t/acme/").status_code == 200


def test_tokens_are_not_asked_for_a_second_factor(browser: Client, viewer: Client) -> None:
    acme = Tenant.objects.get(slug="acme")
    token = tokens.issue(actor=Actor.system(acme), name="ci", role=Role.VIEWER)
    set_up(browser)
    ask(browser)
    asked = Client().get("/api/v1/me", headers={"authorization": f"Bearer {token.plaintext}"})
    assert asked.status_code == 200


def test_only_an_owner_asks_for_second_factors(browser: Client, viewer: Client) -> None:
    assert "takes the role owner" in ask(viewer).content.decode()
    set_up(browser)
    ask(browser)
    browser.post("/t/acme/settings/", {"act": "second-factor"})
    assert not Tenant.objects.get(slug="acme").needs_second_factor
    trail = AuditEvent.unscoped.filter(verb="tenant.ask_second_factor").order_by("id")
    assert [event.detail["asked"] for event in trail] == [True, False]
    assert {event.tenant and event.tenant.slug for event in trail} == {"acme"}
