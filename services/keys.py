"""The core's own keys: the identity that signs for PoPs. The vault of secrets in rows is `tenants.keys`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings

from worker.seal import Identity

#: The name under which the core signs and PoPs know it.
CORE = "core"


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
