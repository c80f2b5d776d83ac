"""Documents of an SBC that are good, and certificates for them: where tests depart from."""

from __future__ import annotations

import copy
import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SBC: dict[str, Any] = {
    "ports": [
        {"name": "inside", "segment": "office", "addresses": ["10.11.0.1/24"]},
        {"name": "outside", "segment": "net", "addresses": ["198.51.100.1/24"]},
    ],
    "country": "49",
    "test_call": {"from_side": "inside", "to_side": "outside", "every": 600},
}
TRUNK: dict[str, Any] = {
    "name": "carrier",
    "side": "outside",
    "addresses": [{"host": "198.51.100.2"}, {"host": "sip.example.net", "port": 5070, "priority": 20}],
    "sources": ["198.51.100.0/28"],
    "authentication": {"method": "register", "user": "trunk-1", "password": "correct horse battery"},
    "codecs": ["PCMA", "opus"],
    "transcode": True,
    "health_check": {"every": 10},
    "session_timer": {"expires": 1800},
    "number_plan": {"country": "49"},
    "numbers_in": {"strip": 1},
    "headers": [{"action": "add", "name": "X-Account", "value": "4711"}],
}
ROUTE: dict[str, Any] = {
    "name": "abroad",
    "from_trunk": "pbx",
    "prefix": "+44",
    "window": {"timezone": "Europe/Berlin", "days": ["mon", "tue"], "start": "08:00", "end": "18:30"},
    "targets": [{"trunk": "carrier"}, {"trunk": "second", "priority": 20}],
    "failover": [503, 408],
}
SOURCE: dict[str, Any] = {"name": "nobody", "cidr": "0.0.0.0/0", "action": "deny", "side": "outside"}
EMERGENCY: dict[str, Any] = {"numbers": ["112", "110"], "targets": [{"trunk": "carrier"}]}


def changed(document: dict[str, Any], where: str, key: str, value: object) -> dict[str, Any]:
    """The document with another value at `where` (`a.0.b`), or without it when the value is `...`."""
    new = copy.deepcopy(document)
    part: Any = new
    for step in filter(None, where.split(".")):
        part = part[int(step) if step.isdigit() else step]
    if value is ...:
        del part[key]
    else:
        part[key] = value
    return new


def certificate(
    name: str = "sbc.example.net", key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None, days: int = 30
) -> tuple[str, str]:
    """A certificate signed by itself, valid for so many days (or ended so many days ago), and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return signed.public_bytes(Encoding.PEM).decode(), private.decode()
