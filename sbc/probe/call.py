"""A test call as values: what is wanted of it, what was observed, and what that proves. Pure.

The telephone (`phone`) only observes; whether the SBC works is decided here, in `judge`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sbc.probe import emodel

#: Ratings below this leave "many users dissatisfied" (G.107, annex B: R 70).
LEAST_MOS = 3.6
#: Share of the played tone that must come back; concealment hides single lost packets from it.
TONE_SHARE = 0.5
#: Characters of a condition's message.
MESSAGE = 300


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"

    @property
    def port(self) -> int:
        return 5061 if self is Transport.TLS else 5060


class Srtp(StrEnum):
    """Whether media is encrypted (SDES, RFC 4568)."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True)
class Credentials:
    """For TLS: PEM files with the own certificate and key, which an echo needs, and with whom peers are verified by.

    Without `authorities` peers are not verified. A few of them at most: with a whole system's list the library stalls.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""


@dataclass(frozen=True)
class Line:
    """One end of the call: its own IPv4 address, how it speaks there, and as whom. `port` 0 is any free one."""

    address: str
    transport: Transport = Transport.UDP
    srtp: Srtp = Srtp.OFF
    port: int = 0
    user: str = "probe"


@dataclass(frozen=True)
class Wanted:
    """A call from `caller` to `number` by the SBC at `host`:`port`; `echo` answers it, None: somebody else does.

    Times in seconds: `tone` is played, an answer must come within `answer`, and everything be over `within`.
    """

    caller: Line
    host: str
    port: int
    number: str
    echo: Line | None
    tone: float = 2.0
    digits: str = "1#D"
    codecs: tuple[str, ...] = ("PCMA", "PCMU")
    answer: float = 8.0
    within: float = 20.0
    least_mos: float = LEAST_MOS
    credentials: Credentials = Credentials()

    @property
    def peer(self) -> str:
        return f"{self.host}:{self.port} over {self.caller.transport.upper()}"


@dataclass(frozen=True)
class Received:
    """What one end received: packets, those lost on the way and those too late, jitter and round trip in ms."""

    packets: int
    lost: int = 0
    late: int = 0
    jitter: float | None = None
    round_trip: float | None = None

    @property
    def loss(self) -> float:
        """Percent that did not arrive."""
        return self._share(self.lost)

    @property
    def unheard(self) -> float:
        """Percent that did not arrive, or too late to be played."""
        return self._share(self.lost + self.late)

    def _share(self, count: int) -> float:
        expected = self.packets + self.lost
        return 100 * min(count, expected) / expected if expected else 0.0


@dataclass(frozen=True)
class Observed:
    """What the telephone saw of one call. `setup` is the time from INVITE to 200 and `echo` that of the tone there
    and back, in ms; both None when there was none. `warning` is what a refusal said besides (RFC 3261, 20.43);
    `trouble` says what the telephone itself could not do.
    """

    setup: float | None = None
    code: int = 0
    reason: str = ""
    warning: str = ""
    rang: bool = False
    codec: str = ""
    encrypted: bool = False
    caller: Received | None = None
    callee: Received | None = None
    tone: float = 0.0
    echo: float | None = None
    digits: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Quality:
    """What one end heard: MOS by the E-model, loss in percent, jitter and round trip in ms; None is not measured."""

    mos: float | None
    loss: float
    jitter: float | None
    round_trip: float | None


@dataclass(frozen=True)
class Verdict:
    """`reason` says in one sentence why the call did not pass; empty when it did."""

    wanted: Wanted
    observed: Observed
    reason: str
    caller: Quality | None
    callee: Quality | None

    @property
    def passed(self) -> bool:
        return not self.reason

    @property
    def mos(self) -> float | None:
        """That of the end that hears less well."""
        return min((heard.mos for heard in self._heard if heard.mos is not None), default=None)

    @property
    def _heard(self) -> tuple[Quality, ...]:
        return tuple(heard for heard in (self.caller, self.callee) if heard is not None)

    @property
    def message(self) -> str:
        """One line for people."""
        measured = self._measured() if self.observed.setup is not None else ""
        said = ", ".join(part for part in (self.reason, measured) if part)
        return said if len(said) <= MESSAGE else said[: MESSAGE - 3] + "..."

    def _measured(self) -> str:
        media = "SRTP" if self.observed.encrypted else "RTP"
        parts = [f"set up in {self.observed.setup:.0f} ms over {self.wanted.caller.transport.upper()} with {media}"]
        if self._heard:
            parts.append(f"MOS {self.mos:.1f}" if self.mos is not None else "MOS not known")
            parts.append(f"loss {max(heard.loss for heard in self._heard):.1f} %")
            jitter = max((heard.jitter for heard in self._heard if heard.jitter is not None), default=None)
            parts += [f"jitter {jitter:.1f} ms"] if jitter is not None else []
        if self.passed:
            parts.append("tone and DTMF came back")
        return ", ".join(parts)

    def conditions(self, type: str) -> list[dict[str, str]]:
        """What the PoP takes as the answer of a probe."""
        return [{"type": type, "status": "true" if self.passed else "false", "message": self.message}]

    def document(self) -> dict[str, Any]:
        """Everything, for the API."""
        observed = self.observed
        return {
            "passed": self.passed,
            "message": self.message,
            "reason": self.reason,
            "number": self.wanted.number,
            "transport": self.wanted.caller.transport,
            "srtp": observed.encrypted,
            "code": observed.code,
            "setup": _rounded(observed.setup),
            "codec": observed.codec or None,
            "mos": _rounded(self.mos),
            "echo": _rounded(observed.echo),
            "tone": {"played": self.wanted.tone, "heard": _rounded(observed.tone)},
            "digits": {"sent": self.wanted.digits, "heard": observed.digits},
            "quality": {"caller": _document(self.caller), "callee": _document(self.callee)},
        }


def judge(wanted: Wanted, observed: Observed) -> Verdict:
    """What the observed proves about the SBC."""
    quality = [_quality(observed, received) for received in (observed.caller, observed.callee)]
    verdict = Verdict(wanted, observed, _failure(wanted, observed), *quality)
    if verdict.passed and verdict.mos is not None and verdict.mos < wanted.least_mos:
        return Verdict(wanted, observed, f"speech is worse than MOS {wanted.least_mos:.1f}", *quality)
    return verdict


def _failure(wanted: Wanted, observed: Observed) -> str:
    """The first thing that did not go as wanted, in the order in which things happen in a call."""
    if observed.trouble:
        return observed.trouble
    if observed.setup is None:
        return _refusal(wanted, observed)
    if wanted.echo is not None and not observed.rang:
        return "the call was answered by somebody else than the probe's echo"
    if observed.caller is None or not observed.caller.packets:
        return "the call was answered but no media came back"
    if observed.tone < wanted.tone * TONE_SHARE:
        return f"media came back, but only {observed.tone:.1f} s of the {wanted.tone:.1f} s of tone in it"
    if observed.digits != wanted.digits:
        return f"of the DTMF digits {wanted.digits} came back {observed.digits or 'none'}"
    return ""


def _refusal(wanted: Wanted, observed: Observed) -> str:
    if observed.code >= 300:
        said = f"{wanted.peer} answered {observed.code} {observed.reason}".rstrip()
        return f"{said}: {observed.warning}" if observed.warning else said
    if observed.code >= 100:
        last = f"{observed.code} {observed.reason}".rstrip()
        return f"{wanted.peer} said {last} and then nothing within {wanted.answer:g} s"
    return f"no answer from {wanted.peer} within {wanted.answer:g} s"


def _quality(observed: Observed, received: Received | None) -> Quality | None:
    if received is None or not received.packets:
        return None
    delay = _one_way_delay(observed, received)
    codec = emodel.CODECS.get(observed.codec)
    mos = None
    if codec is not None and delay is not None:
        mos = emodel.mos(emodel.rating(codec, loss=received.unheard, delay=delay))
    return Quality(mos, received.loss, received.jitter, received.round_trip)


def _one_way_delay(observed: Observed, received: Received) -> float | None:
    """Half of the way there and back: of the tone, which passed both jitter buffers, or else of RTCP."""
    both_ways = observed.echo if observed.echo is not None else received.round_trip
    return None if both_ways is None else both_ways / 2


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _document(quality: Quality | None) -> dict[str, float | None] | None:
    return {name: _rounded(value) for name, value in asdict(quality).items()} if quality else None
