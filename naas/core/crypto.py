"""Secrets at rest, and tokens that are only ever compared.

What must be read again (a BGP password) is encrypted with Fernet; several keys may be
given, so that a key can be replaced without reading every row at once. What is only
compared (an API token) is kept as a digest.

Keys are passed in: this module reads no settings and keeps nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from worker.errors import PermanentError

#: Bytes of randomness in a token's secret part.
TOKEN_BYTES = 32


class UnreadableSecret(PermanentError):
    """A stored secret fits none of the keys: a key was lost, or the row was changed by hand."""


class Vault:
    """Encrypts and decrypts text. The first key encrypts; every key decrypts.

    Raises `ValueError` when a key is not 32 bytes in URL-safe base 64.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one encryption key is needed")
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, sealed: str) -> str:
        """The text that was encrypted. Raises `UnreadableSecret`."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise UnreadableSecret("a stored secret fits none of NAAS_ENCRYPTION_KEYS; restore the key") from None

    def renew(self, sealed: str) -> str:
        """The same secret under the first key. Raises `UnreadableSecret`."""
        return self.encrypt(self.decrypt(sealed))


def new_key() -> str:
    return Fernet.generate_key().decode()


def new_token_secret() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> str:
    """SHA-256 of a token, in hex.

    A slow, salted hash protects secrets that people choose from being guessed. A token holds 256
    random bits, which no one guesses at any speed, and a plain digest can be looked up by index.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())
