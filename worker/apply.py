"""Carries a plan out. The only code that changes a PoP.

It decides nothing: steps run one by one in the plan's order, each reported with its
duration, and the first error ends the run. Every step is idempotent, so a run that was
cut short is simply planned and applied again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from worker.errors import NaasError
from worker.plan import (
    AddSegment,
    AddVnf,
    Configure,
    Plan,
    Plug,
    RemoveSegment,
    RemoveVnf,
    StartContainer,
    Step,
    StopContainer,
    Unplug,
)
from worker.report import StepReport, StepState
from worker.runtime.base import Runtime
from worker.wiring.base import Wiring


class Reporter(Protocol):
    """Is told of each step as it begins and as it ends. It must not block: the work waits for it."""

    def __call__(self, step: StepReport, /) -> None: ...


def apply(plan: Plan, runtime: Runtime, wiring: Wiring, report: Reporter) -> None:
    """Carry out every step. Raises what a step raised, after reporting it as failed."""
    run = secrets.token_hex(4)
    for position, step in enumerate(plan.steps):
        begun = StepReport(
            run=run,
            position=position,
            total=len(plan.steps),
            action=step.action,
            subject=step.subject,
            reason=step.reason,
            state=StepState.RUNNING,
            started_at=time.time(),
        )
        _carry_out(_effect(step, plan.instance, runtime, wiring), begun, report)


def _carry_out(effect: Callable[[], None], begun: StepReport, report: Reporter) -> None:
    report(begun)
    clock = time.perf_counter()
    try:
        effect()
    except NaasError as error:
        report(replace(begun, state=StepState.FAILED, duration=time.perf_counter() - clock, message=str(error)))
        raise
    report(replace(begun, state=StepState.DONE, duration=time.perf_counter() - clock))


def _effect(step: Step, instance: str, runtime: Runtime, wiring: Wiring) -> Callable[[], None]:
    match step:
        case AddSegment(segment=segment):
            return partial(wiring.add_segment, segment)
        case RemoveSegment(id=id):
            return partial(wiring.remove_segment, id)
        case Plug(wire=wire, mtu=mtu):
            return lambda: wiring.plug(instance, wire, runtime.netns(instance, wire.vnf), mtu=mtu)
        case Unplug(vnf=vnf, port=port):
            return partial(wiring.unplug, instance, vnf, port)
        case _:
            return _container_effect(step, instance, runtime)


def _container_effect(
    step: AddVnf | StartContainer | Configure | StopContainer | RemoveVnf, instance: str, runtime: Runtime
) -> Callable[[], None]:
    match step:
        case AddVnf(vnf=vnf):
            return partial(runtime.add_vnf, instance, vnf)
        case StartContainer(vnf=name, container=container):
            return partial(runtime.start, instance, name, container)
        case Configure(vnf=name, container=container):
            return partial(runtime.configure, instance, name, container)
        case StopContainer(vnf=name, container=gone):
            return partial(runtime.stop, instance, name, gone)
        case RemoveVnf(vnf=name, comes_back=comes_back):
            return partial(runtime.remove_vnf, instance, name, keep_volumes=comes_back)
