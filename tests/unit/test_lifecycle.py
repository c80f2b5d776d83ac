"""The tables of lives: what can follow what."""

from __future__ import annotations

from itertools import product

import pytest

from services.lifecycle import (
    ENDED,
    OPEN,
    ORDER,
    SERVICE,
    IllegalTransition,
    OrderEvent,
    OrderState,
    ServiceEvent,
    ServiceState,
    after,
    order_outcome,
)

O = OrderState  # noqa: E741


def reachable(start: OrderState) -> set[OrderState]:
    seen = {start}
    while more := {to for (state, _), to in ORDER.items() if state in seen} - seen:
        seen |= more
    return seen


def test_every_order_state_but_the_first_is_reached_from_it() -> None:
    assert reachable(O.ACKNOWLEDGED) == set(O)


def test_an_ended_order_knows_no_event() -> None:
    assert not [state for state, _ in ORDER if state in ENDED]


def test_every_open_order_can_end() -> None:
    assert all(reachable(state) & ENDED for state in OPEN)


def test_a_terminated_service_stays_terminated() -> None:
    assert not [state for state, _ in SERVICE if state is ServiceState.TERMINATED]


def test_an_illegal_event_names_what_would_be_possible() -> None:
    with pytest.raises(IllegalTransition, match="reserved does not allow deactivate; it allows activate, terminate"):
        after(SERVICE, ServiceState.RESERVED, ServiceEvent.DEACTIVATE)
    with pytest.raises(IllegalTransition, match="it has ended"):
        after(ORDER, O.COMPLETED, OrderEvent.START)


@pytest.mark.parametrize(
    ("order", "items", "event"),
    [
        (O.IN_PROGRESS, [O.COMPLETED, O.IN_PROGRESS], None),
        (O.IN_PROGRESS, [O.COMPLETED, O.COMPLETED], OrderEvent.COMPLETE),
        (O.IN_PROGRESS, [O.COMPLETED, O.FAILED], OrderEvent.COMPLETE_PARTLY),
        (O.IN_PROGRESS, [O.FAILED, O.FAILED], OrderEvent.FAIL),
        (O.PENDING_CANCELLATION, [O.CANCELLED], OrderEvent.CANCEL),
        (O.PENDING_CANCELLATION, [O.CANCELLED, O.COMPLETED], OrderEvent.COMPLETE_PARTLY),
        (O.PENDING_CANCELLATION, [O.CANCELLED, O.FAILED], OrderEvent.FAIL),
    ],
)
def test_the_states_of_its_items_decide_an_order(
    order: OrderState, items: list[OrderState], event: OrderEvent | None
) -> None:
    assert order_outcome(order, items) is event


def test_every_outcome_is_an_event_that_the_order_allows() -> None:
    ended = [O.COMPLETED, O.FAILED, O.CANCELLED]
    for order, items in product([O.IN_PROGRESS, O.PENDING_CANCELLATION], product(ended, repeat=2)):
        event = order_outcome(order, items)
        assert event is not None
        assert after(ORDER, order, event) in ENDED
