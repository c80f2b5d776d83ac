"""People, tokens and quotas."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from django.test import RequestFactory
from django.utils import timezone

from naas.core.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.actor import Actor, ActorKind, Role, Staff
from tenants.models import ApiToken, Membership, Tenant, TenantStatus, User
from tenants.verbs import members, quotas, tokens

STAFF = Staff("root@provider.example")


@pytest.fixture
def tenant(db):
    return members.open_tenant(staff=STAFF, name="Acme", slug="acme")


@pytest.fixture
def ann(tenant):
    ann = User.objects.create_user("Ann@Acme.example", "correct horse battery")
    members.add(actor=Actor.system(tenant), user=ann, role=Role.OWNER)
    return ann


@pytest.fixture
def bob(db):
    return User.objects.create_user("bob@acme.example", "correct horse battery")


def test_people_log_in_by_address_however_they_write_it(ann):
    request = RequestFactory().post("/login/")
    assert authenticate(request, email="ANN@acme.example", password="correct horse battery") == ann
    assert authenticate(request, email="ann@acme.example", password="wrong") is None


def test_an_address_belongs_to_one_person(ann):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("ann@ACME.example")


def test_the_database_knows_the_roles(tenant, bob):
    with pytest.raises(IntegrityError, match="membership_role_is_known"), transaction.atomic():
        Membership.unscoped.create(tenant=tenant, user=bob, role="emperor")


@pytest.mark.parametrize(
    ("has", "needs", "may"),
    [
        (Role.VIEWER, Role.VIEWER, True),
        (Role.VIEWER, Role.OPERATOR, False),
        (Role.OPERATOR, Role.VIEWER, True),
        (Role.OPERATOR, Role.OWNER, False),
        (Role.OWNER, Role.OWNER, True),
    ],
)
def test_a_role_covers_those_before_it(has, needs, may):
    actor = Actor(tenant=Tenant(name="x"), role=has, label="x", kind=ActorKind.USER)
    if may:
        actor.require(needs)
    else:
        with pytest.raises(Forbidden, match=needs):
            actor.require(needs)


def test_a_members_role_can_be_changed(tenant, ann, bob):
    owner = Actor.system(tenant)
    members.add(actor=owner, user=bob, role=Role.VIEWER)
    members.add(actor=owner, user=bob, role=Role.OPERATOR)
    assert tenant.memberships.get(user=bob).role == Role.OPERATOR


def test_the_last_owner_can_neither_leave_nor_step_down(tenant, ann):
    owner = Actor.system(tenant)
    with pytest.raises(Conflict, match="last owner"):
        members.remove(actor=owner, id=tenant.memberships.get().pk)
    with pytest.raises(Conflict, match="last owner"):
        members.add(actor=owner, user=ann, role=Role.VIEWER)


def test_one_of_two_owners_can_leave(tenant, ann, bob):
    owner = Actor.system(tenant)
    bobs = members.add(actor=owner, user=bob, role=Role.OWNER)
    members.remove(actor=owner, id=bobs.pk)
    assert tenant.memberships.get().user == ann


def test_two_tenants_cannot_have_one_slug(tenant):
    with pytest.raises(Invalid, match="acme"):
        members.open_tenant(staff=STAFF, name="Other", slug="acme")


def test_a_token_is_found_by_its_plaintext_and_kept_as_a_digest(tenant):
    issued = tokens.issue(actor=Actor.system(tenant), name="ci", role=Role.OPERATOR)
    assert issued.plaintext.startswith(f"naas_{issued.token.prefix}_")
    assert issued.plaintext not in repr(issued)
    assert tokens.find(issued.plaintext) == issued.token
    kept = str(ApiToken.unscoped.values().get())
    assert issued.plaintext.rsplit("_", 1)[1] not in kept


@pytest.mark.parametrize("wrong", ["", "naas_", "x", "naas_\u00e4\u00e4_x", "naas_00000000_" + "x" * 10_000])
def test_what_is_no_token_is_not_found(tenant, wrong):
    assert tokens.find(wrong) is None


def test_a_revoked_token_is_gone_at_once_and_revoking_again_is_success(tenant):
    owner = Actor.system(tenant)
    issued = tokens.issue(actor=owner, name="ci", role=Role.VIEWER)
    tokens.revoke(actor=owner, id=issued.token.pk)
    tokens.revoke(actor=owner, id=issued.token.pk)
    assert tokens.find(issued.plaintext) is None


def test_a_token_ends_when_it_said_it_would(tenant):
    issued = tokens.issue(
        actor=Actor.system(tenant), name="ci", role=Role.VIEWER, expires_at=timezone.now() + timedelta(hours=1)
    )
    assert tokens.find(issued.plaintext)
    ApiToken.unscoped.update(expires_at=timezone.now())
    assert tokens.find(issued.plaintext) is None


def test_a_token_cannot_begin_expired(tenant):
    with pytest.raises(Invalid, match="expires_at"):
        tokens.issue(actor=Actor.system(tenant), name="ci", role=Role.VIEWER, expires_at=timezone.now())


def test_only_owners_make_tokens_and_nobody_revokes_anothers(tenant):
    operator = Actor(tenant, Role.OPERATOR, "bob", ActorKind.USER)
    with pytest.raises(Forbidden):
        tokens.issue(actor=operator, name="ci", role=Role.VIEWER)
    other = members.open_tenant(staff=STAFF, name="Globex", slug="globex")
    foreign = tokens.issue(actor=Actor.system(other), name="ci", role=Role.VIEWER)
    with pytest.raises(NotFound):
        tokens.revoke(actor=Actor.system(tenant), id=foreign.token.pk)


def test_use_is_noted_once_a_minute(tenant, django_assert_num_queries):
    token = tokens.issue(actor=Actor.system(tenant), name="ci", role=Role.VIEWER).token
    with django_assert_num_queries(1):
        tokens.note_use(token)
    token.refresh_from_db()
    with django_assert_num_queries(0):
        tokens.note_use(token)


def test_limits_can_be_set_and_read(tenant):
    quotas.set_limits(staff=STAFF, tenant=tenant, limits=quotas.Amount(3, Decimal(4), 1024))
    assert quotas.limits(tenant) == quotas.Amount(3, Decimal(4), 1024)


def test_a_suspended_tenant_is_remembered_as_such(tenant):
    members.set_status(staff=STAFF, tenant=tenant, status=TenantStatus.SUSPENDED)
    tenant.refresh_from_db()
    assert tenant.status == TenantStatus.SUSPENDED
