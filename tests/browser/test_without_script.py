"""The portal in a browser that runs no script: logging in, looking something up and ordering still work."""

from __future__ import annotations

import pytest

from services.catalogue import publish
from services.lifecycle import OrderState
from services.models import ServiceInstance
from services.registry import kinds
from tenants.models import User
from tests import world
from tests.browser.conftest import Watched
from tests.browser.test_portal import clean, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery staple"


@pytest.fixture
def portal(watched: Watched) -> Watched:
    """A browser whose scripts are switched off, and an owner who has a password."""
    tenant, segment = world.customer("acme", world.pop())
    for name in ("edge-a", "edge-b"):
        world.service(tenant, segment, name, OrderState.COMPLETED)
    for kind in kinds().values():
        publish(kind)
    owner = User.objects.get(email="owner@acme.example")
    owner.set_password(PASSWORD)
    owner.save()
    devtools = watched.page.context.new_cdp_session(watched.page)
    devtools.send("Emulation.setScriptExecutionDisabled", {"value": True})
    return watched


def test_a_router_is_ordered_without_any_script(portal: Watched) -> None:
    page = portal.open("/t/acme/order/router/")
    page.get_by_label("E-mail address").fill("owner@acme.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.locator("[name='name']").fill("edge-c")
    page.locator("[name='ports[0].name']").fill("LAN!")
    page.get_by_role("button", name="Check").click()
    assert "must look like wan" in page.locator("#p-f-ports-0-name").inner_text()
    page.locator("[name='ports[0].name']").fill("lan")
    page.locator("[name='ports[0].segment']").select_option("lan")
    page.get_by_role("button", name="Add port", exact=True).click()
    page.get_by_role("button", name="Remove").last.click()
    page.locator("[name='bgp.on']").check()
    page.get_by_role("button", name="Show").first.click()
    page.locator("[name='bgp.asn']").fill("64512")
    shoot(portal, "order-without-script")
    page.get_by_role("button", name="See what will be done").click()
    page.get_by_role("heading", name="The plan").wait_for()
    page.get_by_role("button", name="Place the order").click()
    placed = ServiceInstance.unscoped.get(name="edge-c")
    assert (placed.spec["bgp"]["asn"], [port["name"] for port in placed.spec["ports"]]) == (64512, ["lan"])
    assert page.url.endswith(f"/orders/{placed.order_items.get().order_id}/")
    assert page.get_by_text("edge-c").first.is_visible()
    shoot(portal, "order-placed-without-script")
    page.goto(f"{portal.base}/t/acme/services/")
    page.get_by_label("Search", exact=True).last.fill("edge-b")
    page.keyboard.press("Enter")
    page.wait_for_url("**/services/?*q=edge-b*")
    assert page.get_by_role("main").get_by_role("link", name="edge-a").count() == 0
    assert page.get_by_role("main").get_by_role("link", name="edge-b").first.is_visible()
    clean(portal)
