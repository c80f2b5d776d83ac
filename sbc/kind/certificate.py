"""Certificates and keys as a customer brings them, in PEM."""

from __future__ import annotations

from typing import Annotated

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import AfterValidator, Field, SecretStr

SHORTEST_RSA = 2048
SHORTEST_EC = 256
MOST_CERTIFICATES = 64

_BLOCK = r"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n?"


def certificates(pem: str) -> list[x509.Certificate]:
    """The certificates in a PEM text, as they follow. Raises `ValueError`."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError("is not a certificate in PEM") from None


def private_key(pem: str) -> PrivateKeyTypes:
    """The key in a PEM text. Raises `ValueError`."""
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is not a private key in PEM without a passphrase") from None


def belong_together(chain: str, key: str) -> bool:
    """Whether the first certificate of the chain is that of the key."""
    return _public(certificates(chain)[0].public_key()) == _public(private_key(key).public_key())


def _public(key: object) -> bytes:
    written: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return written


def _several(pem: str) -> str:
    if len(certificates(pem)) > MOST_CERTIFICATES:
        raise ValueError(f"holds more than {MOST_CERTIFICATES} certificates")
    return pem


def _strong(secret: SecretStr) -> SecretStr:
    key = private_key(secret.get_secret_value())
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < SHORTEST_RSA:
            raise ValueError(f"is an RSA key of {key.key_size} bits; {SHORTEST_RSA} are the least")
    elif not isinstance(key, ec.EllipticCurvePrivateKey) or key.key_size < SHORTEST_EC:
        raise ValueError(f"is neither an RSA key nor an elliptic-curve key of at least {SHORTEST_EC} bits")
    return secret


Certificates = Annotated[
    str,
    Field(pattern=rf"^({_BLOCK})+$", max_length=200_000, description="One or more certificates in PEM"),
    AfterValidator(_several),
]
PrivateKey = Annotated[SecretStr, Field(min_length=1, max_length=20_000), AfterValidator(_strong)]
