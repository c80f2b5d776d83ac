"""The portal in a real browser: under its content security policy, with nothing from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.test import Client

from services.models import ProductOrder, ServiceInstance
from tenants.models import User
from tests import world
from tests.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def portal(watched: Watched) -> Watched:
    """An owner, logged in, with services to look at."""
    tenant, segment = world.customer("acme", world.pop())
    for name in ("edge-a", "edge-b"):
        world.service(tenant, segment, name)
    log_in(watched, "owner@acme.example")
    return watched


def log_in(watched: Watched, email: str) -> None:
    client = Client()
    client.force_login(User.objects.get(email=email))
    cookie = client.cookies["sessionid"]
    watched.page.context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": watched.base}])


def shoot(watched: Watched, name: str) -> None:
    """Keep a picture where `NAAS_SCREENSHOTS` says, for a person to look at."""
    folder = os.environ.get("NAAS_SCREENSHOTS")
    if folder:
        watched.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def clean(watched: Watched) -> None:
    assert watched.complaints == []
    assert watched.strangers() == []


def addresses() -> dict[str, str]:
    service, order = ServiceInstance.unscoped.all()[0], ProductOrder.unscoped.all()[0]
    return {
        "home": "/t/acme/",
        "services": "/t/acme/services/",
        "service": f"/t/acme/services/{service.pk}/",
        "orders": "/t/acme/orders/",
        "order": f"/t/acme/orders/{order.pk}/",
    }


def test_every_page_loads_without_a_complaint_wide_and_narrow_light_and_dark(portal: Watched) -> None:
    for width in (1440, 390):
        portal.page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            portal.page.emulate_media(color_scheme=theme)
            for name, address in addresses().items():
                portal.open(address)
                shoot(portal, f"{name}-{width}-{theme}")
                overflow = portal.page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert overflow <= 0, f"{name} is wider than {width}"
    clean(portal)


def test_a_choice_narrows_a_list_at_once(portal: Watched) -> None:
    page = portal.open("/t/acme/services/")
    page.get_by_label("Kind").select_option("sbc")
    page.get_by_text("Nothing matches").wait_for()
    assert page.url.endswith("/services/?kind=sbc")
    clean(portal)
