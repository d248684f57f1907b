"""An order is confirmed once all of it is reserved and paid; else everything that was done for it is undone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from eventlog.decimals import text
from eventlog.envelope import Meta
from eventlog.message import CommandRejected, DeadlinePassed, Event
from eventlog.sagas import Clock, Reaction, Saga
from processors.fulfilment.instance import (
    CHARGING,
    CLOSING,
    CONFIRMING,
    REFUNDING,
    RESERVING,
    SHIPPING,
    Fulfilment,
    evolve,
)
from processors.fulfilment.undoing import (
    NOTHING,
    again,
    compensate,
    late_charge,
    late_reservation,
    retry_due,
    undo_next,
)
from schemas.fulfilment import (
    FULFILMENT,
    ChargeEnded,
    ChargeStarted,
    ConfirmationStarted,
    FulfilmentCancelled,
    FulfilmentConfirmed,
    FulfilmentStarted,
    LineRefused,
    LineReleased,
    LineReserved,
    LineShipped,
    RefundEnded,
    RefundPostponed,
    ShippingStarted,
    Wanted,
)
from schemas.inventory import (
    INVENTORY,
    ReserveStock,
    ShipStock,
    StockReleased,
    StockReserved,
    StockShipped,
)
from schemas.orders import ORDERS, ConfirmOrder, OrderCancelled, OrderCancelRequested, OrderConfirmed, OrderPlaced
from schemas.payments import (
    PAYMENTS,
    ChargePayment,
    PaymentCharged,
    PaymentDeclined,
    PaymentFailed,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
)

PREFIX = f"{FULFILMENT.name}/"

Seen = (
    OrderPlaced
    | OrderCancelRequested
    | OrderConfirmed
    | OrderCancelled
    | StockReserved
    | StockReleased
    | StockShipped
    | PaymentCharged
    | PaymentDeclined
    | PaymentFailed
    | PaymentRefunded
    | PaymentVoided
    | RefundFailed
)
"""Facts that are reacted to, beside refusals of the saga's own commands."""
UNDOABLE = (RESERVING, CHARGING, CONFIRMING)


def key(event: Any, meta: Meta) -> str | None:
    """The order: facts name it, and refusals have it as their correlation if the command was one of fulfilment's."""
    if isinstance(event, CommandRejected):
        return meta.correlation if meta.causation.startswith(f"{PREFIX}{meta.correlation}/") else None
    return event.order_id if isinstance(event, Seen) else None


def react(event: Seen | CommandRejected | DeadlinePassed, state: Fulfilment | None, clock: Clock) -> Reaction:
    """What comes next. What is not waited for any more is undone if it has to be, and else passed over."""
    if state is None:
        return _start(event, clock) if isinstance(event, OrderPlaced) else NOTHING
    match event:
        case StockReserved() | StockReleased() | StockShipped():
            return _on_stock(event, state, clock)
        case CommandRejected():
            return _on_refusal(event, state, clock)
        case DeadlinePassed():
            return _on_deadline(state, clock)
        case OrderPlaced() | OrderCancelRequested() | OrderConfirmed() | OrderCancelled():
            return _on_order(event, state, clock)
        case _:
            return _on_payment(event, state, clock)


def due(state: Fulfilment) -> datetime | None:
    """Until when the fulfilment waits."""
    return state.due


SAGA = Saga(
    domain=FULFILMENT,
    sources=tuple(domain.topic(kind) for domain in (ORDERS, INVENTORY, PAYMENTS) for kind in ("events", "rejections")),
    targets=(ORDERS, INVENTORY, PAYMENTS),
    key=key,
    react=react,
    evolve=evolve,
    due=due,
    state=Fulfilment,
    deadlines={
        "reservation": timedelta(seconds=30),
        "payment": timedelta(seconds=60),
        "retry": timedelta(seconds=30),
    },
)


def _start(placed: OrderPlaced, clock: Clock) -> Reaction:
    order = placed.order_id
    started = FulfilmentStarted(
        order_id=order, customer_id=placed.customer_id, currency=placed.currency, total=placed.total,
        lines=tuple(Wanted(sku=line.sku, quantity=line.quantity) for line in placed.lines),
        due=clock.due("reservation"),
    )  # fmt: skip
    reservations = tuple(
        (f"reserve/{line.sku}", ReserveStock(sku=line.sku, order_id=order, quantity=str(line.quantity)))
        for line in placed.lines
    )
    return Reaction((started,), reservations)


def _on_stock(event: StockReserved | StockReleased | StockShipped, state: Fulfilment, clock: Clock) -> Reaction:
    sku = event.sku
    match event:
        case StockReserved():
            if state.step != RESERVING or sku not in state.open:
                return late_reservation(state, sku, clock)
            reserved = LineReserved(order_id=state.order_id, sku=sku)
            return Reaction((reserved,)) if len(state.open) > 1 else _charge(state, reserved, clock)
        case StockReleased():
            if sku not in state.releasing:
                return NOTHING
            return undo_next(state, LineReleased(order_id=state.order_id, sku=sku), clock)
        case StockShipped():
            return _shipped(state, sku, "")


def _charge(state: Fulfilment, reserved: LineReserved, clock: Clock) -> Reaction:
    """The last line is reserved: charge."""
    command = ChargePayment(
        order_id=state.order_id, payment_id=f"{PREFIX}{state.order_id}/charge", customer_id=state.customer_id,
        amount=text(state.total), currency=state.currency,
    )  # fmt: skip
    return Reaction(
        (reserved, ChargeStarted(order_id=state.order_id, due=clock.due("payment"))), (("charge", command),)
    )


def _on_payment(
    event: PaymentCharged | PaymentDeclined | PaymentFailed | PaymentRefunded | PaymentVoided | RefundFailed,
    state: Fulfilment,
    clock: Clock,
) -> Reaction:
    match event:
        case PaymentCharged():
            if state.step != CHARGING:
                return late_charge(state, clock)
            ended = ChargeEnded(order_id=state.order_id, outcome="charged", reason="")
            return _confirm(state, 1, clock, ended)
        case PaymentDeclined() | PaymentFailed():
            if state.step != CHARGING:
                return NOTHING
            outcome = "declined" if isinstance(event, PaymentDeclined) else "failed"
            return _not_charged(state, outcome, event.reason, clock)
        case PaymentRefunded() | PaymentVoided():
            if state.charge != REFUNDING:
                return NOTHING
            outcome = "refunded" if isinstance(event, PaymentRefunded) else "nothing"
            return undo_next(state, RefundEnded(order_id=state.order_id, outcome=outcome), clock)
        case RefundFailed():
            postponed = RefundPostponed(order_id=state.order_id, reason=event.reason)
            return Reaction((postponed,)) if state.charge == REFUNDING else NOTHING


def _not_charged(state: Fulfilment, outcome: str, reason: str, clock: Clock) -> Reaction:
    ended = ChargeEnded(order_id=state.order_id, outcome=outcome, reason=reason)
    return compensate(evolve(state, ended, clock.now), f"payment {outcome}: {reason}", clock, ended)


def _on_order(
    event: OrderPlaced | OrderCancelRequested | OrderConfirmed | OrderCancelled, state: Fulfilment, clock: Clock
) -> Reaction:
    match event:
        case OrderCancelRequested() if state.step in UNDOABLE:
            # Where the order was asked to be confirmed, that will be refused: the request was there before.
            return compensate(state, f"cancelled by the customer: {event.reason}", clock)
        case OrderConfirmed() if state.step == CONFIRMING:
            return _ship(state, tuple(state.lines), 1, clock)
        case OrderCancelled() if state.step == CLOSING:
            return Reaction((FulfilmentCancelled(order_id=state.order_id, reason=state.reason),))
        case _:
            return NOTHING


def _on_refusal(refusal: CommandRejected, state: Fulfilment, clock: Clock) -> Reaction:
    why = f"{refusal.code}: {refusal.reason}"
    match refusal.command_type, state.step:
        case "ReserveStock", "reserving" if refusal.subject in state.open:
            refused = LineRefused(
                order_id=state.order_id, sku=refusal.subject, code=refusal.code, reason=refusal.reason
            )
            return compensate(evolve(state, refused, clock.now), why, clock, refused)
        case "ChargePayment", "charging":
            return _not_charged(state, "refused", why, clock)
        case "ConfirmOrder", "confirming":
            return compensate(state, why, clock)
        case "ShipStock", _:
            return _shipped(state, refusal.subject, why)
        case "CloseOrder", "closing":
            return Reaction((FulfilmentCancelled(order_id=state.order_id, reason=f"{state.reason}; {why}"),))
        case "ReleaseStock", _ if refusal.subject in state.releasing:
            # What has left cannot be released: there is nothing that it could wait for.
            return undo_next(state, LineReleased(order_id=state.order_id, sku=refusal.subject), clock)
        case _:
            return NOTHING


def _on_deadline(state: Fulfilment, clock: Clock) -> Reaction:
    match state.step:
        case "reserving":
            return compensate(state, "not every line was answered in time", clock)
        case "charging":
            return compensate(state, "payments did not answer in time", clock)
        case "confirming":
            return _confirm(state, state.attempt + 1, clock)
        case "shipping":
            return _ship(state, state.open, state.attempt + 1, clock)
        case _:
            return again(state, clock)


def _confirm(state: Fulfilment, attempt: int, clock: Clock, *facts: Event) -> Reaction:
    started = ConfirmationStarted(order_id=state.order_id, attempt=attempt, due=retry_due(clock, attempt))
    return Reaction((*facts, started), ((f"confirm/{attempt}", ConfirmOrder(order_id=state.order_id)),))


def _ship(state: Fulfilment, skus: tuple[str, ...], attempt: int, clock: Clock) -> Reaction:
    started = ShippingStarted(order_id=state.order_id, attempt=attempt, due=retry_due(clock, attempt))
    return Reaction(
        (started,),
        tuple((f"ship/{sku}/{attempt}", ShipStock(sku=sku, order_id=state.order_id)) for sku in skus),
    )


def _shipped(state: Fulfilment, sku: str, problem: str) -> Reaction:
    if state.step != SHIPPING or sku not in state.open:
        return NOTHING
    shipped = LineShipped(order_id=state.order_id, sku=sku, problem=problem)
    return Reaction((shipped,) if len(state.open) > 1 else (shipped, FulfilmentConfirmed(order_id=state.order_id)))
