"""Public identifiers: a prefix that says what it is, and 60 random bits.

They are safe in URLs, DNS labels, Docker names and kernel interface marks, and they
cannot be counted through.
"""

from __future__ import annotations

import secrets

#: Crockford's base 32 in lower case: no i, l, o, u, so that an id can be read over the phone.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 12


def new_id(prefix: str) -> str:
    """A new identifier such as `svc-7k3m9q2x4t8w`."""
    return f"{prefix}-{''.join(secrets.choice(ALPHABET) for _ in range(LENGTH))}"
