"""The platform's certificate authority: issues certificates to services, once for the names that each wants.

The authority makes its key on first use. Keys are encrypted in their rows and open only where a PoP is told; the rows
of a service are written by `services.entry` and `services.orders`. A DNS name belongs to the first tenant who has a
certificate for it; addresses are every tenant's own. Certificates follow RFC 5280; names are in the subject alternative
name alone (RFC 6125).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.utils import timezone

from naas.core.errors import Invalid, Problem
from services.kind import IssuedCertificate
from services.models import PLATFORM, Authority, Certificate, ServiceInstance
from tenants import wall
from tenants.keys import vault

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=90)
#: How long before its end a certificate is not good enough for a change any more, and is replaced where it is in use.
RENEWED_BEFORE = timedelta(days=30)
#: By how much the clock of whoever checks may be behind.
CLOCK_SKEW = timedelta(hours=1)


def authority() -> Authority:
    """The platform's authority; made when there is none yet."""
    found = Authority.objects.filter(pk=PLATFORM).first()
    if found is None:
        found, _ = Authority.objects.get_or_create(name=PLATFORM, defaults=_new_authority(timezone.now()))
    return found


def fingerprint(certificate: str) -> str:
    """SHA-256 of a certificate in PEM, as people compare it."""
    return x509.load_pem_x509_certificate(certificate.encode()).fingerprint(SHA256()).hex(":").upper()


def ensure(instance: ServiceInstance, names: Iterable[str], now: datetime | None = None) -> bool:
    """See to it that the instance has a certificate for these names that is good for a while; says whether it is new.

    Without names nothing is done. Raises `Invalid` when another tenant has one of them.
    """
    now = now or timezone.now()
    wanted = _written(names)
    held = _held(instance, wanted)
    if not wanted or (held is not None and held.not_after >= now + RENEWED_BEFORE):
        return False
    _check_owner(instance, wanted, now)
    _issue(instance, wanted, now)
    return True


def replace(instance: ServiceInstance, names: Iterable[str], now: datetime | None = None) -> None:
    """Issue another certificate for these names, whatever time the one it has is still good for. Raises `Invalid`."""
    now = now or timezone.now()
    _check_owner(instance, wanted := _written(names), now)
    _issue(instance, wanted, now)


def held(instance: ServiceInstance, names: Iterable[str]) -> IssuedCertificate | None:
    """The newest certificate that the instance has for exactly these names."""
    row = _held(instance, _written(names))
    if row is None:
        return None
    return IssuedCertificate(row.chain, vault().decrypt(row.private_key), authority().certificate)


def release_unused(instance: ServiceInstance, names: Iterable[str]) -> None:
    """Forget every certificate of the instance but the one it holds for these names. Without names: all."""
    kept = _held(instance, _written(names))
    Certificate.unscoped.filter(instance=instance).exclude(pk=kept.pk if kept else None).delete()


def ending(now: datetime) -> list[str]:
    """The instances with a certificate that is to be replaced."""
    due = Certificate.unscoped.filter(not_after__lt=now + RENEWED_BEFORE)
    return list(due.order_by("instance").values_list("instance", flat=True).distinct())


# --- inside -----------------------------------------------------------------------------


def _written(names: Iterable[str]) -> str:
    """As they stand in a row."""
    return "\n".join(sorted(set(names)))


def _held(instance: ServiceInstance, names: str) -> Certificate | None:
    return Certificate.unscoped.filter(instance=instance, names=names).order_by("-id").first()


def _check_owner(instance: ServiceInstance, names: str, now: datetime) -> None:
    for name in names.splitlines():
        if not _is_address(name) and _is_others(instance, name, now):
            raise Invalid([Problem("", f"{name} is certified for another customer; bring a certificate of your own")])


def _is_others(instance: ServiceInstance, name: str, now: datetime) -> bool:
    """Whether another tenant has a valid certificate for this DNS name (which is the same in upper case)."""
    with wall.lifted():
        alike = Certificate.unscoped.filter(names__icontains=name, not_after__gt=now).exclude(tenant=instance.tenant)
        return any(name.lower() in row.names.lower().splitlines() for row in alike)


def _issue(instance: ServiceInstance, names: str, now: datetime) -> None:
    signer = authority()
    key = ec.generate_private_key(ec.SECP256R1())
    not_after = min(now + LIFE, signer.not_after)
    issuer = x509.load_pem_x509_certificate(signer.certificate.encode())
    signing_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    # A service shows it to whoever calls, and to whom it calls itself.
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(instance.pk, issuer.subject, key, now, not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names.splitlines())), critical=False)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signing_key), critical=False)
        .sign(_private_key(signer), SHA256())
    )
    Certificate.unscoped.create(
        tenant=instance.tenant,
        instance=instance,
        names=names,
        chain=_pem(certificate),
        private_key=vault().encrypt(_pem_of_key(key)),
        not_after=not_after,
    )


def _new_authority(now: datetime) -> dict[str, object]:
    key = ec.generate_private_key(ec.SECP256R1())
    not_after = now + AUTHORITY_LIFE
    # Two installations must not be taken for one another where both are trusted.
    name = f"naas platform authority {x509.random_serial_number() % 16**8:08x}"
    certificate = (
        _builder(name, _subject(name), key, now, not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, SHA256())
    )
    return {"certificate": _pem(certificate), "private_key": vault().encrypt(_pem_of_key(key)), "not_after": not_after}


def _builder(
    subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - CLOCK_SKEW).astimezone(UTC))
        .not_valid_after(not_after.astimezone(UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _private_key(signer: Authority) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(vault().decrypt(signer.private_key).encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
