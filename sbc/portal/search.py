"""What of SBCs the portal's search finds: trunks and routes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sbc.kind import KIND
from sbc.models import Route, Trunk
from services.lifecycle import ServiceState
from services.portal.search import Hit, matching
from tenants.actor import Role
from tenants.portal.page import Page


def objects(page: Page, words: Sequence[str]) -> Iterator[Hit]:
    """Trunks and routes by their names; who may change one is led to its form, others to the list."""
    if not words:
        return
    may_change = page.actor.role.covers(Role.OPERATOR)
    for noun, icon, model in (("trunk", "building", Trunk), ("route", "route", Route)):
        rows = page.scope.all(model).filter(instance__kind=KIND.name).exclude(instance__state=ServiceState.TERMINATED)
        for row in matching(rows.select_related("instance"), words, "name"):
            form = page.url(f"sbc-{noun}", id=row.instance_id, named=row.name)
            listed = f"{page.url(f'sbc-{noun}s', id=row.instance_id)}?q={row.name}"
            yield Hit(row.name, f"{noun} of {row.instance.name}", icon, form if may_change else listed)
