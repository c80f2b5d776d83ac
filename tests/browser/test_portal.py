"""The portal in a real browser: under its content security policy, with nothing from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.test import Client

from services.catalogue import publish
from services.lifecycle import OrderState
from services.models import ServiceInstance
from services.registry import kinds
from tenants.models import User
from tests import world
from tests.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def portal(watched: Watched) -> Watched:
    """An owner, logged in, with services to look at."""
    tenant, segment = world.customer("acme", world.pop())
    for name in ("edge-a", "edge-b"):
        world.service(tenant, segment, name, OrderState.COMPLETED)
    for kind in kinds().values():
        publish(kind)
    log_in(watched, "owner@acme.example")
    return watched


def log_in(watched: Watched, email: str) -> None:
    client = Client()
    client.force_login(User.objects.get(email=email))
    cookie = client.cookies["sessionid"]
    watched.page.context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": watched.base}])


def shoot(watched: Watched, name: str, *, whole: bool = True) -> None:
    """Keep a picture of the page where `NAAS_SCREENSHOTS` says, for a person to look at."""
    folder = os.environ.get("NAAS_SCREENSHOTS")
    if folder:
        watched.page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)


def clean(watched: Watched) -> None:
    assert watched.complaints == []
    assert watched.strangers() == []


def test_a_choice_narrows_a_list_at_once(portal: Watched) -> None:
    page = portal.open("/t/acme/services/")
    page.get_by_label("Kind").select_option("sbc")
    page.get_by_text("Nothing matches").wait_for()
    assert page.url.endswith("/services/?kind=sbc")
    clean(portal)


def test_a_router_is_ordered_by_its_form_checked_while_it_is_filled_in(portal: Watched) -> None:
    page = portal.open("/t/acme/order/router/")
    page.get_by_label("Name", exact=True).first.fill("edge-c")
    page.locator("[name='ports[0].name']").fill("LAN!")
    page.get_by_text("must look like wan").wait_for()
    page.locator("[name='ports[0].name']").fill("lan")
    page.locator("#p-f-ports-0-name").wait_for(state="hidden")
    page.locator("[name='ports[0].segment']").select_option("lan")
    page.get_by_text("Medium").click()
    page.locator("#as-json", has_text='"size": "M"').wait_for(state="attached")
    page.locator("[name='bgp.on']").check()
    page.get_by_role("button", name="64512 is free").click()
    page.get_by_role("button", name="Add neighbour").click()
    page.locator("[name='bgp.neighbours[0].address']").fill("10.1.0.200")
    page.locator("[name='bgp.neighbours[0].remote_asn']").fill("65002")
    shoot(portal, "order-filled")
    page.evaluate("scrollTo(0, 0)")
    shoot(portal, "order-top", whole=False)
    page.get_by_role("button", name="See what will be done").click()
    page.get_by_role("heading", name="The plan").wait_for()
    page.get_by_text("No traffic that flows now is interrupted").wait_for()
    shoot(portal, "plan")
    page.get_by_role("button", name="Place the order").click()
    page.get_by_text("edge-c").wait_for()
    placed = ServiceInstance.unscoped.get(name="edge-c")
    assert (placed.size.size, placed.spec["bgp"]["asn"], placed.spec["ports"][0]["name"]) == ("M", 64512, "lan")
    assert page.url.endswith(f"/orders/{placed.order_items.get().order_id}/")
    clean(portal)


def test_the_network_is_a_picture_and_a_click_opens_a_drawer(portal: Watched) -> None:
    page = portal.open("/t/acme/")
    page.locator("#topology[data-ready] canvas").first.wait_for()
    shoot(portal, "home-picture")
    page.get_by_role("link", name="edge-a").click()
    page.locator("#drawer #chosen").wait_for()
    assert page.locator("#drawer").get_by_role("link", name="Open").is_visible()
    assert page.url.endswith("/t/acme/"), "the picture stays where it is"
    shoot(portal, "home-drawer")
    page.get_by_label("Find a service").fill("edge-b")
    page.locator("#services a", has_text="edge-a").wait_for(state="hidden")
    ServiceInstance.unscoped.filter(name="edge-b").update(health="down")
    page.locator("#healths", has_text="Down").wait_for(timeout=30_000)
    clean(portal)


def test_everything_is_found_by_keyboard_alone(portal: Watched) -> None:
    page = portal.open("/t/acme/orders/")
    page.keyboard.press("Control+k")
    page.locator("dialog.palette a", has_text="Overview").wait_for()
    page.keyboard.type("edge-b")
    page.locator("dialog.palette a", has_text="edge-a").wait_for(state="detached")
    page.locator("dialog.palette a.active", has_text="edge-b").wait_for()
    shoot(portal, "palette", whole=False)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="edge-b").wait_for()
    page.keyboard.press("Control+k")
    page.locator("dialog.palette[open]").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog.palette[open]").wait_for(state="detached")
    clean(portal)


def test_a_page_says_that_the_platform_does_not_answer_and_catches_up(portal: Watched) -> None:
    service = ServiceInstance.unscoped.get(name="edge-a")
    page = portal.open(f"/t/acme/services/{service.pk}/")
    page.route("**/services/**", lambda route: route.abort())
    page.get_by_role("status").get_by_text("No answer from the platform").wait_for()
    shoot(portal, "no-answer", whole=False)
    ServiceInstance.unscoped.filter(pk=service.pk).update(health="failed", health_reason="the fibre is cut")
    page.unroute("**/services/**")
    page.get_by_text("the fibre is cut").first.wait_for()
    page.get_by_text("No answer from the platform").wait_for(state="detached")


def test_an_answer_that_is_an_error_takes_nothing_off_a_page(portal: Watched) -> None:
    service = ServiceInstance.unscoped.get(name="edge-a")
    page = portal.open(f"/t/acme/services/{service.pk}/")
    page.route(
        "**/services/**", lambda route: route.fulfill(status=503, body="<h1>busy</h1>", content_type="text/html")
    )
    page.get_by_role("status").get_by_text("No answer from the platform").wait_for()
    page.get_by_text("BGP established").wait_for()
    page.unroute("**/services/**")
    page.get_by_text("No answer from the platform").wait_for(state="detached")
