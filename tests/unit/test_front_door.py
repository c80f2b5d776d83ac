"""The front door: a customer whom the provider has let in gets from a password to a token without anybody's help."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.core import mail
from django.core.cache import caches
from django.test import Client, TestCase
from django.utils import timezone

from tenants.actor import Actor, Role
from tenants.models import AuditEvent, Tenant, User
from tenants.verbs import members
from tests.callers import Caller

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    caches["counts"].clear()


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="Acme", slug="acme")


@pytest.fixture
def ann(tenant: Tenant) -> User:
    ann = User.objects.create_user("ann@acme.example", PASSWORD)
    members.add(actor=Actor.system(tenant, "a test"), user=ann, role=Role.OWNER)
    return ann


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def log_in(browser: Client, email: str, password: str = PASSWORD, at: str = "/login/") -> str:
    """The page that comes of it, with the path it was led to in front."""
    browser.get(at)
    mark = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    answer = browser.post(at, mark | {"login": email, "password": password}, follow=True)
    return f"{answer.request['PATH_INFO']} {answer.content.decode()}"


def test_a_stranger_finds_the_ways_in(db: None, browser: Client) -> None:
    page = browser.get("/").content.decode()
    for address in ("/login/", "/api/docs/", "/admin/"):
        assert f'"{address}"' in page
        assert browser.get(address).status_code in (200, 302)


def test_a_person_logs_in_and_makes_a_token_that_works(ann: User, browser: Client) -> None:
    page = log_in(browser, "ann@acme.example")
    assert page.startswith("/t/acme/ ")
    assert "ann@acme.example, owner" in page
    asked = json.dumps({"name": "ci", "role": "operator"})
    mark = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    made = browser.post("/api/v1/tokens", asked, content_type="application/json", headers=mark)
    assert made.status_code == 201, made.content
    program = Caller(None)
    program.headers["Authorization"] = f"Bearer {made.json()['token']}"
    assert program.get("me").json()["role"] == "operator"


def test_a_session_writes_nothing_without_its_mark(ann: User, browser: Client) -> None:
    log_in(browser, "ann@acme.example")
    made = browser.post("/api/v1/tokens", "{}", content_type="application/json")
    assert (made.status_code, made.json()["code"]) == (403, "forbidden")


def test_a_person_logs_out(ann: User, browser: Client) -> None:
    log_in(browser, "ann@acme.example")
    browser.post("/logout/", {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value})
    assert browser.get("/api/v1/me").status_code == 401


def test_a_wrong_password_is_refused_and_shown_to_nobody(ann: User, browser: Client) -> None:
    page = log_in(browser, "ann@acme.example", "hunter2hunter2")
    assert page.startswith("/login/")
    assert 'role="alert"' in page
    assert "hunter2hunter2" not in page


def test_many_passwords_from_one_address_are_held_up_whatever_account_they_are_for(
    ann: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Within one window, however slow this machine is.
    monkeypatch.setattr("tenants.api.throttling.time", SimpleNamespace(time=lambda: 1_000_000.0))
    for number in range(20):
        log_in(browser, f"nobody-{number}@acme.example", "a wrong password")
    assert "Too many attempts. Try again in" in log_in(browser, "ann@acme.example")
    caches["counts"].clear()
    assert log_in(browser, "ann@acme.example").startswith("/t/acme/ ")


def lock_out(browser: Client) -> None:
    for _ in range(5):
        log_in(browser, "Ann@Acme.example", "a wrong password")


def test_who_guesses_at_one_account_is_locked_out_even_with_the_right_password_and_told_until_when(
    ann: User, browser: Client
) -> None:
    lock_out(browser)
    page = log_in(browser, "ann@acme.example")
    until = timezone.now() + timedelta(minutes=15)
    assert "Too many wrong passwords" in page
    assert any(f"{moment:%H:%M} UTC" in page for moment in (until, until - timedelta(minutes=1)))
    assert browser.get("/api/v1/me").status_code == 401


def test_a_lock_out_ends_by_itself_and_is_not_made_longer_by_trying(ann: User, browser: Client) -> None:
    lock_out(browser)
    log_in(browser, "ann@acme.example")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert log_in(browser, "ann@acme.example").startswith("/t/acme/ ")


def test_who_is_locked_out_at_one_address_gets_in_from_another_and_others_from_there(
    ann: User, browser: Client, settings: Any
) -> None:
    settings.NAAS_TRUSTED_PROXIES = 1
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    User.objects.create_user("bob@acme.example", PASSWORD)
    elsewhere = Client(enforce_csrf_checks=True, headers={"x-forwarded-for": "203.0.113.9"})
    lock_out(elsewhere)
    assert "Too many wrong passwords" in log_in(elsewhere, "ann@acme.example")
    liar = Client(enforce_csrf_checks=True, headers={"x-forwarded-for": "198.51.100.1, 203.0.113.9"})
    assert "Too many wrong passwords" in log_in(liar, "ann@acme.example"), "only what the proxy says is believed"
    assert log_in(elsewhere, "bob@acme.example").startswith("/ ")
    other = Client(enforce_csrf_checks=True, headers={"x-forwarded-for": "203.0.113.10"})
    assert log_in(other, "ann@acme.example").startswith("/t/acme/ ")


def test_nobody_signs_up(db: None, browser: Client) -> None:
    for address in ("/signup/", "/account/signup/", "/accounts/signup/", "/account/email/"):
        assert browser.get(address).status_code == 404


def test_the_console_is_entered_by_the_same_door(ann: User, browser: Client) -> None:
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    assert browser.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    assert browser.get("/admin/login/?next=/admin/")["Location"] == "/login/?next=/admin/"
    assert browser.get("/admin/login/?next=https://evil.example/")["Location"] == "/login/?next=/admin/"
    assert log_in(browser, "ann@acme.example", at="/login/?next=/admin/").startswith("/admin/ ")


def forgot(browser: Client, email: str) -> str:
    mail.outbox.clear()
    browser.get("/account/forgotten/")
    mark = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    with TestCase.captureOnCommitCallbacks(execute=True):
        answer = browser.post("/account/forgotten/", mark | {"email": email}, follow=True)
    for thread in threading.enumerate():
        if thread.name == "mail":
            thread.join(5)
    return str(answer.content.decode())


def test_a_forgotten_password_is_replaced_by_a_link_that_works_once_and_ends_all_sessions(
    ann: User, browser: Client
) -> None:
    elsewhere = Client()
    elsewhere.force_login(ann)
    forgot(browser, "Ann@acme.example")
    (sent,) = mail.outbox
    assert sent.to == ["ann@acme.example"]
    (link,) = re.findall(r"http://testserver(/\S+)", str(sent.body))
    form = browser.get(link, follow=True)
    assert link.rpartition("-")[2].strip("/") not in str(form.redirect_chain[-1]), "the key leaves the address"
    mark = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    new = {"password1": "another good phrase", "password2": "another good phrase"}
    assert (
        "at least 12" in browser.post(form.redirect_chain[-1][0], mark | dict.fromkeys(new, "short")).content.decode()
    )
    assert browser.post(form.redirect_chain[-1][0], mark | new).status_code == 302
    assert elsewhere.get("/account/").status_code == 302, "whoever was logged in is not any more"
    assert "used already" in Client().get(link, follow=True).content.decode()
    assert log_in(browser, "ann@acme.example", "another good phrase").startswith("/t/acme/ ")
    assert AuditEvent.unscoped.get(verb="account.password_reset").tenant_id == ann.memberships.get().tenant_id


def test_a_forgotten_password_does_not_tell_who_has_an_account(ann: User, browser: Client) -> None:
    known = forgot(browser, "ann@acme.example")
    unknown = forgot(browser, "nobody@acme.example")
    assert mail.outbox == []
    scrub = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')
    assert scrub.sub("", known) == scrub.sub("", unknown)


def test_another_password_ends_the_other_sessions_and_is_told_by_mail(ann: User, browser: Client) -> None:
    elsewhere = Client()
    elsewhere.force_login(ann)
    log_in(browser, "ann@acme.example")
    mail.outbox.clear()
    mark = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    given = {"oldpassword": "not it at all", "password1": "another good phrase", "password2": "another good phrase"}
    refused = browser.post("/account/password/", mark | given)
    assert 'id="p-oldpassword"' in refused.content.decode() and elsewhere.get("/account/").status_code == 200
    with TestCase.captureOnCommitCallbacks(execute=True):
        assert browser.post("/account/password/", mark | given | {"oldpassword": PASSWORD})["Location"] == "/account/"
    assert browser.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    for thread in threading.enumerate():
        if thread.name == "mail":
            thread.join(5)
    assert [sent.subject for sent in mail.outbox] == ["Your password was changed"]
    assert AuditEvent.unscoped.get(verb="account.password_changed").actor == "ann@acme.example"


def test_who_has_a_closed_account_is_told_so_only_with_the_right_password(ann: User, browser: Client) -> None:
    User.objects.filter(pk=ann.pk).update(is_active=False)
    assert log_in(browser, "ann@acme.example", "a wrong password").startswith("/login/ ")
    assert "This account is closed" in log_in(browser, "ann@acme.example")


def test_getting_in_needs_no_redis(ann: User, browser: Client, settings: Any) -> None:
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = settings.CACHES | {"counts": away}
    assert log_in(browser, "ann@acme.example", "a wrong password").startswith("/login/ ")
    assert log_in(browser, "ann@acme.example").startswith("/t/acme/ ")
    assert "Look into your mail" in forgot(Client(enforce_csrf_checks=True), "ann@acme.example")


def test_a_login_leads_to_no_other_site(ann: User, browser: Client) -> None:
    assert log_in(browser, "ann@acme.example", at="/login/?next=https://evil.example/").startswith("/t/acme/ ")


def test_who_belongs_nowhere_is_told_whom_to_ask(db: None, browser: Client) -> None:
    User.objects.create_user("bob@acme.example", PASSWORD)
    assert "ask its owner or the provider" in log_in(browser, "bob@acme.example")
