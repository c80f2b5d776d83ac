"""Who guesses passwords waits: so many for one account from one address, then none from there for a while.

Someone else's address is not held up by that, so nobody can lock a person out from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import http_date

from tenants.api.authentication import address_of

#: What a proxy names that is no address.
NOWHERE = "::"
#: The names under which forms and backends speak of an account.
NAMES = ("email", "username", "login")


def account_of(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """The account that someone tries to open, as it is written in `User.email`; empty where none is named."""
    given: Mapping[str, Any] = credentials or request.POST
    named = next((str(given[name]) for name in NAMES if given.get(name)), "")
    return named.strip().lower()[:254]


def address(request: HttpRequest) -> str:
    """Where the request came from, as an address that a database takes."""
    try:
        return str(ip_address(address_of(request)))
    except ValueError:
        return NOWHERE


def refuse(request: HttpRequest, _response: object, credentials: Mapping[str, Any] | None = None) -> HttpResponse:
    """The page for who is locked out: until when, and what else one could do."""
    until = _until(account_of(request, credentials), address(request))
    answer = render(request, "account/locked.html", {"until": until}, status=429)
    answer["Retry-After"] = http_date(until.timestamp())
    return answer


def _until(account: str, address: str) -> datetime:
    tries = AccessAttempt.objects.filter(username=account, ip_address=address)
    last: datetime | None = tries.aggregate(last=Max("attempt_time"))["last"]
    return (last or timezone.now()) + settings.AXES_COOLOFF_TIME
