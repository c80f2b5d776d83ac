"""What a customer orders of an SBC: its sides, its size, its certificate, and how it defends itself.

What changes often, trunks, routes, source rules and emergency numbers, is not here: see `trunk`, `route`
and `security`. A change of the spec is a new generation; it rewrites files and restarts nothing.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sbc.kind.certificate import Certificates, PrivateKey, belong_together
from sbc.kind.fields import Calls, Country, Host, Rate
from services.fields import Address, Findings, HostCidr, Many, PortName, Reference, UnicastPrefix
from services.kind import Spec


class Way(Spec):
    """The way to what is not on the segment itself."""

    destination: UnicastPrefix = Field(description="0.0.0.0/0 or ::/0 is everything else")
    via: Address = Field(description="Next hop, on the segment")

    @model_validator(mode="after")
    def is_of_one_family(self) -> Self:
        findings = Findings()
        if (":" in self.via) != (":" in self.destination):
            findings.add(("via",), "is not of the destination's address family")
        findings.raise_if_any("Way")
        return self


class SbcPort(Spec):
    """A side of the SBC: a port on one of the tenant's segments. Trunks name it."""

    name: PortName
    segment: Reference = Field(description="Id or name of the segment")
    addresses: Many[HostCidr] = Field(
        (), max_length=8, description="Without any, the platform takes one from each prefix of the segment"
    )
    routes: Many[Way] = Field((), max_length=64)
    probe_addresses: Many[HostCidr] = Field(
        (), max_length=8, description="Of the telephone that makes test calls on this side; without any, as above"
    )


class Tls(Spec):
    """TLS 1.2 and above, on port 5061 of every side."""

    certificate: Certificates | None = Field(
        None, description="The SBC's own, then those that lead to its authority; without it the platform issues one"
    )
    key: PrivateKey | None = Field(None, description="The key of the certificate")
    authorities: Certificates | None = Field(
        None, description="Who vouches for peers: their authorities, or their own certificates"
    )
    clients: Literal["off", "required"] = Field("off", description="Whether who connects must show a certificate")

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        if (self.certificate is None) != (self.key is None):
            findings.add(("certificate" if self.certificate is None else "key",), "certificate and key go together")
        if self.certificate and self.key and not belong_together(self.certificate, self.key.get_secret_value()):
            findings.add(("key",), "is not the key of the first certificate")
        if self.clients == "required" and self.authorities is None:
            findings.add(("authorities",), "say who vouches for those who connect")
        findings.raise_if_any("Tls")
        return self


class SourceLimit(Spec):
    """Messages that one source address may send; what is above is dropped. Sources of trunks have their own limits."""

    messages_per_second: Rate = 50
    burst: int = Field(100, ge=1, le=100_000, description="Messages at once after a silence")


class Ban(Spec):
    """A source that fails so often `within` so many seconds is not heard for a while."""

    seconds: int = Field(3600, ge=10, le=30 * 86_400, description="How long")
    failures: int = Field(5, ge=1, le=1000, description="Wrong passwords, unknown numbers, malformed messages")
    within: int = Field(60, ge=1, le=3600, description="Seconds")


class TestCall(Spec):
    """The call by which the platform proves that the SBC works, from one side to an echo on the other."""

    __test__ = False  # it is no test, whatever its name tells pytest

    from_side: PortName | None = Field(None, description="Without one: the first port")
    to_side: PortName | None = Field(None, description="Without one: the second port, or the only one")
    every: int = Field(600, ge=60, le=86_400, description="Seconds")


class SbcSpec(Spec):
    """A session border controller."""

    ports: Many[SbcPort] = Field(min_length=1, max_length=8)
    realm: Host | None = Field(None, description="What the SBC calls itself when it asks for a password")
    country: Country | None = Field(None, description="Numbers are read as dialled in this country")
    most_calls: Calls = Field(100, description="Calls at once; the size sets the most that can be had")
    most_calls_per_second: Rate = 20
    longest_call: int = Field(43_200, ge=60, le=7 * 86_400, description="Seconds")
    longest_message: int = Field(12_288, ge=2048, le=65_535, description="Bytes; longer ones are refused with 513")
    media_timeout: int = Field(60, ge=10, le=3600, description="Seconds without media, after which a call is ended")
    resolvers: Many[Address] = Field(
        (), max_length=4, description="Name servers that know the names of trunks; asked from the SBC's own addresses"
    )
    tls: Tls | None = None
    source_limit: SourceLimit = SourceLimit()
    ban: Ban = Ban()
    test_call: TestCall = TestCall()

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        findings.add_repeats(("ports",), [port.name for port in self.ports], "name")
        findings.add_repeats(("resolvers",), self.resolvers)
        self._refuse_ways_by_two_sides(findings)
        sides = {port.name for port in self.ports}
        for name in ("from_side", "to_side"):
            side = getattr(self.test_call, name)
            if side is not None and side not in sides:
                findings.add(("test_call", name), f"there is no port {side}")
        findings.raise_if_any("SbcSpec")
        return self

    def _refuse_ways_by_two_sides(self, findings: Findings) -> None:
        taken: dict[str, str] = {}
        for position, port in enumerate(self.ports):
            for index, way in enumerate(port.routes):
                if way.destination in taken:
                    path = ("ports", position, "routes", index, "destination")
                    findings.add(path, f"port {taken[way.destination]} leads there already")
                taken.setdefault(way.destination, port.name)

    @property
    def test_sides(self) -> tuple[str, str]:
        """From which side the test call goes, and to which."""
        names = [port.name for port in self.ports]
        return self.test_call.from_side or names[0], self.test_call.to_side or names[min(1, len(names) - 1)]
