"""`manage.py create_staff EMAIL`: let one of the provider's people into the console."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from naas.core.errors import Refusal
from tenants.actor import Staff
from tenants.verbs import people


class Command(BaseCommand):
    help = "Make an account of the provider's staff, with a password that is made now and printed once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="")

    def handle(self, *_args: Any, **given: Any) -> None:
        email: str = given["email"]
        try:
            validate_email(email)
            account = people.create(staff=Staff("command line"), email=email, name=given["name"], is_staff=True)
        except ValidationError:
            raise CommandError(f"{email!r} is not an e-mail address") from None
        except Refusal as refused:
            raise CommandError(f"{refused.detail}; to set its password run manage.py changepassword {email}") from None
        self.stdout.write(f"{account.user.email} may log in at /admin/ with the password {account.password}")
