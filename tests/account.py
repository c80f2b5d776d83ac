"""Opens a tenant in the installation that the environment names: `python -m tests.account POP SITE=INTERFACE ...`.

A program of its own, because a test process has settings of its own. Prints the token and
the ids of the UNIs as JSON. An owner is invited, whose mail is in the installation's folder.
"""

from __future__ import annotations

import json
import os
import sys
from decimal import Decimal

import django

#: Who is invited to be the tenant's owner.
OWNER = "ann@customer.example"


def main(pop_slug: str, *unis: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    from services.catalogue import publish
    from services.models import Pop, PopStatus, Uni
    from services.registry import kinds
    from tenants.actor import Actor, Role, Staff
    from tenants.verbs import invitations, members, quotas, tokens

    for kind in kinds().values():
        publish(kind)
    Pop.objects.filter(pk=pop_slug).update(status=PopStatus.OPEN, vcpu_capacity=100, memory_capacity_mb=100_000)
    staff = Staff("tests")
    tenant = members.open_tenant(staff=staff, name="Test", slug=f"tenant-{pop_slug}")
    quotas.set_limits(staff=staff, tenant=tenant, limits=quotas.Amount(100, Decimal(100), 100_000))
    made = {}
    for uni in unis:
        site, _, interface = uni.partition("=")
        made[site] = Uni.unscoped.create(tenant=tenant, pop_id=pop_slug, name=site, interface=interface).pk
    issued = tokens.issue(actor=Actor.system(tenant), name="tests", role=Role.OWNER)
    invitations.invite(actor=Actor.system(tenant), email=OWNER, role=Role.OWNER, page="http://site.example/invitation/")
    sys.stdout.write(json.dumps({"token": issued.plaintext, "unis": made, "tenant": tenant.pk, "slug": tenant.slug}))


if __name__ == "__main__":
    main(*sys.argv[1:])
