"""What a customer says of a trunk: a PBX or a carrier, how it is reached, known and spoken to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sbc.kind.entries import Srtp
from sbc.kind.fields import (
    Calls,
    Country,
    HeaderRule,
    Host,
    Name,
    NumberPrefix,
    Password,
    Priority,
    Rate,
    Realm,
    User,
    Weight,
)
from sbc.policy import CallerId, Format
from services.fields import Findings, Many, PortName, TransportPort, UnicastPrefix
from services.kind import Spec

#: Codecs by their names in SDP.
Codec = Literal["PCMU", "PCMA", "G722", "opus", "G729", "GSM", "speex", "iLBC", "AMR", "AMR-WB"]
#: What the media relay decodes and cannot encode.
DECODED_ONLY = frozenset({"iLBC", "AMR", "AMR-WB"})

#: The engine keeps no longer one while it registers.
LONGEST_PASSWORD = 63
#: A password that strangers may try to guess is at least this long.
SHORTEST_PASSWORD = 12


def _not_everyone(prefix: str) -> str:
    if prefix.endswith("/0"):
        raise ValueError("is everyone; a trunk is known by its own addresses, or by a password")
    return prefix


Source = Annotated[UnicastPrefix, AfterValidator(_not_everyone)]


class TrunkAddress(Spec):
    """Where a trunk is reached."""

    host: Host = Field(description="A name without a port is looked up as RFC 3263 says: SRV, then addresses")
    port: TransportPort | None = Field(None, description="Without one: 5060, for TLS 5061")
    priority: Priority = 10
    weight: Weight = 10


class Authentication(Spec):
    """How the trunk is known to the SBC, and the SBC to the trunk.

    By `address` calls come from the trunk's sources. By `digest` they come from anywhere, with this user and
    password. With `register` the SBC registers with the trunk, and calls come from its sources. Whatever the
    method, a challenge of the trunk is answered with user and password.
    """

    method: Literal["address", "digest", "register"] = "address"
    user: User | None = None
    password: Password | None = None
    realm: Realm | None = Field(None, description="Answer challenges of this realm only")
    registrar: Host | None = Field(
        None,
        description="Without one: the trunk's domain or first address. A name is reached by the trunk's addresses",
    )
    expires: int = Field(3600, ge=60, le=86_400, description="Seconds that a registration is asked to last")

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        needed = self.method != "address" or self.user is not None or self.password is not None
        for name in ("user", "password"):
            if needed and getattr(self, name) is None:
                findings.add((name,), "is needed: a user has a password, and digest and register need both")
        if self.method == "digest" and self.password and len(self.password) < SHORTEST_PASSWORD:
            findings.add(("password",), f"needs at least {SHORTEST_PASSWORD} characters: anybody may try to guess it")
        if self.method == "register" and self.password and len(self.password) > LONGEST_PASSWORD:
            findings.add(("password",), f"may have {LONGEST_PASSWORD} characters at most to register with")
        if self.registrar and self.method != "register":
            findings.add(("registrar",), "has no effect without the method register")
        if self.realm and self.user is None:
            findings.add(("realm",), "has no effect without a user")
        findings.raise_if_any("Authentication")
        return self


class HealthCheck(Spec):
    """OPTIONS requests to each address. One that fails so many times in a row gets no calls until it answers again."""

    every: int = Field(30, ge=5, le=3600, description="Seconds")
    failures: int = Field(3, ge=1, le=10)


class SessionTimer(Spec):
    """Session timers (RFC 4028). A call that nobody refreshes in time is ended.

    `pass` leaves them to the ends, `offer` asks for one where an end can, `require` refuses calls without.
    """

    mode: Literal["pass", "offer", "require"] = "offer"
    expires: int = Field(1800, ge=90, le=86_400, description="Seconds")
    min_se: int = Field(90, ge=90, le=86_400, description="Seconds; shorter ones are refused with 422")

    @model_validator(mode="after")
    def expires_no_sooner_than_is_allowed(self) -> Self:
        findings = Findings()
        if self.expires < self.min_se:
            findings.add(("expires",), "must not be below min_se")
        findings.raise_if_any("SessionTimer")
        return self


class Plan(Spec):
    """How numbers are dialled on a trunk: what stands before those of the country, and before those of others."""

    country: Country
    national: str = Field("0", pattern=r"^[0-9]{0,4}$")
    international: str = Field("00", pattern=r"^[0-9]{0,5}$")


class NumberChange(Spec):
    """Takes the first `strip` characters off a number and puts `prefix` before it."""

    strip: int = Field(0, ge=0, le=32)
    prefix: NumberPrefix = ""


class TrunkSpec(Spec):
    """A trunk: a PBX or a carrier on one side of the SBC."""

    name: Name
    side: PortName = Field(
        description="The port of the SBC on which the trunk is", json_schema_extra={"x-reference": "side"}
    )
    enabled: bool = Field(True, description="A trunk that is not neither sends nor gets calls")
    transport: Literal["udp", "tcp", "tls"] = "udp"
    addresses: Many[TrunkAddress] = Field((), max_length=16, description="Without any it can call and not be called")
    domain: Host | None = Field(None, description="What stands in request URIs; without it the address")
    sources: Many[Source] = Field(
        (),
        max_length=64,
        description="Where its calls come from; without any, from `addresses`, the registrar, and what names lead to",
    )
    authentication: Authentication = Authentication()
    srtp: Srtp = Field(Srtp.OFF, description="Encrypted media (SDES, RFC 4568)", strict=False)
    codecs: Many[Codec] = Field((), max_length=10, description="Allowed ones, preferred first; without any: all")
    transcode: bool = Field(False, description="Offer all of `codecs`, and translate where the other side has none")
    most_calls: Calls | None = Field(None, description="Calls at once, both ways; without it the SBC's limit")
    most_calls_per_second: Rate | None = Field(None, description="Without it the SBC's limit")
    health_check: HealthCheck | None = None
    session_timer: SessionTimer | None = None
    caller_id: CallerId = Field(
        CallerId.PASS,
        description="What the trunk learns of who calls; asserted adds P-Asserted-Identity (RFC 3325)",
        strict=False,
    )
    trusted: bool = Field(False, description="Believe whom it asserts to call, and tell it whom others do (RFC 3325)")
    nat: bool = Field(False, description="Answer to where its messages come from, whatever they say")
    number_plan: Plan | None = Field(None, description="Without one: the country of the SBC with 0 and 00")
    number_format: Format = Field(Format.AS_IS, description="How numbers are sent to it", strict=False)
    numbers_in: NumberChange = Field(NumberChange(), description="Of numbers it dials, before all else")
    numbers_out: NumberChange = Field(NumberChange(), description="Of numbers sent to it, after all else")
    headers: Many[HeaderRule] = Field((), max_length=32, description="Of the INVITE that starts a call to it")

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        findings.add_repeats(("addresses",), [(a.host, a.port) for a in self.addresses], "host")
        findings.add_repeats(("sources",), self.sources)
        findings.add_repeats(("codecs",), self.codecs)
        self._refuse_a_trunk_nobody_knows(findings)
        self._refuse_transcoding_to_nothing(findings)
        if self.health_check and not self.addresses:
            findings.add(("health_check",), "there is no address to check")
        findings.raise_if_any("TrunkSpec")
        return self

    def _refuse_a_trunk_nobody_knows(self, findings: Findings) -> None:
        method = self.authentication.method
        reached = self.addresses or self.authentication.registrar or (method == "register" and self.domain)
        if method != "digest" and not self.sources and not reached:
            findings.add(("sources",), "say where its calls come from: it has no address")
        if method == "digest" and self.sources:
            findings.add(("sources",), "have no effect: with digest calls come from anywhere, with a password")
        if method == "register" and not (self.authentication.registrar or self.domain or self.addresses):
            findings.add(("authentication", "registrar"), "is needed: there is no domain and no address")

    def _refuse_transcoding_to_nothing(self, findings: Findings) -> None:
        if self.transcode and not self.codecs:
            findings.add(("codecs",), "list the codecs to translate to")
        for position, codec in enumerate(self.codecs if self.transcode else ()):
            if codec in DECODED_ONLY:
                findings.add(("codecs", position), f"{codec} can be translated from, not to")
