"""Reads of a certificate what the programs must know, without a library for it.

X.509 (RFC 5280) in DER: nested fields of a tag, a length and a content.
"""

import base64
import calendar
import time
from pathlib import Path

HEADER, FOOTER = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
UTC_TIME, EXPLICIT_0 = 0x17, 0xA0


def leaf(path: str) -> bytes:
    """The first certificate of a PEM file, in DER. Raises OSError when there is none."""
    text = Path(path).read_text(encoding="ascii", errors="replace")
    encoded, found, _ = text.partition(HEADER)[2].partition(FOOTER)
    if not found:
        raise OSError(f"{path} holds no certificate")
    return base64.b64decode(encoded)


def not_after(path: str) -> int:
    """When the certificate ends, in Unix seconds. Raises OSError."""
    try:
        return _not_after(leaf(path))
    except (IndexError, ValueError) as error:
        raise OSError(f"{path} holds no readable certificate: {error}") from None


def _not_after(der: bytes) -> int:
    (_, certificate), *_ = _fields(der)
    (_, body), *_ = _fields(certificate)
    fields = [content for tag, content in _fields(body) if tag != EXPLICIT_0]
    _serial, _algorithm, _issuer, validity = fields[:4]
    _, (tag, end) = _fields(validity)
    # Years of two digits are those from 1950 to 2049 (RFC 5280, section 4.1.2.5.1).
    century = "" if tag != UTC_TIME else "19" if end[:2] >= b"50" else "20"
    return calendar.timegm(time.strptime(century + end.decode("ascii"), "%Y%m%d%H%M%SZ"))


def _fields(der: bytes) -> list[tuple[int, bytes]]:
    """The fields of which this is the content, as tag and content."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        found.append((tag, der[at : at + length]))
        at += length
    return found
