"""Takes down what PoPs say: steps, states, conditions and heartbeats. Decides only whether it is news.

What follows for orders and services is decided by `services.orders.settle`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from services import events, orders
from services.health import assess
from services.lifecycle import OPEN
from services.locks import lock_tenant
from services.models import Deployment, DeploymentStep, OrderItem, Pop, ServiceInstance
from tenants import changes
from worker.report import Beat, Phase, Report, StepReport, StepState

#: Seconds for which a deployment that was just sent may be missing from a heartbeat.
SETTLING = 60
#: By how much the clock of a PoP may be ahead.
CLOCK_JUMP = timedelta(seconds=30)


@transaction.atomic
def take(report: Report) -> None:
    """Take down one report. What is about another generation than the wanted one adds its steps and nothing more."""
    rows = Deployment.unscoped.filter(instance=report.instance, pop=report.pop)
    known = rows.select_related("tenant").first()
    if known is None:
        return
    lock_tenant(known.tenant)
    deployment = rows.select_related("instance").get()
    _take_steps(deployment, report.generation, report.steps)
    _tell_pages(deployment)
    at = datetime.fromtimestamp(report.at, UTC)
    if report.generation != deployment.generation or _is_outdated(deployment, at):
        return
    if _is_progress(deployment, report):
        return
    if report.phase is not Phase.CONVERGING:
        _end_steps(deployment)
    arrived = report.phase in (Phase.CONVERGED, Phase.GONE)
    if arrived:
        deployment.observed_generation = report.generation
    before = Phase(deployment.phase)
    deployment.phase, deployment.reason, deployment.reported_at = report.phase, report.reason, at
    if report.conditions or report.phase is Phase.GONE:
        deployment.conditions = [asdict(condition) for condition in report.conditions]
    deployment.save(update_fields=["observed_generation", "phase", "reason", "reported_at", "conditions"])
    if report.phase is not before:
        events.note(deployment.instance, f"phase.{report.phase}", _sentence(report))
    _update_health(deployment, report)
    orders.settle(deployment=deployment)


def beat(heartbeat: Beat) -> None:
    """The PoP lives. What it does not keep, or keeps at an older generation, is behind and will be sent again.

    Broken off in between, the next heartbeat does the rest.
    """
    seen = datetime.fromtimestamp(heartbeat.at, UTC)
    # By itself: nobody who holds a tenant may wait for a PoP that waits for the tenant.
    Pop.objects.filter(slug=heartbeat.pop).update(last_seen_at=seen)
    kept = {instance: generation for instance, generation, _ in heartbeat.instances}
    rows = Deployment.unscoped.filter(pop=heartbeat.pop, observed_generation__gt=0)
    for deployment in rows.select_related("tenant"):
        if _is_lost(deployment, kept.get(deployment.instance_id, 0), seen):
            _lose(deployment, kept.get(deployment.instance_id, 0), seen)


def _is_lost(deployment: Deployment, generation: int, seen: datetime) -> bool:
    """Whether the PoP keeps less of it than it had told, and was not sent it just now."""
    fresh = deployment.reported_at is not None and (seen - deployment.reported_at).total_seconds() < SETTLING
    return generation < deployment.observed_generation and deployment.phase != Phase.GONE and not fresh


@transaction.atomic
def _lose(known: Deployment, generation: int, seen: datetime) -> None:
    lock_tenant(known.tenant)
    deployment = Deployment.unscoped.select_related("instance").get(pk=known.pk)
    if _is_lost(deployment, generation, seen):
        Deployment.unscoped.filter(pk=deployment.pk).update(observed_generation=generation)
        events.note(deployment.instance, "lost", f"PoP {deployment.pop_id} no longer keeps it; it is sent again")
        changes.note(deployment)


def _tell_pages(deployment: Deployment) -> None:
    changes.note(deployment)
    item = OrderItem.unscoped.filter(instance=deployment.instance_id, state__in=OPEN).select_related("order").first()
    if item is not None:
        changes.note(item.order)


def _is_outdated(deployment: Deployment, at: datetime) -> bool:
    """Whether something later is known. What was told from the future is from before a clock was set back."""
    last = deployment.reported_at
    return last is not None and at < last <= timezone.now() + CLOCK_JUMP


def _is_progress(deployment: Deployment, report: Report) -> bool:
    """Whether the report tells of steps and nothing else, as most do."""
    still = report.phase is Phase.CONVERGING and deployment.phase == Phase.CONVERGING
    return still and deployment.reported_at is not None and (deployment.reason, report.reason) == ("", "")


def _take_steps(deployment: Deployment, generation: int, steps: Iterable[StepReport]) -> None:
    DeploymentStep.unscoped.bulk_create(
        (
            DeploymentStep(
                tenant_id=deployment.tenant_id,
                deployment=deployment,
                generation=generation,
                run=step.run,
                position=step.position,
                total=step.total,
                action=step.action,
                subject=step.subject,
                reason=step.reason[:300],
                state=step.state,
                started_at=datetime.fromtimestamp(step.started_at, UTC),
                duration_ms=None if step.duration is None else round(step.duration * 1000, 1),
                message=step.message,
            )
            for step in _latest(steps)
        ),
        update_conflicts=True,
        unique_fields=["deployment", "generation", "run", "position"],
        update_fields=["state", "duration_ms", "message"],
    )


def _end_steps(deployment: Deployment) -> None:
    """Steps of a run that a kill, a cancellation or a lost message kept from telling their end go on no longer."""
    begun = DeploymentStep.unscoped.filter(deployment=deployment, state=StepState.RUNNING)
    begun.update(state=StepState.FAILED, message="broken off; the PoP went on without it")


def _latest(steps: Iterable[StepReport]) -> Iterable[StepReport]:
    """The last word on each step: PostgreSQL refuses to touch one row twice in a statement."""
    return {(step.run, step.position): step for step in steps}.values()


def _update_health(deployment: Deployment, report: Report) -> None:
    if report.phase is Phase.CONVERGING and deployment.observed_generation < report.generation:
        return  # still on its way to this generation: there is nothing to judge yet
    health, reason = assess(report.phase, report.conditions, report.reason)
    instance = deployment.instance
    if (instance.health, instance.health_reason) == (health, reason):
        return
    if instance.health != health:
        events.note(instance, f"health.{health}", f"{health}: {reason}" if reason else health)
    ServiceInstance.unscoped.filter(pk=instance.pk).update(health=health, health_reason=reason)


def _sentence(report: Report) -> str:
    what = {
        Phase.CONVERGING: "is being worked on",
        Phase.CONVERGED: "stands as wanted",
        Phase.PARKED: "is parked",
        Phase.GONE: "is gone",
    }[report.phase]
    why = f": {report.reason}" if report.reason else ""
    return f"generation {report.generation} {what} at PoP {report.pop}{why}"
