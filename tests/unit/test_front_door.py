"""The front door: a customer whom the provider has let in gets from a password to a token without anybody's help."""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache
from django.test import Client

from tenants.actor import Actor, Role
from tenants.models import Tenant, User
from tenants.verbs import members
from tests.callers import Caller

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    cache.clear()


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
    answer = browser.post(at, mark | {"username": email, "password": password}, follow=True)
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


@pytest.mark.parametrize("at", ["/login/", "/admin/login/"])
def test_guessing_is_held_up_even_when_it_guesses_right(ann: User, browser: Client, at: str) -> None:
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    for _ in range(20):
        log_in(browser, "ann@acme.example", "a wrong password", at)
    assert "Too many attempts. Try again in" in log_in(browser, "ann@acme.example", at=at)
    cache.clear()
    assert "Too many attempts" not in log_in(browser, "ann@acme.example", at=at)


def test_a_login_leads_to_no_other_site(ann: User, browser: Client) -> None:
    assert log_in(browser, "ann@acme.example", at="/login/?next=https://evil.example/").startswith("/t/acme/ ")


def test_who_belongs_nowhere_is_told_whom_to_ask(db: None, browser: Client) -> None:
    User.objects.create_user("bob@acme.example", PASSWORD)
    assert "ask its owner or the provider" in log_in(browser, "bob@acme.example")
