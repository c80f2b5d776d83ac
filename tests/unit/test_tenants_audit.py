"""The audit trail stays as it was written."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError

from tenants import scope
from tenants.actor import Actor, ActorKind, Role, Staff
from tenants.models import AppendOnly, AuditEvent, Tenant
from tenants.verbs import audit, members, tokens


@pytest.fixture
def tenant(db):
    return Tenant.objects.create(name="Acme", slug="acme")


@pytest.fixture
def event(tenant):
    return audit.record(Actor.system(tenant), "test.do", tenant, how="well")


def test_a_line_says_who_did_what_from_where(tenant):
    actor = Actor(
        tenant, Role.OWNER, "ann@acme.example", ActorKind.USER, user_id=7, address="192.0.2.1", request_id="r-12345678"
    )
    line = audit.record(actor, "thing.make", tenant, colour="red")
    line.refresh_from_db()
    assert (line.actor, line.actor_kind, line.actor_id, line.address) == ("ann@acme.example", "user", "7", "192.0.2.1")
    assert (line.verb, line.object_type, line.object_id) == ("thing.make", "tenant", tenant.pk)
    assert (line.request_id, line.detail) == ("r-12345678", {"colour": "red"})


def test_the_model_refuses_to_change_it(event):
    event.verb = "something.else"
    with pytest.raises(AppendOnly):
        event.save()
    with pytest.raises(AppendOnly):
        event.delete()
    with pytest.raises(AppendOnly):
        AuditEvent.unscoped.all().delete()
    with pytest.raises(AppendOnly):
        AuditEvent.unscoped.update(verb="x")


@pytest.mark.parametrize("change", ["UPDATE tenants_auditevent SET verb = 'x'", "DELETE FROM tenants_auditevent"])
def test_the_database_refuses_to_change_it(event, change):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert AuditEvent.unscoped.get().verb == "test.do"


def test_a_tenant_that_has_done_anything_cannot_be_deleted(tenant, event):
    with pytest.raises(ProtectedError):
        tenant.delete()


@pytest.mark.django_db
def test_what_staff_do_to_a_tenant_is_in_its_trail_and_other_acts_are_in_none():
    tenant = members.open_tenant(staff=Staff("root@provider.example"), name="Globex", slug="globex")
    audit.record(Staff("root@provider.example"), "provider.login")
    assert list(scope.of(tenant).all(AuditEvent).values_list("verb", flat=True)) == ["tenant.open"]
    assert AuditEvent.unscoped.filter(tenant=None).get().verb == "provider.login"


def test_a_verb_that_fails_leaves_no_line(tenant):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tokens.issue(actor=Actor.system(tenant), name="x", role=Role.VIEWER)
        1 / 0  # noqa: B018
    assert not AuditEvent.unscoped.exists()


def test_no_line_holds_the_token(tenant):
    issued = tokens.issue(actor=Actor.system(tenant), name="x", role=Role.VIEWER)
    secret = issued.plaintext.rsplit("_", 1)[1]
    for event in AuditEvent.unscoped.all():
        assert secret not in str(event.detail)


@pytest.mark.parametrize("time", ["first", "second"])
@pytest.mark.django_db(transaction=True)
def test_emptying_the_database_between_tests_brings_the_guard_back(time):
    audit.record(Actor.system(Tenant.objects.create(name="a", slug="a")), "test.do")
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_auditevent SET verb = 'x'")
