"""Every page of the portal in a real browser: accessible, wide and narrow, light and dark, with nothing from elsewhere.

The pages come from the URL configuration, so one that is added is looked at by itself. `make screenshots` keeps
a picture of each.
"""

from __future__ import annotations

import json
import os
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import ViewportSize

from sbc.models import CallRecord
from scripts import frontend
from services.catalogue import publish
from services.lifecycle import OrderState
from services.models import OrderItem, ProductOrder, ServiceInstance
from services.registry import kinds
from services.tiers import RAW
from tenants.models import Tenant
from tests import world
from tests.browser.conftest import Watched
from tests.browser.test_metrics import fill
from tests.browser.test_portal import clean, log_in, shoot
from tests.unit.test_portal import POSTED, pages

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: The script of axe-core, which is never served.
AXE = Path(__file__).parents[2] / "node_modules" / frontend.AXE
#: What nobody who uses a page with an aid can be asked to bear.
GRAVE = ("serious", "critical")
WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture
def portal(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """An owner, logged in, with services of every kind, orders, calls."""
    monkeypatch.setattr("sbc.portal.live.AT_ONCE", 0)
    tenant, segment = world.customer("acme", world.pop())
    for name in ("edge-hamburg", "edge-munich"):
        world.service(tenant, segment, name, OrderState.COMPLETED)
    ProductOrder.unscoped.update(state=OrderState.COMPLETED, completed_at=timezone.now())
    OrderItem.unscoped.update(state=OrderState.COMPLETED)
    calls(world.sbc(tenant, segment))
    for service in ServiceInstance.unscoped.all():
        fill(service, RAW, 360)
    for kind in kinds().values():
        publish(kind)
    log_in(watched, "owner@acme.example")
    return watched


def calls(border: ServiceInstance, count: int = 60) -> None:
    """Records of a day, the same each time."""
    draw, now = random.Random(1), timezone.now()
    for number in range(count):
        started = now - timedelta(minutes=23 * number)
        is_answered = draw.random() < 0.8
        CallRecord.unscoped.create(
            tenant=border.tenant,
            instance=border,
            key=f"c{number}",
            call_id=f"{draw.getrandbits(48):x}@10.1.0.20",
            started=started,
            answered=started + timedelta(seconds=4) if is_answered else None,
            ended=started + timedelta(minutes=3),
            setup_ms=draw.randrange(900, 6000) if is_answered else None,
            duration_ms=draw.randrange(4_000, 900_000) if is_answered else None,
            caller=f"+4940{draw.randrange(10**6, 10**7)}",
            called=f"+4989{draw.randrange(10**6, 10**7)}",
            from_trunk="pbx",
            to_trunk="carrier",
            route="out",
            attempts=[{"trunk": "carrier", "uri": "sip:192.0.2.5", "code": 200 if is_answered else 486}],
            code=200 if is_answered else 486,
            cause="caller-hung-up" if is_answered else "busy",
            codec="PCMA",
            srtp_in=True,
            srtp_out=False,
            mos=round(draw.uniform(3.4, 4.4), 2) if is_answered else None,
            quality={"caller": {"mos": 4.2, "loss": 0.3, "jitter": 2.1, "round_trip": 38.0}, "callee": None},
            received_at=now,
        )


def answers() -> list[tuple[str, str]]:
    """Pages as they are when something was asked on them."""
    router, border = ServiceInstance.unscoped.filter(kind="router")[0], ServiceInstance.unscoped.get(kind="sbc")
    inquiry = router.inquiries.all()[0].pk
    return [
        ("service-ask-answer", f"/t/acme/services/{router.pk}/looking-glass/?question=routes&inquiry={inquiry}"),
        ("sbc-simulator-answer", f"/t/acme/services/{border.pk}/sbc/simulator/?number=%2B4930&trunk=carrier"),
        ("services-none", "/t/acme/services/?q=nothing-like-this"),
    ]


def violations(watched: Watched) -> list[str]:
    """What axe-core finds grave, each with the first place where it is."""
    if not watched.page.evaluate("typeof axe !== 'undefined'"):
        watched.page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = watched.page.evaluate(
        "axe.run({resultTypes: ['violations']}).then(found => found.violations)"
    )
    return [
        f"{v['id']}: {v['nodes'][0]['failureSummary'].splitlines()[-1].strip()}: {v['nodes'][0]['html'][:200]}"
        for v in found
        if v["impact"] in GRAVE
    ]


def test_every_page_is_accessible_in_every_width_and_light(portal: Watched) -> None:
    wrong: dict[str, list[str]] = {}
    for name, address in [*pages(Tenant.objects.get()), *answers()]:
        if name in POSTED:
            continue
        portal.page.set_viewport_size(WIDE)
        portal.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        portal.page.goto(f"{portal.base}{address}", wait_until="load")
        found = violations(portal)
        for width, size in (("1440", WIDE), ("390", NARROW)):
            portal.page.set_viewport_size(size)
            for theme in ("light", "dark"):
                portal.page.evaluate("theme => { document.documentElement.dataset.bsTheme = theme }", theme)
                found += violations(portal) if (width, theme) == ("390", "dark") else []
                if os.environ.get("NAAS_SCREENSHOTS"):
                    portal.page.wait_for_load_state("networkidle")
                    shoot(portal, f"{name}-{width}-{theme}")
            over = portal.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found += [f"is {over} pixels wider than {width}"] if over > 0 else []
        if found:
            wrong[name] = list(dict.fromkeys(found))
    assert not wrong, json.dumps(wrong, indent=1)
    clean(portal)
