"""What an envelope keeps secret and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import PermanentError
from worker.seal import COMPRESSED_ABOVE, Envelope, Forged, Identity, PublicIdentity, seal, unseal

CORE, FRA, AMS = (Identity.generate(name) for name in ("core", "fra1", "ams1"))
PAYLOAD = {"instance": "svc-1", "secret": "hunter2"}


def sealed(**changes: Any) -> Envelope:
    options = {
        "sender": CORE,
        "receiver": FRA.public(),
        "subject": "pop.reconcile",
        "instance": "svc-1",
        "generation": 3,
    }
    return seal(PAYLOAD, **{**options, **changes})


def opened(envelope: Envelope, **changes: Any) -> dict[str, object]:
    options = {"receiver": FRA, "sender": CORE.public(), "subject": "pop.reconcile"}
    return unseal(envelope, **{**options, **changes})


def test_the_receiver_reads_what_the_sender_wrote() -> None:
    assert opened(sealed()) == PAYLOAD


def test_an_envelope_survives_its_way_as_json() -> None:
    assert opened(Envelope.from_json(json.loads(json.dumps(sealed().to_json())))) == PAYLOAD


def test_the_broker_learns_nothing_of_the_content() -> None:
    text = json.dumps(sealed().to_json())
    assert "hunter2" not in text
    assert "secret" not in text


def test_what_is_large_is_compressed_on_its_way() -> None:
    large = {"commands": [["HSET", "sbc:routes", f"+{number}", '{"targets": []}'] for number in range(20_000)]}
    envelope = seal(large, sender=CORE, receiver=FRA.public(), subject="pop.tables")
    assert len(envelope.body) < len(json.dumps(large)) / 4
    assert opened(envelope, subject="pop.tables") == large


def test_what_is_larger_than_anything_we_send_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.seal.MOST_BYTES", COMPRESSED_ABOVE)
    envelope = seal({"x": "x" * COMPRESSED_ABOVE}, sender=CORE, receiver=FRA.public(), subject="pop.tables")
    with pytest.raises(Forged):
        opened(envelope, subject="pop.tables")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"sender": "ams1"},
        {"receiver": "ams1"},
        {"subject": "pop.ask"},
        {"instance": "svc-2"},
        {"generation": 4},
        {"sent_at": 0.0},
        {"body": sealed().body},
        {"signature": sealed().signature},
        {"signature": ""},
        {"signature": "!!"},
        {"body": "!!"},
    ],
)
def test_whatever_is_changed_on_the_way_is_noticed(changes: dict[str, Any]) -> None:
    with pytest.raises(Forged):
        opened(replace(sealed(), **changes))


def test_another_sender_is_refused_even_under_the_right_name() -> None:
    impostor = replace(AMS, name="core")
    with pytest.raises(Forged, match="not signed with the key of core"):
        opened(sealed(sender=impostor))


def test_another_pop_cannot_open_it() -> None:
    with pytest.raises(Forged, match="has receiver fra1, not ams1"):
        opened(sealed(), receiver=AMS)
    with pytest.raises(Forged, match="not sealed to the key"):
        opened(sealed(), receiver=replace(AMS, name="fra1"))


def test_a_desired_state_cannot_be_passed_off_as_a_question() -> None:
    with pytest.raises(Forged, match="subject"):
        opened(sealed(), subject="pop.ask")


def test_an_old_envelope_is_refused_where_age_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    envelope = sealed()
    monkeypatch.setattr("worker.seal.time.time", lambda: envelope.sent_at + 1000)
    assert opened(envelope) == PAYLOAD
    with pytest.raises(Forged, match="1000 s old"):
        opened(envelope, max_age=60.0)


def test_an_envelope_from_the_future_is_refused_where_age_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    envelope = sealed()
    monkeypatch.setattr("worker.seal.time.time", lambda: envelope.sent_at - 1000)
    with pytest.raises(Forged, match="clocks"):
        opened(envelope, max_age=60.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_what_is_no_envelope_is_refused_and_never_crashes(document: object) -> None:
    with pytest.raises(Forged):
        Envelope.from_json(document)


@given(st.sampled_from(sorted(sealed().to_json())), JSON)
def test_an_envelope_with_any_field_replaced_is_refused(field: str, value: object) -> None:
    document = sealed().to_json()
    if document[field] == value and type(document[field]) is type(value):
        return
    with pytest.raises(Forged):
        opened(Envelope.from_json({**document, field: value}))


def test_an_identity_is_kept_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    FRA.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Identity.load(path) == FRA
    assert [found.name for found in tmp_path.iterdir()] == ["identity.json"]


def test_an_identity_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    FRA.save(path)
    path.chmod(0o644)
    with pytest.raises(PermanentError, match="chmod 600"):
        Identity.load(path)


def test_keys_do_not_appear_where_an_identity_is_printed() -> None:
    assert FRA.signing_seed not in repr(FRA)
    assert FRA.box_seed not in repr(FRA)


def test_a_malformed_identity_is_refused_without_repeating_its_keys() -> None:
    with pytest.raises(PermanentError, match="box_seed") as refusal:
        Identity.from_json({**FRA.to_json(), "box_seed": "tooshort"})
    assert FRA.signing_seed not in str(refusal.value)
    assert "tooshort" not in str(refusal.value)


def test_a_public_identity_survives_json() -> None:
    assert PublicIdentity.from_json(json.loads(json.dumps(FRA.public().to_json()))) == FRA.public()
