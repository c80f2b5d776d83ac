"""Lets somebody into the portal of the installation that the environment names: `python -m tests.visitor TENANT`.

A program of its own, because a test process has settings of its own. Prints the session's key.
"""

from __future__ import annotations

import os
import sys

import django


def main(slug: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    from django.conf import settings
    from django.test import Client

    from tenants.actor import Role
    from tenants.models import Membership, Tenant, User

    user = User.objects.create_user(email="visitor@customer.example")
    Membership.unscoped.create(tenant=Tenant.objects.get(slug=slug), user=user, role=Role.OPERATOR)
    client = Client()
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    sys.stdout.write(client.cookies[settings.SESSION_COOKIE_NAME].value)


if __name__ == "__main__":
    main(*sys.argv[1:])
