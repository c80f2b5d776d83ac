"""What goes over the broker: signed by its sender, sealed to its receiver.

A sealed box alone (libsodium, anonymous sender) keeps the broker from reading but does
not say who wrote it, so an Ed25519 signature covers the sealed bytes and everything that
is said about them in the clear. Nothing here knows what the payload means; keys are made
by the core's set-up, and replay of an old message is the receiver's matter (a PoP refuses
lower generations, `max_age` bounds the rest).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey, VerifyKey
from pydantic import Field

from worker.errors import PermanentError
from worker.message import Message

VERSION = 1
#: Said before every signed text, so that a signature made here means nothing elsewhere.
_CONTEXT = b"naas envelope\n"
#: Seconds by which two hosts' clocks may differ.
CLOCK_SKEW = 30.0
#: Bytes of a payload above which it is compressed, and bytes that one may have at most when it is opened.
COMPRESSED_ABOVE, MOST_BYTES = 2**18, 2**28

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
PartyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]


class Forged(PermanentError):
    """Not an envelope to trust: altered, from another sender, for another receiver or purpose, or too old."""


@dataclass(frozen=True)
class PublicIdentity(Message, what="public identity"):
    """Whom to trust and whom to seal to. Keys are 32 bytes in base64."""

    name: PartyName
    verify_key: Key
    box_key: Key


@dataclass(frozen=True)
class Identity(Message, what="identity"):
    """A party's private keys: the seed it signs with and the key others seal to (32 bytes each, in base64)."""

    name: PartyName
    signing_seed: Key = field(repr=False)
    box_seed: Key = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> Identity:
        return cls(name, _encode(bytes(SigningKey.generate())), _encode(bytes(PrivateKey.generate())))

    def public(self) -> PublicIdentity:
        return PublicIdentity(
            self.name,
            _encode(bytes(self.signing_key.verify_key)),
            _encode(bytes(self.box_key.public_key)),
        )

    @property
    def signing_key(self) -> SigningKey:
        return SigningKey(_decode(self.signing_seed))

    @property
    def box_key(self) -> PrivateKey:
        return PrivateKey(_decode(self.box_seed))

    def save(self, path: Path) -> None:
        """Write the keys to a file that only its owner reads, whole or not at all."""
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.to_json(), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Read what `save` wrote. Raises `PermanentError` when it is missing, malformed or readable by others."""
        try:
            if path.stat().st_mode & 0o077:
                raise PermanentError(f"{path} holds private keys and others can read it: run chmod 600 {path}")
            return cls.from_json(json.loads(path.read_text()))
        except OSError as error:
            raise PermanentError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise PermanentError(f"{path} is not JSON: {error}") from error


@dataclass(frozen=True)
class Envelope(Message, what="envelope"):
    """A message as the broker sees it. `subject` is the task it is meant for, `body` and `signature` are base64."""

    version: int
    sender: str
    receiver: str
    subject: str
    instance: str
    generation: int
    sent_at: float
    body: str = field(repr=False)
    signature: str = field(default="", repr=False)

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Read what `to_json` wrote. Raises `Forged`: what cannot be read cannot be trusted."""
        try:
            return super().from_json(document)
        except PermanentError:
            raise Forged("this is not an envelope") from None

    def signed_text(self) -> bytes:
        """What the signature covers: everything but itself."""
        covered = asdict(self)
        del covered["signature"]
        return _CONTEXT + json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()


def seal(
    payload: dict[str, Any],
    *,
    sender: Identity,
    receiver: PublicIdentity,
    subject: str,
    instance: str = "",
    generation: int = 0,
) -> Envelope:
    """Put `payload` (JSON-serialisable) into an envelope that only `receiver` opens and `sender` answers for."""
    box = SealedBox(PublicKey(_decode(receiver.box_key)))
    body = box.encrypt(_packed(json.dumps(payload, separators=(",", ":")).encode()))
    unsigned = Envelope(
        VERSION, sender.name, receiver.name, subject, instance, generation, time.time(), _encode(bytes(body))
    )
    signature = sender.signing_key.sign(unsigned.signed_text()).signature
    return Envelope(**{**asdict(unsigned), "signature": _encode(signature)})


def unseal(
    envelope: Envelope,
    *,
    receiver: Identity,
    sender: PublicIdentity,
    subject: str,
    max_age: float | None = None,
) -> dict[str, Any]:
    """The payload, if `sender` sealed it for `receiver` and this `subject`, within `max_age` seconds. Else `Forged`."""
    _check_addresses(envelope, receiver.name, sender.name, subject)
    _check_signature(envelope, sender)
    if max_age is not None and not -CLOCK_SKEW <= time.time() - envelope.sent_at <= max_age + CLOCK_SKEW:
        raise Forged(f"the envelope is {time.time() - envelope.sent_at:.0f} s old, or the clocks of the hosts differ")
    try:
        payload = json.loads(_unpacked(SealedBox(receiver.box_key).decrypt(_decode(envelope.body))))
    except (CryptoError, ValueError, zlib.error):
        raise Forged(f"the envelope is not sealed to the key of {receiver.name}") from None
    if not isinstance(payload, dict):
        raise Forged("the envelope holds no JSON object")
    return payload


def _packed(text: bytes) -> bytes:
    """The payload as it is sealed. Compressed it begins with `x` (RFC 1950), otherwise, being an object, with `{`."""
    return zlib.compress(text, 1) if len(text) > COMPRESSED_ABOVE else text


def _unpacked(sealed: bytes) -> bytes:
    """Raises `ValueError` and `zlib.error`."""
    if sealed[:1] != b"x":
        return sealed
    stream = zlib.decompressobj()
    text = stream.decompress(sealed, MOST_BYTES)
    if not stream.eof:
        raise ValueError("the payload is cut short or too large")
    return text


def _check_addresses(envelope: Envelope, receiver: str, sender: str, subject: str) -> None:
    expected = (VERSION, sender, receiver, subject)
    found = (envelope.version, envelope.sender, envelope.receiver, envelope.subject)
    for what, wanted, got in zip(("version", "sender", "receiver", "subject"), expected, found, strict=True):
        if wanted != got:
            raise Forged(f"the envelope has {what} {got}, not {wanted}")


def _check_signature(envelope: Envelope, sender: PublicIdentity) -> None:
    try:
        VerifyKey(_decode(sender.verify_key)).verify(envelope.signed_text(), _decode(envelope.signature))
    except (BadSignatureError, ValueError):
        raise Forged(f"the envelope is not signed with the key of {sender.name}") from None


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str) -> bytes:
    """Raises `ValueError` when `text` is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
