"""Logs a viewer of a tenant in, in the installation that the environment names: `python -m tests.session SLUG`.

Prints the session's cookie. A program of its own, because a test process has settings of its own.
"""

from __future__ import annotations

import os
import sys

import django

VIEWER = "viewer@customer.example"


def main(slug: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    from django.test import Client

    from tenants.actor import Actor, Role
    from tenants.models import Tenant, User
    from tenants.verbs import members

    tenant = Tenant.objects.get(slug=slug)
    user = User.objects.filter(email=VIEWER).first() or User.objects.create_user(VIEWER)
    if not user.memberships.filter(tenant=tenant).exists():
        members.add(actor=Actor.system(tenant, "a test"), user=user, role=Role.VIEWER)
    browser = Client()
    browser.force_login(user)
    sys.stdout.write(browser.cookies["sessionid"].value)


if __name__ == "__main__":
    main(*sys.argv[1:])
