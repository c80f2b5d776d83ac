"""What allauth asks of this platform about second factors: their secrets are encrypted in the database."""

from __future__ import annotations

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.db import transaction

from tenants.keys import vault

#: What of a factor's data is secret, where it has it. A passkey's is not: it is the public half of a key.
SECRETS = ("secret", "seed")


class Factors(DefaultMFAAdapter):  # type: ignore[misc]  # untyped library
    def encrypt(self, text: str) -> str:
        return vault().encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return vault().decrypt(encrypted_text)


@transaction.atomic
def renew() -> int:
    """Put the secrets of all factors under the first key; how many factors that were. Raises `UnreadableSecret`."""
    changed = 0
    for factor in Authenticator.objects.select_for_update().exclude(type=Authenticator.Type.WEBAUTHN):
        factor.data |= {name: vault().renew(factor.data[name]) for name in SECRETS if name in factor.data}
        factor.save(update_fields=["data"])
        changed += 1
    return changed
