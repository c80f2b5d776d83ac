"""The lives of an order and of a service, as tables.

States are those of TM Forum: TMF622 `ProductOrderStateType` for orders and their items,
TMF638 `ServiceStateType` for services. What is not in a table cannot happen; asking for it
raises `IllegalTransition`. Pure: nothing here reads or writes rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from worker.errors import NaasError


class OrderState(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    PENDING = "pending"
    HELD = "held"
    IN_PROGRESS = "inProgress"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIAL = "partial"
    ASSESSING_CANCELLATION = "assessingCancellation"
    PENDING_CANCELLATION = "pendingCancellation"


class OrderEvent(StrEnum):
    REJECT = "reject"
    WAIT = "wait"
    HOLD = "hold"
    START = "start"
    COMPLETE = "complete"
    FAIL = "fail"
    COMPLETE_PARTLY = "completePartly"
    REQUEST_CANCELLATION = "requestCancellation"
    ACCEPT_CANCELLATION = "acceptCancellation"
    REFUSE_CANCELLATION = "refuseCancellation"
    CANCEL = "cancel"


class ServiceState(StrEnum):
    FEASIBILITY_CHECKED = "feasibilityChecked"
    DESIGNED = "designed"
    RESERVED = "reserved"
    INACTIVE = "inactive"
    ACTIVE = "active"
    TERMINATED = "terminated"


class ServiceEvent(StrEnum):
    DESIGN = "design"
    RESERVE = "reserve"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    TERMINATE = "terminate"


class Health(StrEnum):
    """How a service fares, as far as its PoP can tell."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"


class IllegalTransition(NaasError):
    """The state does not know this event."""


O, OE, S, SE = OrderState, OrderEvent, ServiceState, ServiceEvent  # noqa: E741 (the tables below are read as tables)

ORDER: Mapping[tuple[OrderState, OrderEvent], OrderState] = {
    (O.ACKNOWLEDGED, OE.REJECT): O.REJECTED,
    (O.ACKNOWLEDGED, OE.WAIT): O.PENDING,
    (O.ACKNOWLEDGED, OE.START): O.IN_PROGRESS,
    (O.ACKNOWLEDGED, OE.REQUEST_CANCELLATION): O.ASSESSING_CANCELLATION,
    (O.PENDING, OE.START): O.IN_PROGRESS,
    (O.PENDING, OE.FAIL): O.FAILED,
    (O.PENDING, OE.REQUEST_CANCELLATION): O.ASSESSING_CANCELLATION,
    (O.IN_PROGRESS, OE.HOLD): O.HELD,
    (O.IN_PROGRESS, OE.COMPLETE): O.COMPLETED,
    (O.IN_PROGRESS, OE.FAIL): O.FAILED,
    (O.IN_PROGRESS, OE.COMPLETE_PARTLY): O.PARTIAL,
    (O.IN_PROGRESS, OE.REQUEST_CANCELLATION): O.ASSESSING_CANCELLATION,
    (O.HELD, OE.START): O.IN_PROGRESS,
    (O.HELD, OE.FAIL): O.FAILED,
    (O.HELD, OE.REQUEST_CANCELLATION): O.ASSESSING_CANCELLATION,
    (O.ASSESSING_CANCELLATION, OE.ACCEPT_CANCELLATION): O.PENDING_CANCELLATION,
    (O.ASSESSING_CANCELLATION, OE.REFUSE_CANCELLATION): O.IN_PROGRESS,
    (O.PENDING_CANCELLATION, OE.CANCEL): O.CANCELLED,
    (O.PENDING_CANCELLATION, OE.COMPLETE_PARTLY): O.PARTIAL,
    (O.PENDING_CANCELLATION, OE.FAIL): O.FAILED,
}

SERVICE: Mapping[tuple[ServiceState, ServiceEvent], ServiceState] = {
    (S.FEASIBILITY_CHECKED, SE.DESIGN): S.DESIGNED,
    (S.DESIGNED, SE.RESERVE): S.RESERVED,
    (S.RESERVED, SE.ACTIVATE): S.ACTIVE,
    (S.RESERVED, SE.TERMINATE): S.TERMINATED,
    (S.ACTIVE, SE.ACTIVATE): S.ACTIVE,
    (S.ACTIVE, SE.DEACTIVATE): S.INACTIVE,
    (S.ACTIVE, SE.TERMINATE): S.TERMINATED,
    (S.INACTIVE, SE.ACTIVATE): S.ACTIVE,
    (S.INACTIVE, SE.TERMINATE): S.TERMINATED,
}

#: Orders and items that nothing more will happen to.
ENDED = frozenset({O.REJECTED, O.CANCELLED, O.COMPLETED, O.FAILED, O.PARTIAL})
#: Orders and items that are still on their way.
OPEN = frozenset(OrderState) - ENDED
#: What is worked on. An order that is open and not this waits for its time, and has changed nothing yet.
UNDER_WAY = OPEN - {OrderState.PENDING}

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def after(table: Mapping[tuple[State, Event], State], state: State, event: Event) -> State:
    """The state that follows. Raises `IllegalTransition`, naming what would be possible."""
    try:
        return table[state, event]
    except KeyError:
        possible = sorted(e for s, e in table if s == state)
        known = ", ".join(possible) if possible else "nothing: it has ended"
        raise IllegalTransition(f"{state} does not allow {event}; it allows {known}") from None


def order_outcome(order: OrderState, items: Iterable[OrderState]) -> OrderEvent | None:
    """What the states of its items mean for an order; None while one of them is open.

    All completed is complete, a mixture with completed ones is partial, and otherwise the
    order failed or, when that was asked for, is cancelled.
    """
    states = set(items)
    if states & OPEN:
        return None
    if states == {O.COMPLETED}:
        # Everything was done before the cancellation could reach it.
        return OE.COMPLETE_PARTLY if order is O.PENDING_CANCELLATION else OE.COMPLETE
    if O.COMPLETED in states:
        return OE.COMPLETE_PARTLY
    if O.FAILED in states or order is not O.PENDING_CANCELLATION:
        return OE.FAIL
    return OE.CANCEL
