"""Opens what PoPs send to the core. Who signed it is who sent it; nothing else says from where a message comes."""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar

from services.keys import core_identity
from services.models import Pop
from worker.seal import Envelope, Forged, PublicIdentity, unseal


class OfPop(Protocol):
    """A message in which a PoP says who it is."""

    @property
    def pop(self) -> str: ...

    @classmethod
    def from_json(cls, document: object) -> Self: ...


M = TypeVar("M", bound=OfPop)


def said(document: object, subject: str, message: type[M]) -> M | None:
    """What a PoP says of itself; None when it speaks for another. Raises `PermanentError`."""
    pop, payload = opened(document, subject)
    found = message.from_json(payload)
    return found if found.pop == pop else None


def opened(document: object, subject: str) -> tuple[str, dict[str, Any]]:
    """The slug of the PoP that signed the envelope, and what is in it. Raises `Forged`."""
    envelope = Envelope.from_json(document)
    slug = envelope.sender.removeprefix("pop.")
    pop = Pop.objects.filter(slug=slug, public_identity__isnull=False).first()
    if pop is None:
        raise Forged(f"there is no enrolled PoP {slug}")
    sender = PublicIdentity.from_json(pop.public_identity)
    return slug, unseal(envelope, receiver=core_identity(), sender=sender, subject=subject)
