"""How people get in, in a real browser: an authenticator app, a passkey, sessions; accessible, wide, narrow, dark."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import caches
from django.test import Client
from playwright.sync_api import Page

from tenants.models import User
from tests import world
from tests.browser.conftest import Watched
from tests.browser.test_every_page import NARROW, WIDE, violations
from tests.browser.test_portal import clean, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

EMAIL, PASSWORD = "owner@acme.example", "correct horse battery"


@pytest.fixture
def seen(watched: Watched) -> Watched:
    world.customer("acme", world.pop())
    user = User.objects.get(email=EMAIL)
    user.set_password(PASSWORD)
    user.save()
    caches["counts"].clear()
    # Passkeys belong to a name, and browsers have none for an address.
    watched.base = watched.base.replace("127.0.0.1", "localhost")
    return watched


def enter(page: Page) -> None:
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


def code(secret: str, ahead: int) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + ahead)))


def leave(page: Page, watched: Watched) -> None:
    page.context.clear_cookies()
    watched.open("/login/")


def looked_at(watched: Watched, name: str) -> None:
    """The page that is open, in four ways; raises for what is no page for everybody."""
    watched.page.emulate_media(reduced_motion="reduce")
    page = watched.page
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.bsTheme = theme }", theme)
        for size in (WIDE, NARROW):
            page.set_viewport_size(size)
            assert violations(watched) == [], (name, theme, size)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, size)
        shoot(watched, f"{name}-{theme}")
    page.set_viewport_size(WIDE)


def test_an_app_is_set_up_and_used(seen: Watched) -> None:
    page = seen.open("/login/")
    looked_at(seen, "login")
    enter(page)
    page.wait_for_url("**/t/acme/")
    seen.open("/account/")
    page.get_by_role("link", name="Set an app up").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    secret = page.locator("#totp-secret").inner_text()
    looked_at(seen, "app")
    page.get_by_label("The six digits").fill(code(secret, -1))
    page.get_by_role("button", name="Switch on").click()
    page.locator("#recovery-codes li").nth(9).wait_for()
    looked_at(seen, "recovery-codes")
    leave(page, seen)
    enter(page)
    page.get_by_role("heading", name="One more thing").wait_for()
    looked_at(seen, "code")
    page.get_by_label("Code").fill(code(secret, 0))
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/t/acme/")
    clean(seen)


def test_a_passkey_is_made_and_lets_one_in_without_a_password(seen: Watched) -> None:
    page = seen.page
    keys = page.context.new_cdp_session(page)
    keys.send("WebAuthn.enable")
    keys.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    seen.open("/login/")
    enter(page)
    page.wait_for_url("**/t/acme/")
    seen.open("/account/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name, by which").fill("Laptop")
    looked_at(seen, "passkey")
    page.get_by_role("button", name="Make it").click()
    page.locator("#recovery-codes li").nth(9).wait_for()
    leave(page, seen)
    page.get_by_role("button", name="Log in with a passkey").click()
    page.wait_for_url("**/t/acme/")
    leave(page, seen)
    enter(page)
    page.get_by_role("button", name="Use a passkey instead").click()
    page.wait_for_url("**/t/acme/")
    seen.open("/account/")
    page.get_by_role("link", name="Remove passkey Laptop").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Remove it").click()
    page.get_by_role("link", name="Add a passkey").wait_for()
    assert page.get_by_text("Laptop").count() == 0
    clean(seen)


def test_a_session_elsewhere_is_ended(seen: Watched) -> None:
    elsewhere = Client(headers={"user-agent": "curl/8.14.1"})
    elsewhere.post("/login/", {"login": EMAIL, "password": PASSWORD})
    page = seen.open("/login/")
    enter(page)
    page.wait_for_url("**/t/acme/")
    seen.open("/account/")
    looked_at(seen, "account")
    page.get_by_role("button", name="Log out curl").click()
    page.get_by_text("1 session ended").wait_for()
    assert page.get_by_text("curl").count() == 0
    assert elsewhere.get("/account/").status_code == 302
    clean(seen)
