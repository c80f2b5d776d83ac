"""Takes all second factors off a person's account, for who lost them. Make sure first who asks."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from tenants.actor import Staff
from tenants.models import User
from tenants.verbs import audit


class Command(BaseCommand):
    help = "Remove a person's second factors, so that the password alone lets them in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    @transaction.atomic
    def handle(self, *_args: Any, **options: Any) -> None:
        person = User.objects.filter(email=options["email"].strip().lower()).first()
        if person is None:
            raise CommandError(f"there is no account of {options['email']}")
        removed, _ = Authenticator.objects.filter(user=person).delete()
        staff = Staff("command line")
        members = list(person.memberships.select_related("tenant"))
        for member in members:
            audit.record(staff.inside(member.tenant), "account.factors_removed", person, email=person.email)
        if not members:
            audit.record(staff, "account.factors_removed", person, email=person.email)
        self.stdout.write(f"{removed} factors of {person.email} are removed.")
