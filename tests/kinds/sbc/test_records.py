"""What the engine's store makes of a call's end: the record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbc.kind import render
from sbc.kind.entries import KEPT_FIELDS, Calls, trunk_entries
from sbc.policy import Address, Trunk
from sbc.probe.emodel import G711, mos, rating

TRIED = "deaf sip:192.0.2.9 408|carrier sip:192.0.2.7 200|"
TOLD = f"pbx\tout\t0\t+4930111\t+4940222\t1700000000.123456\tcarrier\t040222\t{TRIED}"
ANSWER = "1700000002.500000\tPCMA\t1\t0\t\tsip:192.0.2.7:41234\t1800\t90"
END = "1700000062.750000\t200\tcaller-hung-up\tsealed"


def listed(file: str, name: str) -> tuple[str, ...]:
    """The words of a list that is written in a file of the images."""
    text = (Path(render.__file__).parent / "image" / file).read_text()
    found = re.search(rf"^(?:local )?{name} = [({{](.*?)[)}}]", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return tuple(re.findall(r"['\"](\w+)['\"]", found[1]))


def test_script_store_and_program_mean_the_same_by_what_is_kept_of_a_call() -> None:
    assert listed("redis/lib/sbc.lua", "CALL") == KEPT_FIELDS
    assert listed("kamailio/lib/steering/calls.py", "FIELDS") == KEPT_FIELDS


def test_what_a_nat_may_forget_is_each_address_and_each_end_of_a_call_behind_one(store: Any) -> None:
    store.flushall()
    socket = "udp:198.51.100.1:5060"
    for name, nat in (("pbx", True), ("carrier", False)):
        trunk = Trunk(name, addresses=(Address(f"sip:{name}"), Address("sip:x;transport=tcp")))
        for entry in trunk_entries(trunk, Calls(socket, "", "", "", nat=nat)):
            put = store.sadd if entry.value is None else store.hset
            put(entry.key, entry.field, *filter(None, [entry.value]))
    store.execute_command("SELECT", 1)
    for number, places in enumerate([("sip:a:1", ""), ("sip:a:1", ""), ("", "sip:b:2"), ("sip:c;transport=tcp", "")]):
        kept = "\t".join([TOLD, "", "", "", "", *places])
        store.hset(f"dialog_vars:entry::1:{number}:call", "dialog_value", kept)
    store.execute_command("SELECT", 0)
    answer = store.execute_command("FCALL_RO", "bindings", 0)
    assert set(answer[::2]) == {socket}
    assert sorted(answer[1::2]) == ["sip:a:1", "sip:b:2", "sip:pbx"]


def recorded(store: Any, dialog: str, facts: str) -> dict[str, Any]:
    store.flushall()
    store.execute_command("FCALL", "ended", 0, dialog, facts)
    [(_, fields)] = store.xrange("records")
    body: dict[str, Any] = json.loads(fields["body"])
    assert fields["key"] == body["id"]
    return body


def test_the_end_of_a_call_becomes_a_record(store: Any) -> None:
    facts = "\t".join([TOLD, ANSWER, END, "1", "5", "80000", "", "", ""])
    assert recorded(store, "12:34 secret@10.0.0.2", facts) == {
        "id": "1700000000123-12-34",
        "call_id": "secret@10.0.0.2",
        "call_id_out": "sealed",
        "started": 1700000000123,
        "answered": 1700000002500,
        "ended": 1700000062750,
        "caller": "+4930111",
        "called": "+4940222",
        "called_out": "040222",
        "from_trunk": "pbx",
        "to_trunk": "carrier",
        "route": "out",
        "emergency": False,
        "attempts": [
            {"trunk": "deaf", "uri": "sip:192.0.2.9", "code": 408},
            {"trunk": "carrier", "uri": "sip:192.0.2.7", "code": 200},
        ],
        "code": 200,
        "cause": "caller-hung-up",
        "codec": "PCMA",
        "srtp_in": True,
        "srtp_out": False,
        "quality": {"caller": {"loss": 1, "jitter": 5, "round_trip": 80, "mos": 4.29}, "callee": None},
    }


def test_a_call_that_was_kept_before_there_was_more_to_keep_has_its_record(store: Any) -> None:
    quality = ["1", "5", "80000", "", "", ""]
    now = recorded(store, "12:34 a", "\t".join([TOLD, ANSWER, END, *quality]))
    assert now["cause"] == "caller-hung-up"
    for fewer in (1, 2):
        before = "\t".join(ANSWER.split("\t")[:-fewer])
        assert recorded(store, "12:34 a", "\t".join([TOLD, before, END, *quality])) == now
    never = recorded(store, "12:34 a", "\t".join([TOLD, ANSWER, END]))
    assert recorded(store, "12:34 a", "\t".join([TOLD, before, END])) == never


def test_what_never_happened_is_null(store: Any) -> None:
    facts = "pbx\t\t0\t100\t200\t1700000000.5\t\t\t\t\t\t\t\t\t\t1700000000.75\t404\tno-route\t"
    record = recorded(store, "7:8 x", facts)
    missing = ("call_id_out", "answered", "called_out", "to_trunk", "route", "codec")
    assert [record[name] for name in missing] == [None] * len(missing)
    assert (record["attempts"], record["quality"]) == ([], {"caller": None, "callee": None})


def test_the_end_of_a_call_removes_what_was_written_of_its_dialog(store: Any) -> None:
    store.flushall()
    store.execute_command("SELECT", 1)
    store.hset("dialog:entry::12:34", "callid", "x")
    store.hset("dialog_vars:entry::12:34:call", "dialog_value", TOLD)
    store.sadd("dialog:cid::x", "dialog:entry::12:34")
    assert store.execute_command("FCALL_RO", "standing", 0) != []
    store.execute_command("FCALL", "ended", 0, "12:34 x", "\t".join([TOLD, ANSWER, END]))
    store.execute_command("SELECT", 1)
    assert store.execute_command("FCALL_RO", "standing", 0) == []
    store.execute_command("SELECT", 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.integers(0, 100), st.integers(0, 400), st.integers(0, 2000))
def test_the_score_is_that_of_the_probe(store: Any, loss: int, jitter: int, round_trip: int) -> None:
    microseconds = round_trip * 1000
    told = json.loads(store.execute_command("FCALL_RO", "quality", 0, "PCMU", loss, jitter, microseconds))
    assert abs(told["mos"] - mos(rating(G711, loss=loss, delay=round_trip / 2 + 2 * jitter))) < 0.006


def test_a_codec_without_figures_has_no_score(store: Any) -> None:
    told = json.loads(store.execute_command("FCALL_RO", "quality", 0, "opus", 1, 2, 3000))
    assert told == {"mos": None, "loss": 1, "jitter": 2, "round_trip": 3}


def counted(store: Any) -> tuple[str, dict[str, int]]:
    passed, *pairs = store.execute_command("FCALL", "pace", 0)
    return passed, {name: int(count) for name, count in zip(pairs[::2], pairs[1::2], strict=True)}


def test_calls_are_counted_as_they_end_by_trunk_and_how_and_told_once(store: Any) -> None:
    store.flushall()
    assert counted(store) == ("", {}), "of the first time nothing is known"
    heard = ["1", "5", "80000", "", "", ""]
    unanswered = ["", "", "", "", "", "", "", ""]
    for number, facts in enumerate(
        (
            [TOLD, ANSWER, END, *heard],
            [TOLD, *unanswered, "1700000062.750000\t486\tbusy\tsealed", *[""] * 6],
            [TOLD.replace("pbx", "probe:caller", 1), ANSWER, END, *heard],
        )
    ):
        store.execute_command("FCALL", "ended", 0, f"12:{number} x", "\t".join(facts))
    passed, found = counted(store)
    assert int(passed) >= 0
    rated = found["* mos"]
    assert 100 <= rated <= 450
    assert found == {
        f"{name} {what}": count
        for name in ("*", "pbx", "carrier")
        for what, count in (("answered", 1), ("busy", 1), ("heard", 1), ("mos", rated))
    }
    assert counted(store)[1] == {}
