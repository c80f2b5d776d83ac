"""Carries out one test call with a telephone, step by step, and returns what was observed."""

from __future__ import annotations

import tempfile
from array import array
from pathlib import Path

from sbc.probe import tone
from sbc.probe.call import Observed, Wanted
from sbc.probe.phone import DIGIT, Account, Call, Phone, PhoneError

#: Seconds of quiet before the tone, so that its beginning is heard, and after it, so that its end comes back.
_BEFORE, _AFTER = 0.2, 0.4
#: Seconds for media to be up once the call is, and for both ends to hear that it is over.
_MEDIA, _GOODBYE = 2.0, 2.0
_CLOSE = 1.0


def carry_out(wanted: Wanted, log: int = 0) -> Observed:
    """Place the call and hang up. What cannot be done is told as `trouble`."""
    with Phone(wanted.codecs, log) as phone:
        try:
            return _carry_out(phone, wanted)
        except PhoneError as error:
            return Observed(trouble=str(error))


def _carry_out(phone: Phone, wanted: Wanted) -> Observed:
    echo = phone.line(wanted.echo, wanted.credentials, answers=True) if wanted.echo else None
    caller = phone.line(wanted.caller, wanted.credentials, answers=False)
    call = caller.call(f"sip:{wanted.number}@{wanted.host}:{wanted.port};transport={wanted.caller.transport}")
    phone.wait(lambda: call.over or call.setup is not None, wanted.answer)
    try:
        if call.broken:
            return Observed(trouble=f"no connection to {wanted.peer}: {call.broken}")
        if call.setup is None:
            return Observed(code=call.code, reason=call.reason, warning=call.warning)
        return _talk(phone, wanted, call, echo)
    finally:
        call.hang_up()
        phone.wait(lambda: all(each.over for each in (call, *_calls(echo))), _GOODBYE)


def _calls(echo: Account | None) -> list[Call]:
    return echo.calls if echo else []


def _talk(phone: Phone, wanted: Wanted, call: Call, echo: Account | None) -> Observed:
    phone.wait(lambda: call.media is not None and all(each.media is not None for each in _calls(echo)), _MEDIA)
    heard = _hear(phone, wanted, call)
    digits = _exchange_digits(phone, wanted, call)
    callee = next(iter(_calls(echo)), None)
    return Observed(
        setup=call.setup,
        code=call.code,
        reason=call.reason,
        rang=callee is not None,
        codec=call.codec,
        encrypted=call.encrypted,
        caller=call.received(),
        callee=callee.received() if callee else call.reported(),
        tone=heard.seconds,
        echo=None if heard.onset is None else max(heard.onset - _BEFORE, 0.0) * 1000,
        digits=digits,
    )


def _hear(phone: Phone, wanted: Wanted, call: Call) -> tone.Heard:
    with tempfile.TemporaryDirectory(prefix="test-call-") as directory:
        played, recorded = Path(directory, "played.wav"), Path(directory, "recorded.wav")
        tone.write(played, tone.played(_BEFORE, wanted.tone))
        call.play(played, recorded)
        phone.wait(lambda: call.over, _BEFORE + wanted.tone + _AFTER)
        call.stop()
        phone.wait(lambda: len(_samples(recorded)) > 0, _CLOSE)
        return tone.hear(_samples(recorded))


def _samples(file: Path) -> array[int]:
    """What was recorded; nothing as long as the file is not closed, which the library does a moment later."""
    try:
        return tone.read(file)
    except ValueError:
        return array("h")


def _exchange_digits(phone: Phone, wanted: Wanted, call: Call) -> str:
    call.send_digits(wanted.digits)
    phone.wait(lambda: call.over or len(call.digits) >= len(wanted.digits), 1 + 2 * DIGIT * len(wanted.digits))
    return call.digits
