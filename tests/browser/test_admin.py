"""The provider's console in a real browser: under its content security policy, with nothing from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.contrib import admin

from services.lifecycle import OrderState
from services.models import Deployment, ProductOrder, ServiceInstance
from tenants.console import list_of, page_of
from tenants.models import AuditEvent, Tenant, User
from tests import world
from tests.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

EMAIL, PASSWORD = "ops@provider.example", "a-long-enough-password"


@pytest.fixture
def console(watched: Watched) -> Watched:
    """Staff, logged in, with customers to look at."""
    world.staff(EMAIL, PASSWORD)
    pop = world.pop()
    for slug in ("acme", "globex"):
        tenant, segment = world.customer(slug, pop)
        world.service(tenant, segment, "edge")
    world.service(tenant, segment, "old", OrderState.FAILED)
    world.single_sign_on(tenant)
    page = watched.open("/admin/")
    page.get_by_label("E-mail address").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("heading", name="PoPs").wait_for()
    return watched


def shoot(watched: Watched, name: str) -> None:
    """Keep a picture where `NAAS_SCREENSHOTS` says, for a person to look at."""
    folder = os.environ.get("NAAS_SCREENSHOTS")
    if folder:
        watched.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def clean(watched: Watched) -> None:
    assert watched.complaints == []
    assert watched.strangers() == []


def test_staff_log_in_and_go_from_the_overview_to_an_order_and_its_service(console: Watched) -> None:
    page = console.page
    shoot(console, "overview")
    order = ProductOrder.unscoped.filter(state=OrderState.IN_PROGRESS)[0]
    page.get_by_role("link", name=order.pk).click()
    page.get_by_text("2 of 3: Add VNF").wait_for()
    shoot(console, "order")
    page.get_by_role("link", name="edge").first.click()
    page.get_by_role("heading", name="At its PoPs").wait_for()
    shoot(console, "service")
    clean(console)


def test_every_page_loads_without_a_complaint(console: Watched) -> None:
    for model in admin.site._registry:
        name = model._meta.model_name
        console.open(list_of(model))
        shoot(console, f"{name}-list")
        console.open(page_of(model._base_manager.all()[0]))
        shoot(console, f"{name}-row")
    clean(console)


def test_pages_where_something_is_typed_load_without_a_complaint(console: Watched) -> None:
    for model, page in admin.site._registry.items():
        if page.entered:  # type: ignore[attr-defined]
            console.open(f"{list_of(model)}add/")
            shoot(console, f"{model._meta.model_name}-add")
    clean(console)


def test_an_order_is_cancelled_by_its_button_after_a_question(console: Watched) -> None:
    order = ProductOrder.unscoped.filter(state=OrderState.IN_PROGRESS)[0]
    page = console.open(page_of(order))
    page.get_by_text("Cancel order").first.click()
    page.locator("#dialog").wait_for()
    shoot(console, "cancel-question")
    assert ProductOrder.unscoped.get(pk=order.pk).state == OrderState.IN_PROGRESS
    page.locator("#dialog").get_by_role("button", name="Yes, cancel order").click()
    page.get_by_text("is being cancelled").wait_for()
    shoot(console, "cancelled")
    assert ProductOrder.unscoped.get(pk=order.pk).state == OrderState.PENDING_CANCELLATION
    assert AuditEvent.unscoped.get(verb="order.cancel", object_id=order.pk).actor == f"{EMAIL} (provider)"
    clean(console)


def test_a_deployment_is_healed_by_its_button(console: Watched) -> None:
    page = console.open(page_of(Deployment.unscoped.all()[0]))
    page.get_by_text("Send again").first.click()
    page.locator("#dialog").get_by_role("button", name="Yes, send again").click()
    page.get_by_text("is told again").wait_for()
    assert AuditEvent.unscoped.filter(verb="deployment.heal").count() == 1
    clean(console)


def test_a_tenant_is_opened_and_its_owners_password_shown_once(console: Watched) -> None:
    page = console.open(f"{list_of(Tenant)}add/")
    page.locator("input[name=name]").fill("Initech")
    page.locator("input[name=slug]").fill("initech")
    page.locator("input[name=owner]").fill("peter@initech.example")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("It is shown once").wait_for()
    shoot(console, "password")
    password = page.locator("dd.font-mono").inner_text()
    assert User.objects.get(email="peter@initech.example").check_password(password)
    page.get_by_role("link", name="go on").click()
    page.get_by_role("heading", name="Members").wait_for()
    assert password not in page.content()
    clean(console)


def test_a_new_password_is_shown_in_the_dialog_that_asked(console: Watched) -> None:
    page = console.open(page_of(User.objects.get(email="owner@acme.example")))
    page.get_by_text("Renew password").first.click()
    page.locator("#dialog").get_by_role("button", name="Yes, renew password").click()
    page.get_by_text("It is shown once").wait_for()
    shoot(console, "new-password")
    password = page.locator("#dialog dd.font-mono").inner_text()
    assert User.objects.get(email="owner@acme.example").check_password(password)
    clean(console)


def test_a_list_is_narrowed_to_one_tenant_by_typing(console: Watched) -> None:
    page = console.open(list_of(ServiceInstance))
    page.get_by_text("Filters").first.click()
    page.locator(".select2-selection").last.click()
    page.locator(".select2-search__field").last.fill("acm")
    page.locator(".select2-results__option", has_text="Acme").click()
    shoot(console, "filters")
    page.get_by_role("button", name="Apply Filters").click()
    page.get_by_text("1 service instance").wait_for()
    assert page.locator("#result_list").get_by_text("Globex").count() == 0
    clean(console)
