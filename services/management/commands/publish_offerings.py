"""`manage.py publish_offerings`: put every kind of this installation on sale."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from services.catalogue import publish
from services.registry import kinds


class Command(BaseCommand):
    help = "Put every kind of this installation on sale at its present version. Safe to run again."

    def handle(self, *_args: Any, **_options: Any) -> None:
        for kind in kinds().values():
            offering = publish(kind)
            self.stdout.write(f"{offering} is on sale in {offering.sizes.count()} sizes")
