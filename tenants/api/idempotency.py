"""A POST that is sent twice is done once (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header).

The first request with a key leaves a record in flight, and its answer is stored in the
transaction of what it did: either both are there or neither. So a process that dies in
between has done nothing, its record is taken over after `LEASE`, and one that was only slow
finds its record gone and is rolled back. Answers hold secrets (a new token), so they are
kept encrypted.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from naas.core.crypto import Vault
from naas.core.errors import Conflict, Invalid, Problem, Refusal
from tenants import scope
from tenants.actor import Actor
from tenants.models import IdempotencyRecord

HEADER = "Idempotency-Key"
VISIBLE = r"[\x21-\x7e]{1,255}"
KEY = re.compile(VISIBLE)
#: How long an answer is kept.
KEPT = timedelta(hours=24)
#: How long a request may be in flight before its process is taken for dead. Longer than any server waits.
LEASE = timedelta(seconds=60)
#: Headers that belong to the answer itself.
STORED_HEADERS = ("Location", "Retry-After", "Preference-Applied")


class InFlight(Conflict):
    code = "in-flight"
    title = "The first request with this key is still being worked on"


class KeyReused(Refusal):
    status = 422
    code = "key-reused"
    title = "This key was used for another request"


@cache
def _vault() -> Vault:
    return Vault(settings.NAAS_ENCRYPTION_KEYS)


def key_of(request: Request) -> str | None:
    """The request's key; None when it names none. Raises `Invalid`."""
    key: str | None = request.headers.get(HEADER)
    if key is not None and not KEY.fullmatch(key):
        raise Invalid([Problem(HEADER, "1 to 255 visible ASCII characters are needed")])
    return key


def once(
    *, actor: Actor, key: str, request: Request, atomic: bool, run: Callable[[], HttpResponseBase]
) -> HttpResponseBase:
    """The answer of `run`, or the one that was given to this key before.

    With `atomic`, what `run` writes and its answer are one transaction. Raises `InFlight` and `KeyReused`.
    """
    fingerprint = _fingerprint(request)
    record, mine = _claim(actor, key, request.path, fingerprint)
    if record.fingerprint != fingerprint:
        raise KeyReused(f"the key {key} came with another body before; take a new key for a new request")
    if record.status is not None:
        return _replay(record)
    if not mine:
        raise InFlight("ask again in a moment")
    try:
        return _run(record, run, atomic=atomic)
    except BaseException:
        _release(record)
        raise


def _run(record: IdempotencyRecord, run: Callable[[], HttpResponseBase], *, atomic: bool) -> HttpResponseBase:
    if not atomic:
        response = run()
        _store(record, response)
        return response
    with transaction.atomic():
        response = run()
        _store(record, response)
    return response


def forget() -> int:
    """Delete what is older than `KEPT`. Returns how many records that were."""
    deleted, _ = IdempotencyRecord.unscoped.filter(created_at__lt=timezone.now() - KEPT).delete()
    return deleted


def _fingerprint(request: Request) -> str:
    document = [request.method, request.get_full_path(), request.data]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _claim(actor: Actor, key: str, path: str, fingerprint: str) -> tuple[IdempotencyRecord, bool]:
    """The key's record, and whether it is ours to work on."""
    now = timezone.now()
    known = scope.of(actor).all(IdempotencyRecord).filter(key=key, path=path)
    ours = IdempotencyRecord(
        tenant=actor.tenant, key=key, path=path, fingerprint=fingerprint, attempt=secrets.token_hex(16)
    )
    try:
        with transaction.atomic():
            known.filter(created_at__lt=now - KEPT).delete()
            ours.save(force_insert=True)
    except IntegrityError:
        record = known.first()
        if record is None:  # It was released between our insert and this look.
            raise InFlight("ask again in a moment") from None
        return record, _take_over(record, fingerprint)
    return ours, True


def _take_over(record: IdempotencyRecord, fingerprint: str) -> bool:
    """Whether the record's process is dead and we, alone, continue in its place."""
    now = timezone.now()
    if record.status is not None or record.fingerprint != fingerprint or record.started_at > now - LEASE:
        return False
    before, record.attempt = record.attempt, secrets.token_hex(16)
    stale = IdempotencyRecord.unscoped.filter(pk=record.pk, attempt=before, status=None)
    return stale.update(attempt=record.attempt, started_at=now) == 1


def _store(record: IdempotencyRecord, response: HttpResponseBase) -> None:
    """Keep the answer. Raises `InFlight` when someone else took the record over."""
    if response.status_code >= 500:
        _release(record)
        return
    body = JSONRenderer().render(response.data).decode() if isinstance(response, Response) else ""
    headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
    headers["Content-Type"] = getattr(response, "content_type", None) or "application/json"
    ours = IdempotencyRecord.unscoped.filter(pk=record.pk, attempt=record.attempt)
    if not ours.update(status=response.status_code, body=_vault().encrypt(body), headers=headers):
        raise InFlight("this took so long that another request with the same key was let in")


def _release(record: IdempotencyRecord) -> None:
    IdempotencyRecord.unscoped.filter(pk=record.pk, attempt=record.attempt, status=None).delete()


def _replay(record: IdempotencyRecord) -> HttpResponse:
    response = HttpResponse(_vault().decrypt(record.body), status=record.status)
    for name, value in record.headers.items():
        response[name] = value
    response["Idempotency-Replayed"] = "true"
    return response


def with_key(view: Any, request: Request, handler: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """`handler`, done once per key when the request names one.

    `view.idempotent_atomic` is off where the handler waits: it must not hold a transaction then.
    """
    key = key_of(request)
    if key is None:
        return handler
    atomic = bool(view.idempotent_atomic)

    def answer(request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        def run() -> HttpResponseBase:
            # A refusal is an answer too, stored like any other; what was written before it is taken back.
            try:
                with transaction.atomic() if atomic else nullcontext():
                    return handler(request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the view's own handler decides, and raises what it does not know
                response: Response = view.handle_exception(error)
                return response

        return once(actor=view.actor, key=key, request=request, atomic=atomic, run=run)

    return answer
