"""`manage.py enroll_pop SLUG`: make a PoP known and write the file its processes need."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from services.enrolment import HostSettings, Place, enroll
from services.models.places import slug_alphabet
from tenants.actor import Staff
from worker.errors import NaasError

#: Share of the host's memory that is sold when --memory-mb is not given.
SOLD_SHARE = 0.75
#: vCPU sold per core of the host when --vcpu is not given.
OVERBOOKING = 8


class Command(BaseCommand):
    help = "Make a PoP known, open the broker to it and write its configuration file. Safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="short name, up to 16 of a-z, 0-9 and '-'")
        parser.add_argument("--name", default="")
        parser.add_argument("--city", default="")
        parser.add_argument("--country", default="", help="ISO 3166-1 alpha-2")
        parser.add_argument("--latitude", type=Decimal)
        parser.add_argument("--longitude", type=Decimal)
        parser.add_argument("--vcpu", type=Decimal, help="vCPU to sell (default: 8 for each core of this host)")
        parser.add_argument("--memory-mb", type=int, help="memory to sell in MiB (default: 3/4 of this host's)")
        parser.add_argument("--docker-socket", default="unix:///var/run/docker.sock")
        parser.add_argument("--fabric", help="network namespace of its bridges (default: naas-SLUG)")
        parser.add_argument("--root-namespace", help="network namespace of its interfaces (default: that of its host)")
        parser.add_argument("--state-dir", type=Path, help="where its processes keep state (default: beside the file)")
        parser.add_argument("--broker-url", help="the broker as the PoP reaches it (default: REDIS_URL)")
        parser.add_argument("--out", type=Path, help="the file to write (default: NAAS_VAR/pops/SLUG/pop.json)")

    def handle(self, *_args: Any, **given: Any) -> None:
        slug: str = given["slug"]
        slug_alphabet(slug)
        file = given["out"] or settings.NAAS_VAR / "pops" / slug / "pop.json"
        try:
            enroll(
                staff=Staff(label="command line"),
                slug=slug,
                place=Place(
                    name=given["name"],
                    city=given["city"],
                    country=given["country"],
                    latitude=given["latitude"],
                    longitude=given["longitude"],
                    vcpu=given["vcpu"] or Decimal(OVERBOOKING * (os.cpu_count() or 1)),
                    memory_mb=given["memory_mb"] or int(_host_memory_mb() * SOLD_SHARE),
                ),
                host=HostSettings(
                    state_dir=given["state_dir"] or file.parent / "state",
                    docker_socket=given["docker_socket"],
                    fabric=given["fabric"],
                    root_namespace=given["root_namespace"],
                ),
                broker_url=given["broker_url"] or settings.REDIS_URL,
                file=file,
            )
        except NaasError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"PoP {slug} is enrolled; its processes need NAAS_POP_CONFIG={file}")


def _host_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
