"""What the console changes: by verbs alone, each leaving an audit row that names the person."""

from __future__ import annotations

import re
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from services import orders
from services.lifecycle import OrderState
from services.models import Deployment, Offering, OfferingSize, Pop, PopStatus, ProductOrder, Segment, Transport, Uni
from tenants.actor import Actor, Role
from tenants.console import list_of, page_of
from tenants.models import ApiToken, AuditEvent, Membership, Quota, Tenant, TenantStatus, User
from tests import world
from tests.unit.conftest import found, router
from worker.report import Phase

pytestmark = pytest.mark.django_db

YES = {"_form_submitted": "True"}


@pytest.fixture(autouse=True)
def _nothing_on_sale(db: None) -> None:
    """The world of these tests has an offering of its own."""
    Offering.objects.all().delete()


@pytest.fixture
def filled() -> Tenant:
    tenant, segment = world.customer("acme", world.pop())
    world.service(tenant, segment, "edge")
    return tenant


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(world.staff())
    return client


def press(ops: Client, row: Any, action: str, **data: str) -> Any:
    name = f"{row._meta.app_label}_{row._meta.model_name}_{action}"
    return ops.post(reverse(f"admin:{name}", args=[row.pk]), YES | data, follow=True)


def trail(verb: str) -> AuditEvent:
    event = AuditEvent.unscoped.get(verb=verb, actor_id=User.objects.get(is_staff=True).pk)
    assert event.actor.startswith("ops@provider.example") and event.address == "127.0.0.1" and event.request_id
    return event


def said(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def fresh(row: Any) -> Any:
    return type(row)._base_manager.get(pk=row.pk)


# --- buttons --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "action"),
    [
        (Tenant, "suspend"),
        (ApiToken, "revoke"),
        (ProductOrder, "cancel"),
        (Deployment, "send_again"),
    ],
)
def test_a_button_asks_first_and_does_nothing_on_get(model: Any, action: str, filled: Tenant, ops: Client) -> None:
    row, before = model._base_manager.first(), AuditEvent.unscoped.count()
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_{action}"
    page = ops.get(reverse(name, args=[row.pk])).content.decode()
    assert "csrfmiddlewaretoken" in page
    assert AuditEvent.unscoped.count() == before


def test_a_button_is_no_way_in_for_customers(filled: Tenant, client: Client) -> None:
    client.force_login(User.objects.get(email="owner@acme.example"))
    order = ProductOrder.unscoped.get()
    assert press(client, order, "cancel").redirect_chain[0][0].startswith("/admin/login/")
    assert fresh(order).state == OrderState.IN_PROGRESS


def test_an_order_is_cancelled_and_undone(filled: Tenant, ops: Client) -> None:
    order = ProductOrder.unscoped.get()
    answer = press(ops, order, "cancel")
    assert fresh(order).state == OrderState.PENDING_CANCELLATION
    assert order.items.get().compensation == 3
    assert trail("order.cancel").tenant == filled
    assert "is being cancelled" in said(answer)[0]


def test_an_order_that_has_ended_has_no_button_to_cancel_it(filled: Tenant, ops: Client) -> None:
    ProductOrder.unscoped.update(state=OrderState.COMPLETED)
    order = ProductOrder.unscoped.get()
    assert press(ops, order, "cancel").status_code == 403
    assert "Cancel order" not in ops.get(page_of(order)).content.decode()


def test_several_orders_are_cancelled_and_the_one_that_cannot_says_why(filled: Tenant, ops: Client) -> None:
    done = world.service(filled, Segment.unscoped.get(), "done", OrderState.COMPLETED)
    rows = ProductOrder.unscoped.values_list("pk", flat=True)
    answer = ops.post(list_of(ProductOrder), {"action": "cancel_selected", "_selected_action": list(rows)}, follow=True)
    assert sum("is being cancelled" in text for text in said(answer)) == 1
    assert any(text.startswith(f"{done.pk}:") and "cannot be cancelled" in text for text in said(answer))
    trail("order.cancel")


def test_a_refusal_to_retry_is_said(filled: Tenant, ops: Client) -> None:
    ProductOrder.unscoped.update(state=OrderState.PARTIAL)
    answer = press(ops, ProductOrder.unscoped.get(), "retry")
    assert "only what failed or was cancelled" in said(answer)[0]


def test_a_cancelled_order_is_tried_again(actor: Actor, lan: Segment, core: Segment, ops: Client) -> None:
    order = orders.place(actor=actor, items=[router()])
    orders.start(order_id=order.pk)
    press(ops, order, "cancel")
    found(order.items.get().instance, Phase.GONE)
    assert fresh(order).state == OrderState.CANCELLED
    answer = press(ops, order, "retry")
    again = ProductOrder.unscoped.get(retry_of=order)
    assert again.state == OrderState.ACKNOWLEDGED and again.placed_by == "ops@provider.example (provider)"
    assert again.pk in said(answer)[-1] and page_of(again) in ops.get(page_of(order)).content.decode()
    trail("order.place")


@pytest.mark.parametrize("id", ["nonsense", "-1", "9" * 40, "%00", "a/b"])
@pytest.mark.parametrize("page", ["services_deployment_send_again", "tenants_user_renew_password"])
def test_a_button_of_a_row_that_is_not_there_is_refused(page: str, id: str, ops: Client) -> None:
    assert ops.post(reverse(f"admin:{page}", args=[id]), YES).status_code in (403, 404)


def test_a_deployment_is_sent_again(filled: Tenant, ops: Client, django_capture_on_commit_callbacks: Any) -> None:
    deployment = Deployment.unscoped.get()
    with django_capture_on_commit_callbacks() as told:
        press(ops, deployment, "send_again")
    assert len([act for act in told if isinstance(act, partial)]) == 1  # pages are told besides
    assert trail("deployment.heal").object_id == str(deployment.pk)


def test_a_tenant_is_suspended_and_let_in_again(filled: Tenant, ops: Client) -> None:
    press(ops, filled, "suspend")
    assert fresh(filled).status == TenantStatus.SUSPENDED
    press(ops, filled, "resume")
    assert fresh(filled).status == TenantStatus.ACTIVE
    assert trail("tenant.suspend").tenant == trail("tenant.resume").tenant == filled


def test_a_token_is_revoked(filled: Tenant, ops: Client) -> None:
    token = ApiToken.unscoped.get()
    press(ops, token, "revoke")
    assert fresh(token).revoked_at is not None
    trail("token.revoke")


def test_a_customer_gets_a_new_password_that_is_shown_once(filled: Tenant, ops: Client) -> None:
    owner = User.objects.get(email="owner@acme.example")
    answer = press(ops, owner, "renew_password")
    assert "no-store" in answer["Cache-Control"]
    shown = re.search(r"select-all\">([^<]+)<", answer.content.decode())
    assert shown and fresh(owner).check_password(shown[1])
    assert shown[1] not in str(trail("user.renew_password").detail)


def test_the_password_of_staff_is_not_renewed_here(ops: Client) -> None:
    assert press(ops, User.objects.get(), "renew_password").status_code == 403


# --- forms ----------------------------------------------------------------------------


def test_a_tenant_is_opened_with_its_first_owner(ops: Client) -> None:
    answer = ops.post(
        f"{list_of(Tenant)}add/", {"name": "Initech", "slug": "initech", "owner": "Peter@Initech.example"}
    )
    tenant = Tenant.objects.get(slug="initech")
    member = tenant.memberships.get()
    shown = re.search(r"select-all\">([^<]+)<", answer.content.decode())
    assert (member.user.email, member.role) == ("peter@initech.example", Role.OWNER)
    assert shown and member.user.check_password(shown[1])
    assert {trail(verb).tenant_id for verb in ("tenant.open", "member.add")} == {tenant.pk}
    trail("user.create")


def test_a_tenant_whose_owner_has_an_account_shows_no_password(filled: Tenant, ops: Client) -> None:
    before = User.objects.count()
    ops.post(f"{list_of(Tenant)}add/", {"name": "Two", "slug": "two", "owner": "owner@acme.example"}, follow=True)
    assert Tenant.objects.get(slug="two").memberships.get().user.email == "owner@acme.example"
    assert User.objects.count() == before


def test_a_taken_slug_is_refused_in_the_form(filled: Tenant, ops: Client) -> None:
    answer = ops.post(f"{list_of(Tenant)}add/", {"name": "Other", "slug": "acme", "owner": "a@b.example"})
    assert "already exists" in answer.content.decode()
    assert not User.objects.filter(email="a@b.example").exists()


def test_a_quota_is_changed(filled: Tenant, ops: Client) -> None:
    ops.post(page_of(Quota.unscoped.get()), {"services": "7", "vcpu": "10", "memory_mb": "10240"})
    assert Quota.unscoped.get().services == 7
    assert trail("quota.set").detail["services"] == 7


def test_a_pop_is_put_into_maintenance(filled: Tenant, ops: Client) -> None:
    pop = Pop.objects.get()
    facts = {"name": pop.name, "city": "", "country": "", "vcpu_capacity": "8", "memory_capacity_mb": "4096"}
    ops.post(page_of(pop), facts | {"status": PopStatus.MAINTENANCE})
    assert (fresh(pop).status, fresh(pop).vcpu_capacity) == (PopStatus.MAINTENANCE, 8)
    assert trail("pop.change").detail["status"] == "open -> maintenance"
    assert fresh(pop).public_identity == pop.public_identity


def test_a_port_is_handed_out_and_taken_back(filled: Tenant, ops: Client) -> None:
    facts = {"tenant": filled.pk, "pop": "fra1", "name": "site-b", "interface": "eth7", "vlan": "12", "mtu": "1500"}
    ops.post(f"{list_of(Uni)}add/", facts)
    uni = Uni.unscoped.get(name="site-b")
    assert trail("uni.add").tenant == filled
    ops.post(reverse("admin:services_uni_delete", args=[uni.pk]), {"post": "yes"})
    assert not Uni.unscoped.filter(pk=uni.pk).exists()
    trail("uni.remove")


def test_a_port_in_use_keeps_its_interface(filled: Tenant, ops: Client) -> None:
    uni = Uni.unscoped.get()
    answer = ops.post(page_of(uni), {"name": "site-a", "interface": "other", "mtu": "1500"}, follow=True)
    assert "segment lan stands on this port" in said(answer)[0]
    assert fresh(uni).interface == uni.interface


def test_a_port_in_use_is_not_taken_back(filled: Tenant, ops: Client) -> None:
    uni = Uni.unscoped.get()
    ops.post(reverse("admin:services_uni_delete", args=[uni.pk]), {"post": "yes"}, follow=True)
    assert Uni.unscoped.filter(pk=uni.pk).exists()


def test_a_transport_is_added_changed_and_removed(filled: Tenant, ops: Client) -> None:
    facts = {"pop": "fra1", "name": "mpls", "medium": "mpls", "address": "192.0.2.1", "mtu": "1500"}
    ops.post(f"{list_of(Transport)}add/", facts)
    transport = Transport.objects.get(name="mpls")
    ops.post(page_of(transport), facts | {"mtu": "9000"})
    assert fresh(transport).mtu == 9000
    ops.post(reverse("admin:services_transport_delete", args=[transport.pk]), {"post": "yes"})
    assert not Transport.objects.filter(pk=transport.pk).exists()
    for verb in ("transport.add", "transport.change", "transport.remove"):
        trail(verb)


def test_prices_are_set_beside_their_offering(filled: Tenant, ops: Client) -> None:
    offering = Offering.objects.get()
    sizes = list(offering.sizes.all())
    data: dict[str, Any] = {"on_sale": "on", "sizes-TOTAL_FORMS": "2", "sizes-INITIAL_FORMS": "2"}
    for index, size in enumerate(sizes):
        data |= {
            f"sizes-{index}-id": size.pk,
            f"sizes-{index}-setup_price": "10",
            f"sizes-{index}-monthly_price": "31" if index == 0 else "29",
            f"sizes-{index}-hourly_price": "0.05",
            f"sizes-{index}-vcpu": "64",
        }
    ops.post(page_of(offering), data)
    assert (fresh(sizes[0]).monthly_price, fresh(sizes[0]).vcpu) == (31, sizes[0].vcpu)
    assert trail("offering.price").detail["monthly_price"] == "29.00 -> 31"


def test_a_price_below_nothing_is_refused(filled: Tenant, ops: Client) -> None:
    size = OfferingSize.objects.all()[0]
    ops.post(page_of(size), {"setup_price": "-1", "monthly_price": "1", "hourly_price": "1"})
    assert fresh(size).setup_price == 10


def test_an_offering_goes_off_sale(filled: Tenant, ops: Client) -> None:
    offering = Offering.objects.get()
    ops.post(page_of(offering), {"sizes-TOTAL_FORMS": "0", "sizes-INITIAL_FORMS": "0"})
    assert not fresh(offering).on_sale
    trail("offering.withdraw")


def test_a_member_is_let_in_changed_and_taken_out(filled: Tenant, ops: Client) -> None:
    person = User.objects.create_user("new@acme.example")
    ops.post(f"{list_of(Membership)}add/", {"tenant": filled.pk, "user": person.pk, "role": "viewer"})
    member = person.memberships.get()
    ops.post(page_of(member), {"role": "operator"})
    assert fresh(member).role == Role.OPERATOR
    ops.post(reverse("admin:tenants_membership_delete", args=[member.pk]), {"post": "yes"})
    assert not person.memberships.exists()
    for verb in ("member.add", "member.change", "member.remove"):
        assert trail(verb).actor == "ops@provider.example (provider)"


def test_the_last_owner_stays_and_the_console_says_why(filled: Tenant, ops: Client) -> None:
    owner = filled.memberships.get(role=Role.OWNER)
    address = reverse("admin:tenants_membership_delete", args=[owner.pk])
    answer = ops.post(address, {"post": "yes"}, follow=True)
    assert "last owner" in said(answer)[0] and fresh(owner)


def test_an_account_is_closed_but_not_ones_own(filled: Tenant, ops: Client) -> None:
    person, me = User.objects.get(email="owner@acme.example"), User.objects.get(is_staff=True)
    ops.post(page_of(person), {"name": "Owner", "is_staff": "on", "is_superuser": "on"})
    assert (fresh(person).is_active, fresh(person).is_staff, fresh(person).is_superuser) == (False, False, False)
    trail("user.change")
    assert "lock yourself out" in said(ops.post(page_of(me), {"name": "Me"}, follow=True))[-1]
    assert fresh(me).is_active


# --- who gets in ----------------------------------------------------------------------


def test_staff_is_made_on_the_command_line_with_a_password_printed_once(client: Client) -> None:
    out = StringIO()
    call_command("create_staff", "Ops@Provider.example", stdout=out)
    password = out.getvalue().split()[-1]
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/login/?next=/admin/"
    answer = client.post("/login/?next=/admin/", {"login": "ops@provider.example", "password": password})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200
    event = AuditEvent.unscoped.get(verb="user.create")
    assert password not in str(event.detail) and event.detail["is_staff"] is True


@pytest.mark.parametrize(("email", "words"), [("ops", "not an e-mail address"), ("a@b.example", "changepassword")])
def test_staff_is_not_made_twice_or_without_an_address(email: str, words: str) -> None:
    User.objects.create_user("a@b.example")
    with pytest.raises(CommandError, match=words):
        call_command("create_staff", email)


def test_a_customer_cannot_log_in_here(filled: Tenant, client: Client) -> None:
    person = User.objects.get(email="owner@acme.example")
    client.force_login(person)
    answer = client.get("/admin/login/", {"next": "/admin/"})
    assert answer.status_code == 403 and "no staff account" in answer.content.decode()
