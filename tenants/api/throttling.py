"""How often a caller may call: counted per token or person, and per address for those who cannot say who they are.

Counts are kept in the cache, in windows of fixed length. Without the cache nobody is held up:
orders are worth more than the limit.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.cache import caches
from django.utils.connection import ConnectionProxy
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from tenants.actor import Actor

log = logging.getLogger(__name__)


class Window(SimpleRateThrottle):
    """At most so many requests in each window of time, as `DEFAULT_THROTTLE_RATES` says."""

    cache: Any = ConnectionProxy(caches, "counts")

    def __init__(self) -> None:
        # Read when used, so that a changed setting counts.
        from rest_framework.settings import api_settings

        self.num_requests, self.duration = self.parse_rate(str(api_settings.DEFAULT_THROTTLE_RATES[str(self.scope)]))

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        raise NotImplementedError

    def allow_request(self, request: Request, view: Any) -> bool:
        caller = self.get_cache_key(request, view)
        if caller is None or self.num_requests is None or self.duration is None:
            return True
        now = time.time()
        self.left = self.duration - now % self.duration
        key = f"rate:{self.scope}:{caller}:{int(now // self.duration)}"
        try:
            self.cache.add(key, 0, timeout=self.duration + 1)
            return int(self.cache.incr(key)) <= self.num_requests
        except (RedisError, ValueError) as error:
            log.warning("requests are not counted: the cache does not answer (%s)", type(error).__name__)
            return True

    def wait(self) -> float:
        return self.left


class PerCaller(Window):
    scope = "caller"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if not isinstance(request.auth, Actor):
            return None
        return request.auth.token_id or f"user-{request.auth.user_id}"


class Strangers(Window):
    """Failed attempts to say who one is."""

    scope = "stranger"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return str(self.get_ident(request))


class Attempts(Window):
    """Passwords sent from an address, right or wrong."""

    scope = "login"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return str(self.get_ident(request))
