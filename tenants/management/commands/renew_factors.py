"""Puts the secrets of second factors under the first of NAAS_ENCRYPTION_KEYS, so that an older key can go."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.signin import factors


class Command(BaseCommand):
    help = "Encrypt the secrets of people's second factors with the first key. Safe to run again."

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stdout.write(f"{factors.renew()} factors are under the first key.")
