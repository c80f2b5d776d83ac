"""Real test calls: between two addresses of this host, and through an SBC that works or does not."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children
from typing import Any

import pytest

from sbc.kind.entries import Srtp as Media
from sbc.probe import emodel
from sbc.probe.call import Credentials, Line, Srtp, Transport, Wanted, judge
from sbc.probe.supervise import observe
from tests.system.sbc.box import INSIDE, OUTSIDE, Box, run, until
from tests.system.sbc.telephone import WANTED, Telephone

pytestmark = pytest.mark.system

#: A blackhole of the loopback network: packets go there and nothing answers.
NOBODY = "127.255.255.254"
TRUSTING = Credentials("/etc/naas/probe.crt", "/etc/naas/probe.key", "/etc/naas/peers.crt")


def direct(transport: Transport = Transport.UDP, srtp: Srtp = Srtp.OFF, **more: object) -> Wanted:
    """A call without an SBC, from one address of this host to another."""
    caller, echo = "127.0.5.2", "127.0.5.3"
    return dataclasses.replace(
        Wanted(Line(caller, transport, srtp), echo, 5060, "+999", Line(echo, transport, srtp, 5060), tone=1.0),
        **more,  # type: ignore[arg-type]
    )


# --- without an SBC ---


@pytest.mark.parametrize("srtp", [Srtp.OFF, Srtp.REQUIRED])
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_a_telephone_hears_itself_in_an_echo(transport: Transport, srtp: Srtp) -> None:
    wanted = direct(transport, srtp)
    verdict = judge(wanted, observe(wanted))
    assert verdict.passed, verdict.message
    assert verdict.observed.encrypted == (srtp is Srtp.REQUIRED)
    assert verdict.mos is not None
    assert verdict.mos > 4.3


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (direct(host=NOBODY, answer=1.0), f"no answer from {NOBODY}:5060 over UDP within 1 s"),
        (direct(Transport.TCP, port=5099), "no connection to 127.0.5.3:5099 over TCP: Connection refused"),
        (
            direct(caller=Line("192.0.2.1")),
            "the probe cannot listen at 192.0.2.1 over UDP: Cannot assign requested address",
        ),
        (
            direct(Transport.TLS, credentials=Credentials(certificate="/nowhere.crt")),
            "the probe cannot read /nowhere.crt",
        ),
        (
            direct(caller=Line("127.0.5.2", srtp=Srtp.REQUIRED)),
            "127.0.5.3:5060 over UDP answered 488 Not Acceptable Here",
        ),
        (
            direct(number="5>", answer=1.0),
            "the probe cannot call sip:5>@127.0.5.3:5060;transport=udp: Invalid Request URI",
        ),
        (direct(caller=Line("::1")), "the probe cannot listen at ::1: its telephone knows IPv4 alone"),
        (direct(host=NOBODY, within=0.5), "the test call did not end within 0.5 s"),
    ],
)
def test_a_call_that_fails_says_why(wanted: Wanted, reason: str) -> None:
    assert judge(wanted, observe(wanted)).reason == reason


def test_a_telephone_that_breaks_down_takes_nobody_along() -> None:
    ends: list[str] = []
    calling = threading.Thread(target=lambda: ends.append(observe(direct(host=NOBODY)).trouble))
    calling.start()
    while not active_children():
        time.sleep(0.01)
    for child in active_children():
        child.kill()
    calling.join(5)
    assert ends == ["the telephone broke down: SIGKILL"]


def test_calls_take_turns() -> None:
    verdicts: list[bool] = []
    callers = [
        threading.Thread(target=lambda: verdicts.append(judge(direct(), observe(direct())).passed)) for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert verdicts == [True, True]


# --- through an SBC ---


@pytest.fixture(scope="module")
def standing() -> Iterator[Telephone]:
    box = Box(tls=True)
    telephone = Telephone(box)
    try:
        box.issue("probe")
        box.start()
        telephone.start()
        yield telephone
    finally:
        telephone.close()
        box.close()


@pytest.fixture
def telephone(standing: Telephone) -> Telephone:
    """A probe beside an SBC that works, without encryption."""
    standing.load(caller={"srtp": Media.OFF})
    return standing


def secure(line: Line, port: int = 0) -> Line:
    return dataclasses.replace(line, transport=Transport.TLS, srtp=Srtp.REQUIRED, port=port)


def test_a_good_call_over_udp(telephone: Telephone) -> None:
    said = telephone.call()
    assert said["passed"], said["message"]
    assert said["mos"] > 4.3
    assert said["quality"]["caller"]["loss"] == said["quality"]["callee"]["loss"] == 0
    assert said["setup"] < 1000


def test_a_good_call_over_tcp(telephone: Telephone) -> None:
    said = telephone.call(
        dataclasses.replace(WANTED, caller=dataclasses.replace(WANTED.caller, transport=Transport.TCP))
    )
    assert said["passed"], said["message"]


def test_a_good_call_from_tls_and_srtp_to_neither(telephone: Telephone) -> None:
    telephone.load(caller={"srtp": Media.REQUIRED})
    said = telephone.call(dataclasses.replace(WANTED, caller=secure(WANTED.caller), port=5061, credentials=TRUSTING))
    assert said["passed"], said["message"]
    assert said["srtp"]


def test_a_good_call_from_neither_to_tls_and_srtp(telephone: Telephone) -> None:
    assert WANTED.echo
    echo = secure(WANTED.echo, 5061)
    at = f"sip:{echo.address}:5061;transport=tls"
    telephone.load(
        echo_at=at, caller={"srtp": Media.OFF}, echo={"srtp": Media.REQUIRED, "socket": f"tls:{OUTSIDE}.1:5061"}
    )
    said = telephone.call(dataclasses.replace(WANTED, echo=echo, credentials=TRUSTING))
    assert said["passed"], said["message"]


def heard(box: Box, end: str) -> Any:
    """What an end of the one call that stands has reported so far."""
    return next((call["quality"] or {} for call in json.loads(box.program("calls").stdout)["calls"]), {}).get(end)


def test_the_sbc_finds_the_same_as_the_ends_whose_reports_it_hears(telephone: Telephone) -> None:
    with ThreadPoolExecutor(1) as calling:
        made = calling.submit(telephone.call, dataclasses.replace(WANTED, tone=6.0))
        until(lambda: all(heard(telephone.box, end) for end in ("caller", "callee")), 12)
        for end in ("caller", "callee"):
            assert heard(telephone.box, end)["mos"] == pytest.approx(4.4, abs=0.05)
        said = made.result()
    until(lambda: telephone.box.record()["called"] == WANTED.number)
    for end in ("caller", "callee"):
        ours, theirs = said["quality"][end], telephone.box.record()["quality"][end]
        assert theirs["mos"] == pytest.approx(ours["mos"], abs=0.1)
        assert theirs["loss"] == ours["loss"] == 0
        assert theirs["round_trip"] is None or 0 < theirs["round_trip"] < 20


def test_an_sbc_that_is_full_can_still_be_tested() -> None:
    box = Box(most_calls=0, most_per_second=0)
    telephone = Telephone(box)
    try:
        box.start()
        telephone.start()
        telephone.load(caller={"srtp": Media.OFF})
        assert telephone.call()["passed"]
        until(lambda: box.counter("*") == 0)
    finally:
        telephone.close()
        box.close()


def test_a_certificate_of_somebody_else_is_not_believed(telephone: Telephone) -> None:
    others = dataclasses.replace(TRUSTING, authorities="/etc/naas/probe.crt")
    said = telephone.call(dataclasses.replace(WANTED, caller=secure(WANTED.caller), port=5061, credentials=others))
    assert said["reason"] == f"no connection to {INSIDE}.1:5061 over TLS: SSL certificate verification error"


def test_media_that_cannot_be_relayed_is_found(telephone: Telephone) -> None:
    telephone.box.kill("rtpengine")
    try:
        said = telephone.call()
    finally:
        telephone.box.restart("rtpengine")
    assert said["reason"].startswith(f"{INSIDE}.1:5060 over UDP answered 5")


@pytest.mark.parametrize(
    ("caller", "echo", "reason"),
    [
        (Media.OFF, {"codecs": ("G729", "opus")}, "none of the offered codecs is allowed"),
        (Media.REQUIRED, {}, "media must be encrypted"),
    ],
)
def test_an_sbc_that_does_not_take_the_probes_media_says_why(
    telephone: Telephone, caller: Media, echo: dict[str, object], reason: str
) -> None:
    telephone.load(caller={"srtp": caller}, echo=echo)
    said = telephone.call()
    assert not said["passed"]
    assert said["reason"] == f"{INSIDE}.1:5060 over UDP answered 488 Not Acceptable Here: {reason}"


def test_a_silent_side_is_found(telephone: Telephone) -> None:
    said = telephone.call(dataclasses.replace(WANTED, echo=None))
    assert said["reason"] == f"{INSIDE}.1:5060 over UDP answered 408 Request Timeout"


@pytest.mark.parametrize(("every", "passes"), [(10, False), (50, True)])
def test_lost_packets_cost_what_the_e_model_says(telephone: Telephone, every: int, passes: bool) -> None:
    with losing(telephone, every):
        said = telephone.call(dataclasses.replace(WANTED, tone=4.0))
    caller, callee = said["quality"]["caller"], said["quality"]["callee"]
    assert caller["loss"] == pytest.approx(100 / every, abs=0.6)
    assert callee["loss"] == 0
    # Some of what does arrive finds the jitter buffer of the telephone out of step.
    best, worst = (
        emodel.mos(emodel.rating(emodel.G711, loss=loss, delay=30)) for loss in (100 / every, 120 / every + 3)
    )
    assert worst < caller["mos"] == said["mos"] < best + 0.05
    assert callee["mos"] > 4.3
    assert said["passed"] is passes, said["message"]


@contextmanager
def losing(telephone: Telephone, every: int) -> Iterator[None]:
    """Of the media on its way back to the caller, lose one packet out of so many."""
    nft = ("ip", "netns", "exec", telephone.box.namespace("pbx"), "nft")
    rule = f"udp sport 20000-39999 numgen inc mod {every} 0 drop"
    run(*nft, f"table bridge loss {{ chain forward {{ type filter hook forward priority 0; {rule}; }}; }}")
    try:
        yield
    finally:
        run(*nft, "delete", "table", "bridge", "loss")
