"""Where a person is logged in: each browser with its address, since when, and when it was last seen."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from allauth.usersessions.models import UserSession
from django.db import OperationalError, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tenants.models import User

#: Seconds: it is written at most so often, since a write for every page would queue them all.
SEEN_EVERY = 60
#: Under which a session keeps when it was written last.
SEEN = "seen"
#: By which browsers and systems are told, the more special first.
BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Place:
    """A session as its person sees it."""

    session: UserSession
    browser: str
    here: bool


def of(person: User, request: HttpRequest) -> list[Place]:
    """Where the person is logged in, here first, then the last seen. What is over is forgotten by the way."""
    rows = UserSession.objects.purge_and_list(person)
    found = [Place(row, browser(row.user_agent), row.session_key == request.session.session_key) for row in rows]
    return sorted(found, key=lambda place: (not place.here, -place.session.last_seen_at.timestamp()))


@transaction.atomic
def end(person: User, which: str, request: HttpRequest) -> int:
    """End one session by its id, or with `others` all but this one; how many there were. This one is left alone."""
    rows = UserSession.objects.filter(user=person).exclude(session_key=request.session.session_key)
    if which != "others":
        rows = rows.filter(pk=which if which.isdecimal() and len(which) < 18 else None)
    ended = list(rows)
    for row in ended:
        row.end()
    return len(ended)


def browser(agent: str) -> str:
    """A browser in a few words, such as "Firefox on Linux"."""
    name = next((name for mark, name in BROWSERS if mark in agent), re.sub(r"[^\w.-].*", "", agent) or "Unknown")
    system = next((system for mark, system in SYSTEMS if mark in agent), "")
    return f"{name} on {system}" if system else name


class Seen:
    """Middleware: notes of a session that it was seen, now and then."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        now = int(time.time())
        last = request.session.get(SEEN)
        if last is None or now - int(last) >= SEEN_EVERY:
            _note(request, now)
        return self.get_response(request)


def _note(request: HttpRequest, now: int) -> None:
    # Nobody's session is not looked into: it would be made by that.
    if not request.session.session_key or not request.user.is_authenticated:
        return
    try:
        UserSession.objects.create_from_request(request)
    except OperationalError:
        # The database is busy. It is noted with the next page.
        return
    request.session[SEEN] = now
