"""Tell a PoP once more what should stand there. It compares that with what it finds, and repairs the difference."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from naas.core.errors import Conflict
from services import dispatch
from services.lifecycle import ServiceState
from services.models import Deployment
from services.orders import SEND
from tenants.actor import Actor, Role, Staff
from tenants.verbs import audit


@transaction.atomic
def heal(*, actor: Actor | Staff, deployment: Deployment) -> None:
    """Send a deployment's desired state again, also when the PoP says it stands. Raises `Conflict` when it is gone."""
    if isinstance(actor, Actor):
        actor.require(Role.OPERATOR)
    if deployment.instance.state == ServiceState.TERMINATED:
        raise Conflict(f"{deployment.instance.name} is terminated: there is nothing to heal")
    audit.record(actor, "deployment.heal", deployment, service=deployment.instance_id, pop=deployment.pop_id)
    transaction.on_commit(partial(dispatch.wake, SEND, str(deployment.pk)))
