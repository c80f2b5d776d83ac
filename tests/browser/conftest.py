"""Debian's Chromium, driven against a server of the test's own. It says everything it complains about and asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import current_app
from django.db import connections
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name resolves: what a page asks of another machine fails, and is seen.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


@dataclass
class Watched:
    """A page, and what went wrong on it. `complaints` are console errors, exceptions and answers above 399."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.base}{path}", wait_until="load")
        # A page with an event stream is never without a request.
        if not self.page.evaluate("'events' in document.body.dataset"):
            self.page.wait_for_load_state("networkidle")
        return self.page

    def strangers(self) -> list[str]:
        """What was asked of another host than the server. Data in the page itself is of no host."""
        own = urlsplit(self.base).netloc
        return [url for url in self.asked if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc != own]

    def heard(self, message: ConsoleMessage) -> None:
        # Interfaces come and go on a machine that makes networks; that is nothing the page did.
        if message.type in ("error", "warning") and "ERR_NETWORK_CHANGED" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")

    def requested(self, request: Request) -> None:
        self.asked.append(request.url)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file, as an installation has. A database in memory is locked as a whole for whoever asks at the same time."""
    kept = connections["default"].settings_dict
    if connections["default"].vendor == "sqlite":
        kept["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing; apt-get install chromium")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as driver:
        # Playwright keeps an event loop in this thread, which Django takes for a reason to refuse the database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        context = driver.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("chromium")),
            executable_path=CHROMIUM,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1440, "height": 1000},
            color_scheme="light",
        )
        yield context
        context.close()


@pytest.fixture
def watched(chromium: BrowserContext, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    # What a verb publishes on commit goes nowhere.
    monkeypatch.setitem(current_app.conf, "broker_url", "memory://")
    chromium.clear_cookies()
    page = chromium.new_page()
    watched = Watched(page, live_server.url)
    page.on("console", watched.heard)
    page.on("pageerror", lambda error: watched.complaints.append(f"exception: {error}"))
    page.on("response", watched.answered)
    page.on("request", watched.requested)
    yield watched
    page.close()
