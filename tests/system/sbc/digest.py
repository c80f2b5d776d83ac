"""Digest authentication (RFC 2617, with qop or without) as whoever asks for it sees it."""

from __future__ import annotations

import hashlib
import re

from tests.system.sbc.phone import Message


def challenge(realm: str, nonce: str = "nonce1") -> str:
    return f'Digest realm="{realm}", nonce="{nonce}", algorithm=MD5'


def credentials(request: Message) -> dict[str, str]:
    """The parameters of what a request brings to prove itself; empty when it brings nothing."""
    said = request.headers.get("authorization") or request.headers.get("proxy-authorization") or ""
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', said)}


def is_proved(request: Message, realm: str, user: str, password: str, nonce: str = "nonce1") -> bool:
    """Whether a request proves to know the password, for this realm and nonce and the URI that it is sent to."""
    told = credentials(request)
    method, uri, _ = request.start.split()
    if (told.get("realm"), told.get("username"), told.get("nonce"), told.get("uri")) != (realm, user, nonce, uri):
        return False
    first, second = _md5(f"{user}:{realm}:{password}"), _md5(f"{method}:{uri}")
    middle = f"{nonce}:{told['nc']}:{told['cnonce']}:{told['qop']}" if "qop" in told else nonce
    return told["response"] == _md5(f"{first}:{middle}:{second}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
