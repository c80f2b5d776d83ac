"""Test calls without a telephone: the E-model, the tone, the verdict on what was observed, and how one is ordered."""

from __future__ import annotations

import dataclasses
import random
from array import array
from pathlib import Path

import pytest

from sbc import testcalls
from sbc.probe import arguments, emodel, tone
from sbc.probe.call import MESSAGE, Credentials, Line, Observed, Received, Srtp, Transport, Wanted, judge

WANTED = Wanted(
    caller=Line("10.0.0.9", Transport.TLS, Srtp.REQUIRED),
    host="10.0.0.1",
    port=5061,
    number="+999",
    echo=Line("198.51.100.9"),
)
GOOD = Observed(
    setup=41.2,
    code=200,
    reason="OK",
    rang=True,
    codec="PCMA",
    encrypted=True,
    caller=Received(150, jitter=0.31),
    callee=Received(150, jitter=0.12),
    tone=2.0,
    echo=110.0,
    digits="1#D",
)


def observed(**changes: object) -> Observed:
    return dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]


# --- the E-model ---


def test_a_call_without_delay_or_loss_has_the_default_rating_of_the_recommendation():
    rating = emodel.rating(emodel.G711, loss=0, delay=0)
    assert rating == pytest.approx(93.2, abs=0.01)  # G.107, clause 7.7
    assert emodel.mos(rating) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(
    ("rating", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (-5, 1.0), (100, 4.5)]
)
def test_ratings_become_opinions_as_in_table_b1(rating, mos):
    assert emodel.mos(rating) == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize(("loss", "impairment"), [(2, 7), (3, 10), (5, 15), (7, 20), (10, 25)])
def test_random_loss_costs_g711_with_concealment_what_g113_tabulates(loss, impairment):
    # G.113 (02/2001), table I.2, which the equation of later editions fits within 2.1.
    assert emodel.loss_impairment(emodel.G711, loss) == pytest.approx(impairment, abs=2.1)


@pytest.mark.parametrize(("delay", "rating"), [(50, 92.0), (100, 90.8), (150, 89.6), (200, 85.9), (300, 72.5)])
def test_delay_costs_what_the_usual_approximation_says(delay, rating):
    # Cole and Rosenbluth: Id = 0.024 d + 0.11 (d - 177.3) beyond 177.3 ms, fitted up to 400 ms.
    assert emodel.rating(emodel.G711, loss=0, delay=delay) == pytest.approx(rating, abs=0.3)


# --- the tone ---


def test_the_tone_is_heard_for_as_long_as_it_was_played_and_from_when_it_began():
    assert tone.hear(tone.played(0.2, 2.0)) == tone.Heard(2.0, 0.2)


@pytest.mark.parametrize("frequency", [440.0, 950.0, 1100.0, 2040.0])
def test_another_tone_is_not_taken_for_it(frequency):
    assert tone.hear(tone.played(0.0, 1.0, frequency)) == tone.Heard(0.0, None)


def test_noise_and_silence_are_not_taken_for_the_tone():
    seeded = random.Random(7)
    noise = array("h", (seeded.randint(-8000, 8000) for _ in range(tone.RATE)))
    assert tone.hear(noise) == tone.hear(array("h", bytes(2 * tone.RATE))) == tone.hear([]) == tone.Heard(0.0, None)


def test_the_tone_is_heard_through_noise_as_loud_as_that_of_a_companding_codec():
    seeded = random.Random(7)
    noisy = [sample + round(seeded.gauss(0, 120)) for sample in tone.played(0.1, 1.0)]
    assert tone.hear(noisy) == tone.Heard(1.0, 0.1)


def test_a_wav_file_gives_back_the_samples_written(tmp_path: Path) -> None:
    samples = tone.played(0.1, 0.3)
    tone.write(tmp_path / "tone.wav", samples)
    assert tone.read(tmp_path / "tone.wav") == samples


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all"])
def test_what_is_no_wav_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.wav"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is no WAV file"):
        tone.read(file)


# --- the verdict ---


def test_a_good_call_is_told_in_one_line():
    verdict = judge(WANTED, GOOD)
    said = "set up in 41 ms over TLS with SRTP, MOS 4.4, loss 0.0 %, jitter 0.3 ms, tone and DTMF came back"
    assert verdict.conditions("test call") == [{"type": "test call", "status": "true", "message": said}]


def test_the_document_says_everything_that_was_measured():
    assert judge(WANTED, observed(caller=Received(147, 3, 0, 0.3, 1.25))).document() == {
        "passed": True,
        "message": "set up in 41 ms over TLS with SRTP, MOS 4.2, loss 2.0 %, jitter 0.3 ms, tone and DTMF came back",
        "reason": "",
        "number": "+999",
        "transport": "tls",
        "srtp": True,
        "code": 200,
        "setup": 41.2,
        "codec": "PCMA",
        "mos": 4.19,
        "echo": 110.0,
        "tone": {"played": 2.0, "heard": 2.0},
        "digits": {"sent": "1#D", "heard": "1#D"},
        "quality": {
            "caller": {"mos": 4.19, "loss": 2.0, "jitter": 0.3, "round_trip": 1.25},
            "callee": {"mos": 4.38, "loss": 0.0, "jitter": 0.12, "round_trip": None},
        },
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trouble": "10.0.0.9:5060 is in use"}, "10.0.0.9:5060 is in use"),
        ({"setup": None, "code": 0}, "no answer from 10.0.0.1:5061 over TLS within 8 s"),
        (
            {"setup": None, "code": 180, "reason": "Ringing"},
            "10.0.0.1:5061 over TLS said 180 Ringing and then nothing within 8 s",
        ),
        (
            {"setup": None, "code": 503, "reason": "Service Unavailable"},
            "10.0.0.1:5061 over TLS answered 503 Service Unavailable",
        ),
        ({"rang": False}, "the call was answered by somebody else than the probe's echo"),
        ({"caller": Received(0)}, "the call was answered but no media came back"),
        ({"caller": None}, "the call was answered but no media came back"),
        ({"tone": 0.4}, "media came back, but only 0.4 s of the 2.0 s of tone in it"),
        ({"digits": "1#"}, "of the DTMF digits 1#D came back 1#"),
        ({"digits": ""}, "of the DTMF digits 1#D came back none"),
        ({"caller": Received(80, 20)}, "speech is worse than MOS 3.6"),
    ],
)
def test_what_went_wrong_first_is_the_reason(changes, reason):
    verdict = judge(WANTED, observed(**changes))
    assert not verdict.passed
    assert verdict.reason == reason
    assert verdict.message.startswith(reason)
    assert verdict.conditions("test call")[0]["status"] == "false"


def test_somebody_elses_echo_may_answer_where_none_of_ours_is_asked_for():
    assert judge(dataclasses.replace(WANTED, echo=None), observed(rang=False, callee=None)).passed


def test_no_opinion_is_invented_for_a_codec_without_figures_or_a_delay_that_is_not_known():
    assert judge(WANTED, observed(codec="speex")).mos is None
    assert judge(WANTED, observed(echo=None)).mos is None
    assert "MOS not known" in judge(WANTED, observed(echo=None)).message


def test_the_end_that_hears_less_well_decides():
    verdict = judge(WANTED, observed(callee=Received(95, 5)))
    assert verdict.callee is not None
    assert verdict.mos == verdict.callee.mos == pytest.approx(3.85, abs=0.02)


def test_packets_that_came_too_late_are_not_lost_but_not_heard_either():
    assert (Received(90, lost=10, late=5).loss, Received(90, lost=10, late=5).unheard) == (10.0, 15.0)
    assert (Received(0).loss, Received(0).unheard) == (0.0, 0.0)
    assert judge(WANTED, observed(caller=Received(100, late=5))).mos == pytest.approx(3.85, abs=0.02)


def test_what_a_condition_says_was_measured_is_read_from_it():
    verdict = judge(WANTED, observed())
    found = testcalls.measured(verdict.message)
    told = verdict.document()
    assert (found["transport"], found["srtp"]) == (told["transport"], told["srtp"])
    assert (found["setup"], found["mos"]) == (round(told["setup"]), round(told["mos"], 1))
    assert found["loss"] == max(told["quality"][end]["loss"] for end in ("caller", "callee"))
    assert "mos" not in testcalls.measured(judge(WANTED, observed(echo=None)).message)
    assert testcalls.measured("no answer within 8 s") == {}


def test_a_message_fits_what_the_pop_keeps():
    assert len(judge(WANTED, observed(trouble="x" * 1000)).message) == MESSAGE


# --- the arguments of the program ---


@pytest.mark.parametrize(
    "wanted",
    [
        WANTED,
        dataclasses.replace(WANTED, echo=None, host="192.0.2.1", caller=Line("192.0.2.9", port=5070, user="040111")),
        dataclasses.replace(
            WANTED,
            echo=Line("198.51.100.9", Transport.TCP, Srtp.OPTIONAL, 5060),
            tone=6.5,
            digits="*0#",
            codecs=("PCMU",),
            answer=1.5,
            within=30.0,
            least_mos=4.0,
            credentials=Credentials("/etc/naas/tls.crt", "/etc/naas/tls.key", "/etc/naas/peers.crt"),
        ),
    ],
)
def test_a_call_ordered_by_arguments_is_understood_as_it_was_meant(wanted: Wanted) -> None:
    assert arguments.parse(arguments.options(wanted))[0] == wanted


def test_arguments_may_lie_in_a_file_and_what_is_said_later_holds(tmp_path: Path) -> None:
    (tmp_path / "test-call").write_text("\n".join(arguments.options(WANTED)))
    said = (f"@{tmp_path}/test-call", "--caller-transport", "tcp", "--report", "condition", "--name", "acceptance")
    wanted, report, name = arguments.parse(said)
    assert wanted == dataclasses.replace(WANTED, port=5060, caller=Line("10.0.0.9", Transport.TCP, Srtp.REQUIRED))
    assert (report, name) == (arguments.Report.CONDITION, "acceptance")


def test_a_person_says_only_what_is_not_usual() -> None:
    caller = ("--caller", "10.0.0.9", "--caller-transport", "tls")
    wanted, report, _ = arguments.parse(
        ["--sbc", "10.0.0.1", "--number", "+999", *caller, "--echo", "198.51.100.9"],
    )
    assert (wanted.port, wanted.caller.port) == (5061, 0)
    assert wanted.echo == Line("198.51.100.9", port=5060)
    assert report is arguments.Report.FULL


@pytest.mark.parametrize("address", ["sbc.example", "10.0.0", "10.0.0.1; rm -rf /"])
def test_the_sbc_is_named_by_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parse(["--sbc", address, "--number", "+999", "--caller", "10.0.0.9"])
    assert "argument --sbc: invalid" in capsys.readouterr().err
