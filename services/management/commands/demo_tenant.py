"""`manage.py demo_tenant --json`: the customer that the demo plays, with what only a provider can give it."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from services.models import Pop, Uni
from tenants.actor import Actor, Role
from tenants.models import ApiToken, Membership, Tenant, User
from tenants.verbs import tokens

SLUG = "demo"
EMAIL = "demo@localhost"
#: The customer's places: two offices, a PBX and a carrier.
SITES = ("site-a", "site-b", "pbx", "carrier")
#: How long a token made for the demo lives. Every run makes a fresh one.
TOKEN_LIFE = timedelta(days=30)


class Command(BaseCommand):
    help = "Make the demo tenant with a login, a fresh API token and UNIs. Safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON for programs")
        parser.add_argument("--pop", default="fra1")
        parser.add_argument("--uni", action="append", default=[], help="NAME=INTERFACE, may be given several times")

    @transaction.atomic
    def handle(self, *_args: Any, **given: Any) -> None:
        pop = Pop.objects.filter(slug=given["pop"]).first()
        if pop is None:
            raise CommandError(f"there is no PoP {given['pop']}; run manage.py enroll_pop {given['pop']} first")
        tenant, _ = Tenant.objects.get_or_create(slug=SLUG, defaults={"name": "Demo customer"})
        password = _login(tenant)
        pairs = [pair.partition("=")[::2] for pair in given["uni"] or [f"{site}=uni-{site}" for site in SITES]]
        unis = [_uni(tenant, pop, name, interface) for name, interface in pairs]
        answer = {
            "tenant": tenant.pk,
            "email": EMAIL,
            "password": password,
            "token": _token(tenant),
            "unis": [{"id": uni.pk, "name": uni.name, "interface": uni.interface} for uni in unis],
        }
        self.stdout.write(json.dumps(answer) if given["json"] else _for_people(answer))


def _login(tenant: Tenant) -> str | None:
    """The password of the demo user, when it is new: made for this installation and shown once."""
    user = User.objects.filter(email=EMAIL).first()
    password = None
    if user is None:
        password = secrets.token_urlsafe(12)
        user = User.objects.create_user(EMAIL, password, name="Demo customer")
    Membership.unscoped.get_or_create(tenant=tenant, user=user, defaults={"role": Role.OWNER})
    return password


def _uni(tenant: Tenant, pop: Pop, name: str, interface: str) -> Uni:
    uni: Uni
    uni, _ = Uni.unscoped.get_or_create(tenant=tenant, name=name, defaults={"pop": pop, "interface": interface})
    return uni


def _token(tenant: Tenant) -> str:
    """A fresh token; those of earlier runs end."""
    actor = Actor.system(tenant, "demo")
    for old in ApiToken.unscoped.filter(tenant=tenant, name="demo", revoked_at__isnull=True):
        tokens.revoke(actor=actor, id=old.pk)
    issued = tokens.issue(actor=actor, name="demo", role=Role.OWNER, expires_at=timezone.now() + TOKEN_LIFE)
    return issued.plaintext


def _for_people(answer: dict[str, Any]) -> str:
    lines = [f"{key}: {value}" for key, value in answer.items() if key != "unis" and value]
    return "\n".join([*lines, *(f"uni {uni['name']}: {uni['id']} ({uni['interface']})" for uni in answer["unis"])])
