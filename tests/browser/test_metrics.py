"""A service's metrics in a real browser: charts are drawn, and drawn anew; the same figures stand in tables."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from services import orders
from services.entry import ItemRequest
from services.lifecycle import OrderState, ServiceState
from services.models import Action, ProductOrder, Sample, Segment, ServiceInstance
from services.tiers import HOURS, MINUTES, RAW, Tier, start_of
from tenants.actor import Actor
from tests import world
from tests.browser.conftest import Watched
from tests.browser.test_portal import clean, log_in, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

KEYS = {"port.in.bits/lan": 8e6, "port.out.bits/lan": 3e6, "port.in.packets/lan": 900.0, "port.out.packets/lan": 700.0}
KEYS |= {"port.in.drops/lan": 0.4, "port.out.drops/lan": 0.0, "cpu/router": 0.12, "memory/router": 6.5e7}


def fill(service: ServiceInstance, tier: Tier, points: int) -> None:
    """A wave, with a gap in it in which nothing was measured."""
    now = timezone.now()
    rows = []
    for ago in range(points, 0, -1):
        if points // 3 < ago < points // 3 + points // 10:
            continue
        wave = 1 + 0.6 * math.sin(ago / points * 12)
        figure = {key: [0.7 * mean * wave, mean * wave, 1.4 * mean * wave, 6] for key, mean in KEYS.items()}
        start = start_of(now - timedelta(seconds=ago * tier.width), tier.width)
        rows.append(Sample(tenant=service.tenant, instance=service, width=tier.width, start=start, values=figure))
    Sample.unscoped.bulk_create(rows)


@pytest.fixture
def portal(watched: Watched) -> Watched:
    tenant, segment = world.customer("acme", world.pop())
    world.service(tenant, segment, "edge-a", OrderState.COMPLETED)
    service = ServiceInstance.unscoped.get(name="edge-a")
    fill(service, RAW, 360)
    fill(service, MINUTES, 1440)
    fill(service, HOURS, 500)
    log_in(watched, "viewer@acme.example")
    return watched


def test_the_metrics_of_a_service_are_read_in_charts_and_tables(portal: Watched) -> None:
    service = ServiceInstance.unscoped.get(name="edge-a")
    page = portal.open(f"/t/acme/services/{service.pk}/metrics/")
    page.locator("#chart-traffic[data-drawn='2'] canvas").wait_for()
    assert page.locator("[data-drawn] canvas").count() == 5
    page.get_by_text("As a table").first.click()
    page.get_by_role("row", name="lan in").first.get_by_text("Mbit/s").first.wait_for()
    for words, key in (("24 hours", "24h"), ("7 days", "7d"), ("13 months", "13m")):
        page.get_by_role("link", name=words).click()
        page.locator("#chart-traffic[data-drawn='2'] canvas").wait_for()
        assert page.url.endswith(f"?range={key}")
    clean(portal)


def test_who_reads_that_a_change_did_harm_goes_back_to_what_was(portal: Watched) -> None:
    """From the metrics to the history, the difference, the plan of going back, and the order."""
    service = ordered_and_changed(Segment.unscoped.get(name="lan"))
    log_in(portal, "owner@acme.example")
    page = portal.open(f"/t/acme/services/{service.pk}/metrics/")
    page.get_by_text("Nothing was measured in this time").wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_text("172.16.2.0/24").first.wait_for()
    page.get_by_role("button", name="Go back to 1").click()
    page.get_by_role("heading", name="The plan").wait_for()
    page.get_by_role("button", name="Place the order").click()
    page.wait_for_url("**/orders/ord-*/")
    service.refresh_from_db()
    assert service.generation == 3
    assert [route["destination"] for route in service.spec["static_routes"]] == ["172.16.1.0/24"]
    clean(portal)


def ordered_and_changed(segment: Segment) -> ServiceInstance:
    """A router that was ordered with one static route, and changed to have another."""
    actor = Actor.system(segment.tenant)

    def spec(route: str) -> dict[str, object]:
        port = {"name": "lan", "segment": segment.name}
        return {"ports": [port], "static_routes": [{"destination": route, "via": "10.1.0.200"}]}

    def place(**item: Any) -> None:
        order = orders.place(actor=actor, items=[ItemRequest(**item)])
        order.items.update(state=OrderState.COMPLETED)
        ProductOrder.unscoped.filter(pk=order.pk).update(state=OrderState.COMPLETED)

    place(action=Action.ADD, kind="router", pop=segment.pop_id, name="r", size="S", spec=spec("172.16.1.0/24"))
    made: ServiceInstance = ServiceInstance.unscoped.get(name="r")
    place(action=Action.MODIFY, service=made.pk, spec=spec("172.16.2.0/24"))
    ServiceInstance.unscoped.filter(pk=made.pk).update(state=ServiceState.ACTIVE)
    return made


def test_charts_are_drawn_anew_for_another_width_and_for_dark(portal: Watched) -> None:
    service = ServiceInstance.unscoped.get(name="edge-a")
    for width in (1440, 390):
        portal.page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            portal.page.emulate_media(color_scheme=theme)
            page = portal.open(f"/t/acme/services/{service.pk}/metrics/")
            page.locator("#chart-memory[data-drawn] canvas").wait_for()
            shoot(portal, f"metrics-{width}-{theme}")
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    drawn = page.locator("#chart-traffic canvas").evaluate("canvas => canvas.toDataURL()")
    page.get_by_role("button", name="Navigation").click()
    page.get_by_role("button", name="Dark or light").click()
    page.wait_for_function(
        "before => document.querySelector('#chart-traffic canvas').toDataURL() !== before", arg=drawn
    )
    clean(portal)
