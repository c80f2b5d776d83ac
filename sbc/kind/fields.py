"""The field types that the documents of an SBC share: hosts, numbers, names, headers.

Each has a pattern without control characters, quotes that could end early, `$` (Kamailio's
variables) or the separators of the tables, so that no value can be taken for syntax.
"""

from __future__ import annotations

import re
import zoneinfo
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, TypeAdapter, model_validator

from services.fields import Address, Findings
from services.kind import Spec

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address, and not as a name."""
    return ":" in host or re.fullmatch(r"[0-9.]+", host) is not None


def _host(text: str) -> str:
    return _ADDRESS.validate_python(text) if is_address(text) else text.lower()


#: An IP address (IPv6 without brackets) or a host name.
Host = Annotated[
    str,
    Field(pattern=rf"^([0-9A-Fa-f:.]{{2,45}}|{_LABEL}(\.{_LABEL})*)$", max_length=253, examples=["sip.example.net"]),
    AfterValidator(_host),
]
#: What a trunk, a route or a source rule is called, for good: others refer to it by this.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", examples=["carrier-one"])]
#: The realm of digest authentication (RFC 3261, 22.1).
Realm = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._@ -]{0,62}[A-Za-z0-9])?$", examples=["sbc.example.net"])
]
#: The user of digest authentication and of a registered address.
User = Annotated[str, Field(pattern=r"^[A-Za-z0-9+][A-Za-z0-9._+~-]{0,63}$", examples=["trunk-4711"])]
#: A telephone number as it is dialled.
Number = Annotated[str, Field(pattern=r"^\+?[0-9*#]{1,32}$", examples=["+4940123456"])]
#: The beginning of a telephone number; empty is that of every number.
NumberPrefix = Annotated[str, Field(pattern=r"^\+?[0-9*#]{0,32}$", examples=["+49"])]
#: X is 0-9, Z 1-9, N 2-9; a final dot is the rest, at least one character.
NumberPattern = Annotated[str, Field(pattern=r"^\+?[0-9XZN*#]{0,32}\.?$", min_length=1, examples=["+49NXX."])]
#: A country's calling code (ITU-T E.164).
Country = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$", examples=["49"])]
#: Calls or requests in a second.
Rate = Annotated[int, Field(ge=1, le=10_000)]
Calls = Annotated[int, Field(ge=1, le=100_000)]
Priority = Annotated[int, Field(ge=0, le=65_535, description="Lower is tried first")]
Weight = Annotated[int, Field(ge=1, le=65_535, description="Share among those of equal priority (RFC 2782)")]


# --- secrets --------------------------------------------------------------------------


def _printable_ascii(secret: SecretStr) -> SecretStr:
    if not all(" " <= character <= "~" for character in secret.get_secret_value()):
        raise ValueError("may hold printable ASCII characters only")
    return secret


Password = Annotated[SecretStr, Field(min_length=1, max_length=128), AfterValidator(_printable_ascii)]


# --- time -----------------------------------------------------------------------------


@cache
def zone(name: str) -> zoneinfo.ZoneInfo:
    """The time zone of this name in the IANA database. Raises `ValueError`."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError):
        raise ValueError(f"there is no time zone {name}, write it as in Europe/Berlin") from None


def _zone_name(name: str) -> str:
    return zone(name).key


ZoneName = Annotated[
    str,
    Field(pattern=r"^[A-Z][A-Za-z0-9_+-]{1,31}(/[A-Za-z0-9_+-]{1,31}){0,2}$", examples=["Europe/Berlin"]),
    AfterValidator(_zone_name),
]


# --- headers --------------------------------------------------------------------------

#: Headers by which SIP itself works, or which the SBC writes to hide one side from the other: no rule touches them.
PROTECTED_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "allow", "allow-events", "authorization", "call-id", "contact"),
        *("content-disposition", "content-encoding", "content-length", "content-type", "cseq", "event", "expires"),
        *("from", "in-reply-to", "join", "max-forwards", "mime-version", "min-expires", "min-se", "path"),
        *("proxy-authenticate", "proxy-authorization", "proxy-require", "rack", "record-route", "refer-to", "replaces"),
        *("require", "route", "rseq", "service-route", "session-expires", "sip-etag", "sip-if-match"),
        *("subscription-state", "supported", "target-dialog", "to", "unsupported", "via", "www-authenticate"),
    }
)
#: Headers of answers and of what ends a call. Rules are for the INVITE that starts one: of what a side says of itself
#: in later messages the other side sees nothing anyway.
_LATER_HEADERS = frozenset({"error-info", "reason", "retry-after", "server", "warning"})
#: Headers by which the SBC's routing script tells its own module something.
_INTERNAL = "hide-"


def _header_name(name: str) -> str:
    if name.lower() in PROTECTED_HEADERS or name.lower().startswith(_INTERNAL):
        raise ValueError(f"{name} belongs to SIP or to the SBC itself and cannot be changed")
    if name.lower() in _LATER_HEADERS:
        raise ValueError(f"{name} does not stand in the INVITE that starts a call, and no other message is changed")
    return name


#: A header's long name: the compact forms have one letter, and all of them are protected or seldom used.
HeaderName = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{1,63}$", examples=["X-Account"]), AfterValidator(_header_name)
]
#: Printable ASCII on one line, without `$` and backslash.
HeaderValue = Annotated[str, Field(pattern=r"^[!-#%-\[\]-~]([ -#%-\[\]-~]{0,254}[!-#%-\[\]-~])?$", examples=["4711"])]


class HeaderRule(Spec):
    """Adds a header to the INVITE that starts a call, removes all of a name from it, or replaces them by one."""

    action: Literal["add", "remove", "replace"]
    name: HeaderName
    value: HeaderValue | None = None

    @model_validator(mode="after")
    def has_a_value_to_write(self) -> Self:
        findings = Findings()
        if self.action == "remove" and self.value is not None:
            findings.add(("value",), "has no effect: the header is removed")
        if self.action != "remove" and self.value is None:
            findings.add(("value",), f"to {self.action} a header, give its value")
        findings.raise_if_any("HeaderRule")
        return self


class Target(Spec):
    """A trunk to which a call may go."""

    trunk: Name = Field(json_schema_extra={"x-reference": "trunk"})
    priority: Priority = 10
    weight: Weight = 10
