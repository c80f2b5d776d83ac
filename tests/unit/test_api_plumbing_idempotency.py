"""A POST that is sent twice is done once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tenants.actor import Role
from tenants.api import idempotency
from tenants.models import IdempotencyRecord, Tenant
from tests.callers import Caller, assert_problem

pytestmark = pytest.mark.urls("tests.unit.plumbing_urls")


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="Acme", slug="acme")


@pytest.fixture
def owner(tenant: Tenant) -> Caller:
    return Caller(tenant)


def made() -> int:
    return Tenant.objects.filter(slug__startswith="made").count()


def test_the_same_key_and_body_get_the_same_answer(owner):
    first, second = owner.post("count", {"a": 1}, key="k"), owner.post("count", {"a": 1}, key="k")
    assert made() == 1
    assert (first.status_code, first.json(), first["Location"]) == (201, second.json(), second["Location"])
    assert second.status_code == 201
    assert second["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first


def test_the_order_of_members_does_not_make_another_body(owner):
    owner.raw("POST", "count", '{"a": 1, "b": 2}', **{"Idempotency-Key": "k"})
    assert owner.raw("POST", "count", '{ "b":2, "a":1 }', **{"Idempotency-Key": "k"}).status_code == 201
    assert made() == 1


def test_another_body_under_the_same_key_is_refused(owner):
    owner.post("count", {"a": 1}, key="k")
    assert_problem(owner.post("count", {"a": 2}, key="k"), 422, "key-reused")
    assert made() == 1


def test_another_key_another_tenant_and_no_key_are_other_requests(owner):
    other = Caller(Tenant.objects.create(name="Globex", slug="globex"))
    for caller, key in ((owner, "k"), (owner, "l"), (other, "k"), (owner, None), (owner, None)):
        assert "Idempotency-Replayed" not in caller.post("count", {}, key=key)
    assert made() == 5


def test_a_key_belongs_to_its_address(owner):
    owner.post("count", {}, key="k")
    assert owner.post("tokens", {"name": "x", "role": "viewer"}, key="k").status_code == 201


def test_a_refusal_is_an_answer_too(owner):
    first, second = owner.post("check", {"items": []}, key="k"), owner.post("check", {"items": []}, key="k")
    assert_problem(first, 400, "invalid", "numbers")
    assert (second.status_code, second["Content-Type"]) == (400, "application/problem+json")
    assert second.json() == first.json()


def test_a_verbs_refusal_is_stored_and_what_it_wrote_is_not(owner):
    assert_problem(owner.post("faulty/refused", key="k"), 409, "conflict")
    assert not Tenant.objects.filter(slug="refused").exists()
    assert owner.post("faulty/refused", key="k")["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(("fault", "status"), [("bug", 500), ("busy", 503), ("locked", 503)])
def test_a_failure_of_ours_is_not_stored_and_leaves_nothing(owner, fault, status):
    for _ in range(2):
        assert_problem(owner.post(f"faulty/{fault}", key="k"), status)
    assert not Tenant.objects.filter(slug=fault).exists()
    assert not IdempotencyRecord.unscoped.exists()


def test_a_body_that_cannot_be_read_uses_up_no_key(owner):
    assert_problem(owner.raw("POST", "count", "{", **{"Idempotency-Key": "k"}), 400, "malformed")
    assert owner.post("count", {}, key="k").status_code == 201


def test_whoever_may_not_ask_learns_nothing_from_a_key(tenant, owner):
    owner.post("tokens", {"name": "x", "role": "viewer"}, key="k")
    viewer = Caller(tenant, Role.VIEWER)
    assert_problem(viewer.post("tokens", {"name": "x", "role": "viewer"}, key="k"), 403, "forbidden")


def test_a_token_in_a_stored_answer_cannot_be_read_in_the_database(owner):
    token = owner.post("tokens", {"name": "x", "role": "viewer"}, key="k").json()["token"]
    record = IdempotencyRecord.unscoped.get()
    assert token not in record.body
    assert owner.post("tokens", {"name": "x", "role": "viewer"}, key="k").json()["token"] == token


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\tbed", "\u00e4", "a b"])
def test_a_key_that_is_none_is_refused(owner, key):
    assert_problem(owner.post("count", {}, key=key), 400, "invalid", "Idempotency-Key")
    assert made() == 0


# --- what is in flight ----------------------------------------------------------------


@pytest.fixture
def in_flight(owner: Caller) -> IdempotencyRecord:
    """A request that began and of which nothing was heard since."""
    owner.post("count", {}, key="k")
    IdempotencyRecord.unscoped.update(status=None, body="")
    Tenant.objects.filter(slug__startswith="made").delete()
    record: IdempotencyRecord = IdempotencyRecord.unscoped.get()
    return record


def aged(record: IdempotencyRecord, **times: timedelta) -> None:
    now = timezone.now()
    IdempotencyRecord.unscoped.filter(pk=record.pk).update(**{field: now - age for field, age in times.items()})


def test_what_is_in_flight_is_not_done_again(owner, in_flight):
    assert_problem(owner.post("count", {}, key="k"), 409, "in-flight")
    assert made() == 0


def test_another_body_is_refused_while_the_first_is_in_flight(owner, in_flight):
    assert_problem(owner.post("count", {"other": 1}, key="k"), 422, "key-reused")


def test_what_a_dead_process_left_behind_is_taken_over(owner, in_flight):
    aged(in_flight, started_at=idempotency.LEASE)
    assert owner.post("count", {}, key="k").status_code == 201
    assert made() == 1
    assert owner.post("count", {}, key="k")["Idempotency-Replayed"] == "true"


def test_only_one_takes_over(in_flight):
    aged(in_flight, started_at=idempotency.LEASE)
    one, two = IdempotencyRecord.unscoped.get(), IdempotencyRecord.unscoped.get()
    assert [idempotency._take_over(record, in_flight.fingerprint) for record in (one, two)] == [True, False]


def test_a_process_that_was_only_slow_is_rolled_back(in_flight):
    from django.http import HttpResponse

    aged(in_flight, started_at=idempotency.LEASE)
    slow, quick = IdempotencyRecord.unscoped.get(), IdempotencyRecord.unscoped.get()
    assert idempotency._take_over(quick, in_flight.fingerprint)

    def run() -> HttpResponse:
        Tenant.objects.create(name="made", slug="made-slowly")
        return HttpResponse(status=201)

    with pytest.raises(idempotency.InFlight):
        idempotency._run(slow, run, atomic=True)
    assert made() == 0
    assert IdempotencyRecord.unscoped.get().attempt == quick.attempt


def test_a_key_is_free_again_after_its_time(owner):
    owner.post("count", {"a": 1}, key="k")
    aged(IdempotencyRecord.unscoped.get(), created_at=idempotency.KEPT + timedelta(seconds=1))
    assert owner.post("count", {"a": 2}, key="k").status_code == 201


def test_old_answers_are_forgotten(owner):
    owner.post("count", {}, key="old")
    aged(IdempotencyRecord.unscoped.get(), created_at=idempotency.KEPT + timedelta(seconds=1))
    owner.post("count", {}, key="new")
    assert idempotency.forget() == 1
    assert IdempotencyRecord.unscoped.get().key == "new"
