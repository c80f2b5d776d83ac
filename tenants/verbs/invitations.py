"""Invitations: a role in a tenant, offered by mail, taken up with the code that the mail carries.

The code exists in the mail and nowhere else: who has it reads that address. It stands behind the `#` of a link, which
browsers send to nobody.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from naas.core.crypto import new_token_secret, token_digest
from naas.core.errors import Conflict, Invalid, Problem
from tenants import scope
from tenants.actor import Actor, Role, Staff
from tenants.models import Invitation, Membership, TenantStatus, User
from tenants.verbs import audit, members

LASTS = timedelta(days=7)
#: Open invitations of a tenant: mails to strangers are not to be had without end.
MOST_OPEN = 100

MAIL = """{inviter} invites you to {tenant}, with the role {role}.

Open this link, and choose a password if you have no account here yet:

{link}

If the link does not fill in the code, it is: {code}

The invitation holds until {until:%Y-%m-%d %H:%M} UTC. Who did not expect it can ignore this mail.
"""


@transaction.atomic
def invite(*, actor: Actor, email: str, role: Role, page: str) -> Invitation:
    """Send an invitation, in place of one that is open for the address. `page` is where codes are taken.

    Raises `Invalid`, `Conflict` when the person is a member already, and `Forbidden`.
    """
    actor.require(Role.OWNER)
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid([Problem("email", "this is no e-mail address")]) from None
    if scope.of(actor).all(Membership).filter(user__email=email).exists():
        raise Conflict(f"{email} is a member of {actor.tenant} already; change the role there")
    known = _open(actor)
    known.filter(email=email).update(withdrawn_at=timezone.now())
    if known.count() >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} invitations are open; withdraw some first")
    code = new_token_secret()
    invitation: Invitation = Invitation.unscoped.create(
        tenant=actor.tenant,
        email=email,
        role=role,
        digest=token_digest(code),
        invited_by=actor.label,
        expires_at=timezone.now() + LASTS,
    )
    audit.record(actor, "member.invite", invitation, email=email, role=role)
    transaction.on_commit(partial(_send, invitation, code, f"{page}#{code}"))
    return invitation


@transaction.atomic
def withdraw(*, actor: Actor, id: str) -> None:
    """Make an invitation void. One that is not open stays as it is. Raises `NotFound` and `Forbidden`."""
    actor.require(Role.OWNER)
    invitation = scope.of(actor).get(Invitation, id)
    if invitation.accepted_at is None and invitation.withdrawn_at is None:
        invitation.withdrawn_at = timezone.now()
        invitation.save(update_fields=["withdrawn_at"])
        audit.record(actor, "member.withdraw_invitation", invitation, email=invitation.email)


@transaction.atomic
def accept(*, request: HttpRequest, code: str, password: str, name: str = "") -> Membership:
    """Let the invited person in: a new one with this password, one who has an account with theirs.

    Raises `Invalid`; then nothing was written, and nothing is told about who has an account but to who has the code.
    """
    invitation = find(code)
    if invitation is None:
        raise Invalid([Problem("code", "this invitation is not open any more; ask for another")])
    user = User.objects.filter(email=invitation.email).first()
    if user is None:
        user = User(email=invitation.email, name=name.strip()[:100])
        try:
            validate_password(password, user)
        except ValidationError as weak:
            raise Invalid([Problem("password", " ".join(weak.messages))]) from None
        user = User.objects.create_user(invitation.email, password, name=user.name)
    elif authenticate(request, username=user.email, password=password) is None:
        raise Invalid([Problem("password", "there is an account of this address; give its password")])
    invitation.accepted_at = timezone.now()
    invitation.save(update_fields=["accepted_at"])
    # By whom the invitation was written, whose role was looked at then.
    host = Staff(f"invitation by {invitation.invited_by}", user_id=user.pk).inside(invitation.tenant)
    return members.add(actor=host, user=user, role=Role(invitation.role))


def find(code: str) -> Invitation | None:
    """The invitation that this code opens, if it is open now."""
    now = timezone.now()
    rows = Invitation.unscoped.select_related("tenant").select_for_update(of=("self",))
    found: Invitation | None = rows.filter(
        digest=token_digest(code.strip()),
        accepted_at__isnull=True,
        withdrawn_at__isnull=True,
        expires_at__gt=now,
        tenant__status=TenantStatus.ACTIVE,
    ).first()
    return found


def _open(actor: Actor) -> QuerySet[Invitation]:
    return scope.of(actor).all(Invitation).filter(accepted_at__isnull=True, withdrawn_at__isnull=True)


def _send(invitation: Invitation, code: str, link: str) -> None:
    text = MAIL.format(
        inviter=invitation.invited_by,
        tenant=invitation.tenant.name,
        role=invitation.role,
        link=link,
        code=code,
        until=invitation.expires_at,
    )
    send_mail(f"Invitation to {invitation.tenant.name}", text, None, [invitation.email])
