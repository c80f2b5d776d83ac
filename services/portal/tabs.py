"""The tabs of a service's page: each a page of its own, at an address of its own, below the service's.

A kind whose services have more to show than others adds tabs in `settings.NAAS_SERVICE_TABS`: by the name of the
kind, each with its title, its icon and the name of its page. They stand after the tabs that all services have:

    NAAS_SERVICE_TABS = {"sbc": (("Trunks", "route", "sbc-trunks"), ("Calls", "phone-call", "sbc-calls"))}

The page is a `ServicePage` whose address has `<id:id>`, the service's: `services/<id:id>/trunks/`. It names itself in
`tab`, and its `kind` where it is for services of one kind alone: others have no such page. `self.service` is the
service, of the tenant at hand. Its template extends `portal/service_base.html` and fills the block `tab` (and
`tab_actions`, for buttons at the top). A page that stands inside a tab (one trunk, a form) names that tab.

    class Trunks(ServicePage):
        tab = "sbc-trunks"
        kind = "sbc"
        template = "portal/sbc/trunks.html"

        def context(self) -> Mapping[str, Any]:
            return {"trunks": self.scope.all(Trunk).filter(instance=self.service)}

A list of the portal within a tab: `class Calls(ServicePage, ListPage)`, with the template
`portal/service_list.html`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.functional import cached_property

from naas.core.errors import NotFound
from services.lifecycle import OPEN, OrderState, ServiceState
from services.models import OrderItem, ServiceInstance
from services.registry import kinds
from tenants.portal.page import Page


@dataclass(frozen=True)
class Tab:
    """What is written on a tab, an icon of `scripts/frontend.py`, and the name of its page."""

    title: str
    icon: str
    page: str


#: What all services have.
TABS = (
    Tab("Overview", "activity", "service"),
    Tab("Topology", "sitemap", "service-topology"),
    Tab("Metrics", "chart-line", "service-metrics"),
    Tab("History", "history", "service-history"),
    Tab("Events", "list", "service-events"),
    Tab("Cost", "credit-card", "service-cost"),
)
#: What those have that can be asked.
GLASS = Tab("Looking glass", "terminal-2", "service-ask")


def tabs_of(kind: str) -> tuple[Tab, ...]:
    """The tabs of a service of this kind, in their order."""
    known = kinds().get(kind)
    glass = (GLASS,) if known and known.questions else ()
    return (*TABS, *glass, *_tabs(settings.NAAS_SERVICE_TABS.get(kind, ())))


def _tabs(entries: Iterable[tuple[str, str, str]]) -> Iterable[Tab]:
    return (Tab(title, icon, page) for title, icon, page in entries)


class ServicePage(Page):
    """A page about one service, under its tabs. See the words above."""

    section = "services"
    #: The name of the page on whose tab this one stands.
    tab: str
    #: The only kind whose services have this page; empty: all have it.
    kind: str = ""

    @cached_property
    def service(self) -> ServiceInstance:
        """The service that the address names. Raises `NotFound`, also for one of another kind."""
        found: ServiceInstance = self.scope.get(ServiceInstance, self.kwargs["id"])
        if self.kind and found.kind != self.kind:
            raise NotFound(f"{found.name} is a {found.kind} and has no such page")
        return found

    @cached_property
    def pending(self) -> OrderItem | None:
        """What is being ordered of the service now."""
        open_items = self.scope.all(OrderItem).filter(instance=self.service, state__in=OPEN)
        return open_items.select_related("order").first()

    def show(self, context: Mapping[str, Any], *, template: str = "", status: int = 200) -> HttpResponse:
        if "refused" in context:
            return super().show(context, template=template, status=status)
        around = {
            "title": self.title or self.service.name,
            "service": self.service,
            "tabs": tabs_of(self.service.kind),
            "tab": self.tab,
            "standing": self.service.state != ServiceState.TERMINATED,
            "pending": self.pending,
            "ending": self.pending if self.pending and self.pending.state == OrderState.PENDING else None,
        }
        return super().show({**around, **context}, template=template, status=status)
