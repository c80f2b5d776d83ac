"""From an invitation to a router that carries traffic and back to nothing, in a browser, on a platform of its own.

Everything is real: mails in files, the processes of `make up`, a point of presence with containers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.account import OWNER
from tests.browser.conftest import Watched
from tests.platform import SAMPLES, Platform

pytestmark = [pytest.mark.browser, pytest.mark.system]

PASSWORD = "correct horse battery staple"
#: Milliseconds that a step on a busy machine may take.
PATIENCE = 120_000


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    platform = Platform(sites=())
    try:
        platform.start()
        platform.start_pages()
        platform.run(SAMPLES)
        platform.segment("office", "private", ["10.70.0.0/24"])
        yield platform
    finally:
        platform.close()


@pytest.fixture
def seen(chromium: BrowserContext, platform: Platform) -> Iterator[Watched]:
    chromium.clear_cookies()
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE)
    watched = Watched(page, str(platform.client.base_url).removesuffix("/api/v1/"))
    page.on("console", watched.heard)
    page.on("pageerror", lambda error: watched.complaints.append(f"exception: {error}"))
    page.on("request", watched.requested)
    yield watched
    page.close()


def join(seen: Watched, platform: Platform, address: str) -> None:
    """Take up an invitation with the link of its mail."""
    link = re.search(r"/invitation/#(\S+)", platform.mail_to(address))
    assert link is not None
    seen.page.goto(f"{seen.base}/invitation/#{link[1]}")
    expect(seen.page.get_by_label("Code, from the mail")).to_have_value(link[1])
    assert "#" not in seen.page.url, "the code does not stay in the address"
    seen.page.get_by_label("Your name").fill("Somebody New")
    seen.page.get_by_label("Password").fill(PASSWORD)
    seen.page.get_by_role("button", name="Join").click()
    seen.page.get_by_role("heading", name="Overview").wait_for()


def place(page: Page, button: str = "Place the order") -> None:
    """Confirm the plan, and watch the order to its end without asking again."""
    page.get_by_role("heading", name="The plan").wait_for()
    page.get_by_role("button", name=button).click()
    page.locator("#order").get_by_text("Completed").first.wait_for()


def test_a_customer_joins_orders_a_router_changes_reads_reverts_and_removes_it(
    seen: Watched, platform: Platform
) -> None:
    before = platform.traces()
    page = seen.page
    join(seen, platform, OWNER)
    page.get_by_text("Nothing stands here yet").wait_for()

    page.goto(f"{seen.base}/t/{platform.tenant}/order/router/")
    page.get_by_label("Name", exact=True).first.fill("edge")
    page.locator("[name='ports[0].name']").fill("lan")
    page.locator("[name='ports[0].segment']").select_option("office")
    page.get_by_role("button", name="See what will be done").click()
    place(page)
    page.get_by_role("link", name="edge").click()
    page.locator("#service .status", has_text="Healthy").wait_for()
    service = page.url

    page.get_by_role("link", name="Configure").click()
    page.get_by_text("Medium").click()
    page.get_by_role("button", name="See what will be done").click()
    place(page)

    page.goto(f"{service}metrics/")
    page.locator("#metrics canvas").first.wait_for()

    page.goto(f"{service}history/")
    expect(page.locator(".line-removed", has_text='"size": "S"')).to_be_visible()
    page.get_by_role("button", name="Go back to 1").click()
    place(page)
    page.goto(f"{service}history/")
    page.get_by_text("as generation 1 was, size S").wait_for()

    page.goto(f"{seen.base}/t/{platform.tenant}/team/")
    page.get_by_label("Invite by e-mail").fill("bob@customer.example")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("An invitation was sent to bob@customer.example").wait_for()

    page.goto(f"{service}remove/")
    place(page, "Remove now, for good")
    page.goto(f"{seen.base}/t/{platform.tenant}/")
    page.get_by_text("Nothing stands here yet").wait_for()
    assert platform.traces() == before
    assert seen.complaints == []
    assert seen.strangers() == []


def test_a_viewer_looks_and_is_offered_nothing_else(seen: Watched, platform: Platform) -> None:
    join(seen, platform, "bob@customer.example")
    page = seen.page
    expect(page.get_by_text("Somebody with the role operator")).to_be_visible()
    for name in ("Order", "API tokens", "Audit trail"):
        assert page.get_by_role("link", name=name, exact=True).count() == 0, name
    for path in ("order/", "order/router/", "tokens/", "segments/new/"):
        answer = page.goto(f"{seen.base}/t/{platform.tenant}/{path}")
        assert answer is not None and answer.status == 403, path
    page.goto(f"{seen.base}/t/{platform.tenant}/team/")
    assert page.get_by_label("Invite by e-mail").count() == 0
