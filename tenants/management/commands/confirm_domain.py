"""Confirms that a domain of mail addresses is a tenant's, so that its single sign-on may let new people in."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from naas.core.errors import Refusal
from tenants.actor import Staff
from tenants.models import Tenant
from tenants.verbs import signon


class Command(BaseCommand):
    help = "Confirm that a domain is a tenant's. Make sure first, by what only its owner can do (a DNS record, a mail)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="its slug")
        parser.add_argument("domain")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"there is no tenant {options['tenant']}")
        try:
            row = signon.confirm(staff=Staff("command line"), tenant=tenant, domain=options["domain"])
        except Refusal as refused:
            raise CommandError(refused.detail) from refused
        self.stdout.write(f"confirmed for {tenant}: {', '.join(row.confirmed)}")
