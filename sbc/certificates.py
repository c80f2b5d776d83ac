"""The certificate of an SBC: which one it shows, and the orders that change it. A part of its spec, so no table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from django.utils import timezone

from naas.core.errors import Conflict, Invalid, Problem
from sbc.kind.certificate import certificates
from sbc.kind.spec import SbcSpec
from services import orders
from services.design import wanted
from services.entry import ItemRequest
from services.models import Action, ProductOrder, ServiceInstance
from services.secrets import mask
from tenants.actor import Actor

#: Where in an order the problems of a certificate are.
WITHIN = "items[0].spec.tls."


class Source(StrEnum):
    """Whose certificate it is. NONE: the SBC speaks no TLS. PENDING: the platform has not issued it yet."""

    CUSTOMER = "customer"
    PLATFORM = "platform"
    PENDING = "pending"
    NONE = "none"


@dataclass(frozen=True)
class Shown:
    """A certificate as people read it."""

    source: Source
    subject: str | None = None
    issuer: str | None = None
    names: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    fingerprint: str | None = None
    serial: str | None = None
    key: str | None = None
    #: The certificates above it, up to the authority where that is known.
    above: tuple[Shown, ...] = ()


def shown(instance: ServiceInstance) -> Shown:
    """The certificate that is wanted of the SBC now."""
    spec, context = wanted(instance)
    assert isinstance(spec, SbcSpec)
    if spec.tls is None:
        return Shown(Source.NONE)
    if spec.tls.certificate is not None:
        return described(Source.CUSTOMER, spec.tls.certificate)
    if context.certificate is None:
        return Shown(Source.PENDING)
    return described(Source.PLATFORM, context.certificate.chain + context.certificate.authority)


def described(source: Source, chain: str) -> Shown:
    """What the first certificate of a chain says, and those above it."""
    own, *above = (_described(source, certificate) for certificate in certificates(chain))
    return replace(own, above=tuple(above))


def _described(source: Source, certificate: x509.Certificate) -> Shown:
    return Shown(
        source=source,
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        serial=f"{certificate.serial_number:x}",
        key=_key(certificate),
    )


def _key(certificate: x509.Certificate) -> str:
    """The kind of its key, in words."""
    match certificate.public_key():
        case ec.EllipticCurvePublicKey() as key:
            return f"ECDSA, {key.curve.name}"
        case rsa.RSAPublicKey() as key:
            return f"RSA, {key.key_size} bits"
        case other:
            return type(other).__name__.strip("_").removesuffix("PublicKey")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    dns = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return (*dns, *map(str, addresses))


def bring(*, actor: Actor, instance: ServiceInstance, certificate: str, key: str) -> ProductOrder:
    """Order that the SBC shows this certificate. Raises `Invalid` for one out of its time, and what orders raise."""
    if problems := list(_untimely(certificate)):
        raise Invalid(problems)
    return _order(actor, instance, {"certificate": certificate, "key": key})


def return_to_issued(*, actor: Actor, instance: ServiceInstance) -> ProductOrder:
    """Order that the SBC shows a certificate of the platform. Raises `Conflict` when it does already."""
    if not (instance.spec.get("tls") or {}).get("certificate"):
        raise Conflict(f"{instance.name} shows no certificate of yours")
    return _order(actor, instance, {"certificate": None, "key": None})


def renew(*, actor: Actor, instance: ServiceInstance) -> Shown:
    """Have the platform issue another certificate at once; the one that will be shown. Raises `Conflict`."""
    return shown(orders.renew_now(actor=actor, instance=instance))


def _untimely(chain: str) -> list[Problem]:
    try:
        own = certificates(chain)[0]
    except ValueError as error:
        return [Problem("certificate", str(error))]
    now = timezone.now()
    if own.not_valid_after_utc <= now:
        return [Problem("certificate", f"ended on {own.not_valid_after_utc:%Y-%m-%d}")]
    if own.not_valid_before_utc > now:
        return [Problem("certificate", f"begins on {own.not_valid_before_utc:%Y-%m-%d}")]
    return []


def _order(actor: Actor, instance: ServiceInstance, change: dict[str, str | None]) -> ProductOrder:
    spec = mask(instance.spec)
    tls = (spec.get("tls") or {}) | change
    item = ItemRequest(action=Action.MODIFY, service=instance.pk, spec=spec | {"tls": tls})
    try:
        return orders.place(actor=actor, items=[item])
    except Invalid as refused:
        raise Invalid(
            Problem(problem.path.removeprefix(WITHIN), problem.message) for problem in refused.problems
        ) from refused
