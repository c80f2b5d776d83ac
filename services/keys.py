"""The core's own keys: the vault that encrypts secrets in rows, and the identity that signs for PoPs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings

from naas.core.crypto import Vault
from worker.seal import Identity

#: The name under which the core signs and PoPs know it.
CORE = "core"


@cache
def vault() -> Vault:
    """The vault of `settings.NAAS_ENCRYPTION_KEYS`."""
    return Vault(settings.NAAS_ENCRYPTION_KEYS)


@cache
def core_identity() -> Identity:
    """The keys in `settings.NAAS_CORE_IDENTITY_FILE`; made there when the file does not exist yet."""
    file = Path(settings.NAAS_CORE_IDENTITY_FILE)
    if file.exists():
        return Identity.load(file)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = Identity.generate(CORE)
    identity.save(file)
    return identity
