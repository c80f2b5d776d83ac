"""What allauth asks of this platform about accounts: nobody signs up; what happens to an account is told and kept."""

from __future__ import annotations

import logging
import math
from functools import partial
from smtplib import SMTPException
from threading import Thread
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tenants.actor import Staff
from tenants.api.authentication import SIGNED_ON, acting
from tenants.api.throttling import Attempts
from tenants.models import User
from tenants.signin.lockout import address
from tenants.verbs import audit

log = logging.getLogger(__name__)


class Accounts(DefaultAccountAdapter):  # type: ignore[misc]  # untyped library
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        del request
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return address(request)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        del request
        return reverse("account")

    def pre_login(self, request: HttpRequest, user: User, **given: Any) -> HttpResponse | None:
        """A session is bound to a tenant by that tenant's single sign-on, and by nothing else."""
        bound = getattr(request, "signed_on", None)
        request.session.pop(SIGNED_ON, None)
        if bound is not None:
            request.session[SIGNED_ON] = bound
        answer: HttpResponse | None = super().pre_login(request, user, **given)
        return answer

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count passwords before one is looked at, right or wrong; who guesses at one account axes holds up."""
        del credentials
        attempts = Attempts()
        if not attempts.allow_request(request, None):  # type: ignore[arg-type]  # it reads META alone
            raise ValidationError(f"Too many attempts. Try again in {math.ceil(attempts.wait())} seconds.")

    def _rollback_login_failed_rl_usage(self) -> None:
        """Nothing was counted that would have to be taken back."""

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send it after the commit and beside the request: how long an answer takes tells nobody who has an account."""
        message = self.render_mail(template_prefix, email, context)
        transaction.on_commit(lambda: Thread(target=partial(_send, message), name="mail").start())

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """Every change of how one gets in comes by here: it goes into the trail, and by mail to its person."""
        note(self.request, user, f"account.{template_prefix.rpartition('/')[2]}")
        super().send_notification_mail(template_prefix, user, context, email)


def note(request: HttpRequest, person: User, verb: str, **detail: Any) -> None:
    """Write a line about a person's own account into the trail of each tenant that they belong to."""
    members = list(person.memberships.select_related("tenant", "user"))
    for member in members:
        audit.record(acting(member, request), verb, person, **detail)
    if not members:
        nobodys = Staff(person.email, person.pk, address(request), str(getattr(request, "id", "")))
        audit.record(nobodys, verb, person, **detail)


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except (SMTPException, OSError) as error:
        log.warning("a mail about an account could not be sent: %s", error)
