"""The only code that imports pjsua2: telephones at addresses of this host, one process long.

A `Phone` runs the library on the thread that made it; nothing here waits but `Phone.wait`.
It observes and never judges.
"""

from __future__ import annotations

import gc
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pjsua2

from sbc.probe import tone
from sbc.probe.call import Credentials, Line, Received, Srtp, Transport

#: The library's limit: a fifth call in one process fails.
MOST_CALLS = 4
#: Seconds that the library takes for a digit. A shorter one it does send, but with the timestamps of one this long,
#: which a relay that keeps time by them delivers ever later.
DIGIT = 0.24
_POLL = 10

_SRTP = {
    Srtp.OFF: pjsua2.PJMEDIA_SRTP_DISABLED,
    Srtp.OPTIONAL: pjsua2.PJMEDIA_SRTP_OPTIONAL,
    Srtp.REQUIRED: pjsua2.PJMEDIA_SRTP_MANDATORY,
}
_TRANSPORT = {
    Transport.UDP: pjsua2.PJSIP_TRANSPORT_UDP,
    Transport.TCP: pjsua2.PJSIP_TRANSPORT_TCP,
    Transport.TLS: pjsua2.PJSIP_TRANSPORT_TLS,
}


class PhoneError(Exception):
    """The telephone itself cannot do this; the message says why."""


class Phone:
    """Telephone lines that share one audio clock. One for each process."""

    def __init__(self, codecs: tuple[str, ...], log: int = 0) -> None:
        self._endpoint = pjsua2.Endpoint()
        self._endpoint.libCreate()
        config = pjsua2.EpConfig()
        config.logConfig.level = config.logConfig.consoleLevel = log
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = MOST_CALLS
        config.uaConfig.natTypeInSdp = 0
        config.medConfig.clockRate = config.medConfig.sndClockRate = tone.RATE
        config.medConfig.ecTailLen = 0
        config.medConfig.noVad = True
        self._endpoint.libInit(config)
        self._endpoint.audDevManager().setNullDev()
        self._choose(codecs)
        self._endpoint.libStart()
        self._accounts: list[Account] = []

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *error: object) -> None:
        """End at once; calls still up are forgotten, not hung up. The library wants its objects gone before itself."""
        for account in self._accounts:
            account.calls.clear()
            account.shutdown()
        self._accounts.clear()
        gc.collect()
        self._endpoint.libDestroy(pjsua2.PJSUA_DESTROY_NO_NETWORK)

    def line(self, line: Line, credentials: Credentials, *, answers: bool) -> Account:
        """Listen at a line. Raises `PhoneError` when its address or port cannot be had."""
        if ip_address(line.address).version != 4:
            raise PhoneError(f"the probe cannot listen at {line.address}: its telephone knows IPv4 alone")
        config = pjsua2.TransportConfig()
        config.boundAddress = line.address
        config.port = line.port
        if line.transport is Transport.TLS:
            _secure(config.tlsConfig, credentials)
        try:
            transport = self._endpoint.transportCreate(_TRANSPORT[line.transport], config)
        except pjsua2.Error as error:
            where = f"{line.address}:{line.port}" if line.port else line.address
            over = line.transport.upper()
            raise PhoneError(f"the probe cannot listen at {where} over {over}: {_in_words(error.reason)}") from error
        account = Account(line, answers=answers)
        account.create(_account_config(line, transport), answers)
        self._accounts.append(account)
        return account

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Let the library work until this holds; says whether it did in time."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            self._endpoint.libHandleEvents(_POLL)
        return True

    def _choose(self, codecs: tuple[str, ...]) -> None:
        for known in self._endpoint.codecEnum2():
            name = known.codecId.split("/")[0]
            priority = 255 - codecs.index(name) if name in codecs else 0
            self._endpoint.codecSetPriority(known.codecId, priority)


class Account(pjsua2.Account):  # type: ignore[misc]  # the library has no types
    """A line that listens. One that `answers` takes every call, plays back what it hears and sends back its digits."""

    def __init__(self, line: Line, *, answers: bool) -> None:
        super().__init__()
        self.where = line
        self.answers = answers
        self.calls: list[Call] = []

    def call(self, uri: str) -> Call:
        """Begin a call. Raises `PhoneError` when the library does not even try."""
        call = Call(self)
        self.calls.append(call)
        call.began = time.monotonic()
        try:
            call.makeCall(uri, pjsua2.CallOpParam(True))
        except pjsua2.Error as error:
            raise PhoneError(f"the probe cannot call {uri}: {_in_words(error.reason)}") from error
        return call

    def onIncomingCall(self, incoming: pjsua2.OnIncomingCallParam) -> None:  # noqa: N802 - the library's name
        call = Call(self, incoming.callId, echoes=self.answers)
        parameters = pjsua2.CallOpParam()
        parameters.statusCode = pjsua2.PJSIP_SC_OK if self.answers else pjsua2.PJSIP_SC_NOT_FOUND
        self.calls = [other for other in self.calls if not other.over]
        self.calls.append(call)
        call.answer(parameters)


class Call(pjsua2.Call):  # type: ignore[misc]  # the library has no types
    """One call as it goes on.

    `code` and `reason` are the last SIP status, `broken` is why nothing could be sent, `digits` what DTMF came.
    """

    def __init__(self, account: Account, id: int = -1, *, echoes: bool = False) -> None:
        super().__init__(account, id)
        self.echoes = echoes
        self.began = 0.0
        self.setup: float | None = None
        self.code = 0
        self.reason = ""
        self.warning = ""
        self.broken = ""
        self.over = False
        self.digits = ""
        self.media: pjsua2.AudioMedia | None = None
        self._player: pjsua2.AudioMediaPlayer | None = None
        self._recorder: pjsua2.AudioMediaRecorder | None = None

    # --- what the library tells ---

    def onCallState(self, told: pjsua2.OnCallStateParam) -> None:  # noqa: N802 - the library's name
        info = self.getInfo()
        self.code, self.reason = info.lastStatusCode, info.lastReason
        of_transaction = told.e.type == pjsua2.PJSIP_EVENT_TSX_STATE
        if of_transaction and told.e.body.tsxState.type == pjsua2.PJSIP_EVENT_TRANSPORT_ERROR:
            self.broken = _in_words(info.lastReason)  # The library calls this 503 as well.
        if of_transaction and told.e.body.tsxState.type == pjsua2.PJSIP_EVENT_RX_MSG:
            self.warning = _warning(told.e.body.tsxState.src.rdata.wholeMsg)
        if info.state == pjsua2.PJSIP_INV_STATE_CONFIRMED and self.setup is None:
            self.setup = (time.monotonic() - self.began) * 1000
        self.over = self.over or info.state == pjsua2.PJSIP_INV_STATE_DISCONNECTED

    def onCallMediaState(self, told: pjsua2.OnCallMediaStateParam) -> None:  # noqa: N802, ARG002 - the library's name
        info = self.getInfo()  # Its parts live as long as it does.
        active = any(
            media.type == pjsua2.PJMEDIA_TYPE_AUDIO and media.status == pjsua2.PJSUA_CALL_MEDIA_ACTIVE
            for media in info.media
        )
        self.media = self.getAudioMedia(-1) if active else None
        if self.media and self.echoes:
            self.media.startTransmit(self.media)

    def onDtmfDigit(self, told: pjsua2.OnDtmfDigitParam) -> None:  # noqa: N802 - the library's name
        self.digits += told.digit
        if self.echoes:
            self.send_digits(told.digit)

    # --- what can be done with it ---

    def play(self, sound: Path, recording: Path) -> None:
        """Play a WAV file once, and record what comes from now on; `stop` ends both."""
        assert self.media is not None
        self._player = pjsua2.AudioMediaPlayer()
        self._player.createPlayer(str(sound), pjsua2.PJMEDIA_FILE_NO_LOOP)
        self._recorder = pjsua2.AudioMediaRecorder()
        self._recorder.createRecorder(str(recording))
        self.media.startTransmit(self._recorder)
        self._player.startTransmit(self.media)

    def stop(self) -> None:
        """Close both files; a recorder that is not closed before the process ends leaves half a file."""
        self._player = self._recorder = None

    def send_digits(self, digits: str) -> None:
        """As telephone events (RFC 4733)."""
        self.dialDtmf(digits)

    def hang_up(self) -> None:
        """Whatever state the call is in. Its being over is success."""
        with suppress(pjsua2.Error):
            self.hangup(pjsua2.CallOpParam())

    # --- what it measured ---

    @property
    def codec(self) -> str:
        name: str = self.getStreamInfo(0).codecName
        return name

    @property
    def encrypted(self) -> bool:
        return bool(self.getStreamInfo(0).proto & pjsua2.PJMEDIA_TP_PROFILE_SRTP)

    def received(self) -> Received:
        """What this end received so far."""
        found = self.getStreamStat(0)
        came = found.rtcp.rxStat
        return Received(came.pkt, came.loss, found.jbuf.discard, _mean(came.jitterUsec), _mean(found.rtcp.rttUsec))

    def reported(self) -> Received | None:
        """What the other end said in RTCP that it received; None before it said anything."""
        found = self.getStreamStat(0)
        sent = found.rtcp.txStat
        if not sent.updateCount:
            return None
        return Received(sent.pkt - sent.loss, sent.loss, 0, _mean(sent.jitterUsec), _mean(found.rtcp.rttUsec))


def _warning(message: str) -> str:
    """The text of a message's Warning header, empty without one."""
    found = re.search(r'(?im)^Warning: *\d{3} \S+ "([^"\r\n]*)"', message)
    return found[1] if found else ""


def _in_words(reason: str) -> str:
    """The library's reason without its own name of the error, which it adds in parentheses."""
    return reason.split(" (PJ")[0]


def _mean(statistic: pjsua2.MathStat) -> float | None:
    """Microseconds to milliseconds; None when nothing was counted."""
    return statistic.mean / 1000 if statistic.n else None


def _secure(config: pjsua2.TlsConfig, credentials: Credentials) -> None:
    """TLS 1.2, the latest that the library's OpenSSL has."""
    for file in (credentials.certificate, credentials.key, credentials.authorities):
        if file and not os.access(file, os.R_OK):
            raise PhoneError(f"the probe cannot read {file}")
    config.proto = pjsua2.PJ_SSL_SOCK_PROTO_TLS1_2
    config.certFile = credentials.certificate
    config.privKeyFile = credentials.key
    config.CaListFile = credentials.authorities
    config.verifyServer = config.verifyClient = bool(credentials.authorities)


def _account_config(line: Line, transport: int) -> pjsua2.AccountConfig:
    config = pjsua2.AccountConfig()
    config.idUri = f"sip:{line.user}@{line.address}"
    config.sipConfig.transportId = transport
    config.mediaConfig.transportConfig.boundAddress = line.address
    config.mediaConfig.srtpUse = _SRTP[line.srtp]
    config.mediaConfig.srtpSecureSignaling = 0
    # Behind an SBC nobody needs to guess where we are from where our packets seem to come from.
    config.natConfig.contactRewriteUse = config.natConfig.viaRewriteUse = config.natConfig.sdpNatRewriteUse = 0
    return config
