"""Pages that are live: told of what changes, saying when they are not, and catching up. On a platform of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Watched
from tests.platform import EVENTS, Platform

pytestmark = [pytest.mark.browser, pytest.mark.system]

#: Milliseconds that a step on a busy machine may take.
PATIENCE = 60_000
INTERRUPTED = "Live updates are interrupted"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    platform = Platform(sites=())
    try:
        platform.start()
        platform.start_pages()
        platform.segment("office", "private", ["10.70.0.0/24"])
        yield platform
    finally:
        platform.close()


@pytest.fixture(scope="module")
def session(platform: Platform) -> str:
    return platform.run_inside("tests.session", platform.tenant).strip()


@pytest.fixture
def seen(chromium: BrowserContext, platform: Platform, session: str) -> Iterator[Watched]:
    base = str(platform.client.base_url).removesuffix("/api/v1/")
    chromium.clear_cookies()
    chromium.add_cookies([{"name": "sessionid", "value": session, "url": base}])
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE)
    watched = Watched(page, base)
    page.on("console", watched.heard)
    page.on("pageerror", lambda error: watched.complaints.append(f"exception: {error}"))
    page.on("request", watched.requested)
    yield watched
    page.close()


def live(page: Page) -> Page:
    page.locator("body[data-stream=live]").wait_for()
    return page


def router(platform: Platform, name: str) -> str:
    """An order of a router: its id."""
    spec = {"ports": [{"name": "lan", "segment": "office"}]}
    return str(platform.order(platform.add(name, spec))["id"])


def test_an_order_is_followed_to_its_end_by_events(seen: Watched, platform: Platform) -> None:
    page = live(seen.open(f"/t/{platform.tenant}/orders/"))
    order = router(platform, "edge-a")
    # The list of orders looks at nothing by itself.
    row = page.locator("#list tr", has_text=order)
    expect(row).to_contain_text("Completed", timeout=PATIENCE)
    assert seen.complaints == []


def test_the_page_of_an_order_asks_when_something_happened_and_hardly_else(seen: Watched, platform: Platform) -> None:
    order = router(platform, "edge-b")
    page = live(seen.open(f"/t/{platform.tenant}/orders/{order}/"))
    expect(page.locator("#order")).to_contain_text("Completed", timeout=PATIENCE)
    service = platform.get(f"orders/{order}")["items"][0]["service"]["id"]
    live(seen.open(f"/t/{platform.tenant}/services/{service}/"))
    page.wait_for_timeout(6_000)  # its first look
    before = len(seen.asked)
    page.wait_for_timeout(11_000)
    assert len(seen.asked) - before <= 1, seen.asked[before:]
    assert seen.complaints == []


def test_a_second_tab_hears_of_it_through_the_stream_of_the_first(seen: Watched, platform: Platform) -> None:
    live(seen.open(f"/t/{platform.tenant}/segments/"))
    other = seen.page.context.new_page()
    asked: list[str] = []
    other.on("request", lambda request: asked.append(request.url))
    other.goto(f"{seen.base}/t/{platform.tenant}/segments/")
    live(other)
    platform.segment("branch", "private", ["10.74.0.0/24"])
    for page in (seen.page, other):
        expect(page.locator("#list")).to_contain_text("branch", timeout=PATIENCE)
    assert not [url for url in asked if "/events" in url]
    seen.page.close()
    platform.segment("depot", "private", ["10.75.0.0/24"])
    expect(other.locator("#list")).to_contain_text("depot", timeout=PATIENCE)
    other.close()


def test_a_page_says_that_its_stream_is_lost_and_catches_up(seen: Watched, platform: Platform) -> None:
    page = live(seen.open(f"/t/{platform.tenant}/segments/"))
    platform.kill(EVENTS)
    expect(page.get_by_text(INTERRUPTED)).to_be_visible(timeout=PATIENCE)
    platform.segment("meanwhile", "private", ["10.76.0.0/24"])
    expect(page.locator("#list")).not_to_contain_text("meanwhile")
    platform.run(EVENTS)
    expect(page.locator("#list")).to_contain_text("meanwhile", timeout=PATIENCE)
    expect(page.get_by_text(INTERRUPTED)).to_be_hidden()
