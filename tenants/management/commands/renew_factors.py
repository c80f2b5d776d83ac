"""Puts secrets of second factors and of single sign-on under the first of NAAS_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.signin import factors
from tenants.verbs import signon


class Command(BaseCommand):
    help = "Encrypt the secrets of second factors and of single sign-on with the first key. Safe to run again."

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stdout.write(
            f"{factors.renew()} factors and {signon.renew()} secrets of single sign-on are under the first key."
        )
