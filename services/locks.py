"""Who waits for whom: a tenant's writes are taken one after the other, and so are a PoP's reservations.

On SQLite every write transaction is exclusive from its start (`transaction_mode`
IMMEDIATE), so these locks matter on PostgreSQL only. Always the tenant first, then PoPs in
the order of their slugs, so that nobody waits in a circle. What a PoP says is a write like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.models import Pop
from tenants.models import Tenant


def lock_tenant(tenant: Tenant) -> Tenant:
    """The tenant's row, locked to the end of the transaction."""
    return Tenant.objects.select_for_update().get(pk=tenant.pk)


def lock_pops(slugs: Iterable[str]) -> dict[str, Pop]:
    """The PoPs of these slugs, locked; those that do not exist are left out."""
    rows = Pop.objects.select_for_update().filter(slug__in=set(slugs)).order_by("slug")
    return {pop.slug: pop for pop in rows}
