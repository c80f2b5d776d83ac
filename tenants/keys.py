"""The vault that encrypts secrets in rows. Which keys it has is a setting; how it works is `naas.core.crypto`."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from naas.core.crypto import Vault


@cache
def vault() -> Vault:
    """The vault of `settings.NAAS_ENCRYPTION_KEYS`."""
    return Vault(settings.NAAS_ENCRYPTION_KEYS)
