"""Undoing: what was charged first, then what was reserved, the last line first; then the order is closed."""

from __future__ import annotations

from datetime import datetime

from eventlog.message import Event
from eventlog.sagas import Clock, Reaction
from processors.fulfilment.instance import CANCELLED, CLOSING, NONE, REFUNDING, UNDOING, Fulfilment, evolve
from schemas.fulfilment import (
    ClosingStarted,
    CompensationStarted,
    FulfilmentCancelled,
    LineReleased,
    RefundEnded,
    RefundStarted,
    ReleaseStarted,
)
from schemas.inventory import ReleaseStock
from schemas.orders import CloseOrder
from schemas.payments import RefundPayment

NOTHING = Reaction()
RETRY_DOUBLINGS_MAX = 6


def retry_due(clock: Clock, attempt: int) -> datetime:
    """Until when an answer is waited for that has to come: twice as long each time, up to 64 times."""
    return clock.now + clock.allowed["retry"] * (1 << min(attempt - 1, RETRY_DOUBLINGS_MAX))


def compensate(state: Fulfilment, reason: str, clock: Clock, *facts: Event) -> Reaction:
    """Begin to undo, after the facts that made it necessary; `state` is the one after them."""
    started = CompensationStarted(order_id=state.order_id, reason=reason)
    # Lines that were not answered yet are released as well: their reservation lies before the release in the log.
    skus = (*state.reserved, *state.open)
    if state.charge != NONE:
        return _and(refund(state, clock, reason), *facts, started)
    if skus:
        return _and(release(state, skus[::-1], clock), *facts, started)
    return _and(close(state, reason, 1, clock), *facts, started)


def undo_next(state: Fulfilment, ended: RefundEnded | LineReleased, clock: Clock) -> Reaction:
    """Go on after something was undone: `state` is the one before `ended`."""
    if state.step == CANCELLED:
        after = evolve(state, ended, clock.now)
        over = () if after.releasing or after.charge == REFUNDING else (_cancelled(state),)
        return Reaction((ended, *over))
    if state.step != UNDOING:
        return Reaction((ended,))
    if isinstance(ended, RefundEnded):
        if state.reserved:
            return _and(release(state, state.reserved[::-1], clock), ended)
    elif len(state.releasing) > 1 or state.charge == REFUNDING:
        return Reaction((ended,))
    return _and(close(state, state.reason, 1, clock), ended)


def again(state: Fulfilment, clock: Clock) -> Reaction:
    """Ask again for what was asked and not answered in time."""
    if state.charge == REFUNDING:
        return refund(state, clock, state.reason)
    if state.releasing:
        return release(state, state.releasing, clock)
    if state.step == CLOSING:
        return close(state, state.reason, state.attempt + 1, clock)
    return NOTHING


def late_charge(state: Fulfilment, clock: Clock) -> Reaction:
    """The customer was charged after all, and nobody wants it any more."""
    if state.step not in (UNDOING, CLOSING, CANCELLED) or state.charge == REFUNDING:
        return NOTHING  # a refund that was asked for covers it
    return refund(state, clock, state.reason)


def late_reservation(state: Fulfilment, sku: str, clock: Clock) -> Reaction:
    """A line was reserved after all, and nobody wants it any more."""
    if state.step not in (UNDOING, CLOSING, CANCELLED) or sku in (*state.releasing, *state.reserved):
        return NOTHING  # its release is on its way, or will be
    return release(state, (sku,), clock)


def refund(state: Fulfilment, clock: Clock, reason: str) -> Reaction:
    """Ask for the charge back."""
    attempt = state.refunds + 1
    started = RefundStarted(order_id=state.order_id, attempt=attempt, due=retry_due(clock, attempt))
    return Reaction((started,), ((f"refund/{attempt}", RefundPayment(order_id=state.order_id, reason=reason)),))


def release(state: Fulfilment, skus: tuple[str, ...], clock: Clock) -> Reaction:
    """Ask for lines to be released."""
    attempt = state.releases + 1
    started = ReleaseStarted(order_id=state.order_id, skus=skus, attempt=attempt, due=retry_due(clock, attempt))
    return Reaction(
        (started,), tuple((f"release/{sku}/{attempt}", ReleaseStock(sku=sku, order_id=state.order_id)) for sku in skus)
    )


def close(state: Fulfilment, reason: str, attempt: int, clock: Clock) -> Reaction:
    """Ask for the order to be closed."""
    started = ClosingStarted(order_id=state.order_id, attempt=attempt, due=retry_due(clock, attempt))
    return Reaction((started,), ((f"close/{attempt}", CloseOrder(order_id=state.order_id, reason=reason)),))


def _cancelled(state: Fulfilment) -> FulfilmentCancelled:
    return FulfilmentCancelled(order_id=state.order_id, reason=state.reason)


def _and(reaction: Reaction, *before: Event) -> Reaction:
    return Reaction((*before, *reaction.facts), reaction.commands)
