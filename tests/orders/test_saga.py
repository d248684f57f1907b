"""What fulfilment does about each thing that can happen, and when nothing does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from eventlog.envelope import Meta
from eventlog.message import Event
from eventlog.testing import NOON, SagaScenario
from processors.fulfilment import SAGA
from schemas.fulfilment import FulfilmentCancelled, LineReleased, RefundEnded
from schemas.inventory import ReleaseStock, ReserveStock, ShipStock, StockReceived
from schemas.orders import CloseOrder, ConfirmOrder, CustomerNotified
from schemas.payments import (
    ChargePayment,
    PaymentDeclined,
    PaymentFailed,
    PaymentVoided,
    RefundFailed,
    RefundPayment,
    RefundPending,
)
from tests.orders.words import (
    CURRENCY,
    CUSTOMER,
    ORDER,
    PAYMENT,
    cancel_requested,
    cancelled,
    charged,
    confirmed,
    placed,
    refunded,
    refused,
    released,
    reserved,
    shipped,
)

NEW = SagaScenario(SAGA)
RESERVING = NEW.given(placed())
CHARGING = RESERVING.given(reserved("mug"), reserved("tea"))
CONFIRMING = CHARGING.given(charged())
SHIPPING = CONFIRMING.given(confirmed())
BY_CUSTOMER = "cancelled by the customer: too late"
TEA, MUG = ReleaseStock(sku="tea", order_id=ORDER), ReleaseStock(sku="mug", order_id=ORDER)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def refund(reason: str) -> RefundPayment:
    return RefundPayment(order_id=ORDER, reason=reason)


def close(reason: str) -> CloseOrder:
    return CloseOrder(order_id=ORDER, reason=reason)


def test_every_line_is_reserved_first() -> None:
    NEW.when(placed()).then(
        ReserveStock(sku="mug", order_id=ORDER, quantity="2"), ReserveStock(sku="tea", order_id=ORDER, quantity="1")
    ).then_steps("reserve/mug", "reserve/tea")


def test_then_the_customer_is_charged() -> None:
    half = RESERVING.when(reserved("tea")).then()
    half.when(reserved("tea")).then_nothing()
    half.when(reserved("mug")).then(
        ChargePayment(
            order_id=ORDER, payment_id=PAYMENT, customer_id=CUSTOMER, amount="17.75", currency=CURRENCY
        )
    ).then_steps("charge")  # fmt: skip


def test_then_it_is_confirmed_and_shipped() -> None:
    CHARGING.when(charged()).then(ConfirmOrder(order_id=ORDER))
    CONFIRMING.when(confirmed()).then(ShipStock(sku="mug", order_id=ORDER), ShipStock(sku="tea", order_id=ORDER))
    done = SHIPPING.when(shipped("tea")).then().when(shipped("mug")).then()
    assert (done.state.step, done.state.due, done.state.lines) == ("confirmed", None, {})
    done.when(placed()).then_nothing().after(seconds(1e6)).then_nothing()


def test_a_line_that_is_refused_undoes_the_others() -> None:
    half = RESERVING.given(reserved("mug"))
    why = "insufficient_stock: so it is"
    undoing = half.when(refused("ReserveStock", "tea")).then(MUG)
    undoing.when(released("mug")).then(close(why)).when(cancelled()).then()
    # The answer that is not there yet does not keep it: its reservation lies before the release in the log.
    RESERVING.when(refused("ReserveStock", "tea")).then(MUG).when(reserved("mug")).then_nothing()
    alone = RESERVING.when(refused("ReserveStock", "tea")).when(refused("ReserveStock", "mug")).then_nothing()
    alone.when(released("mug", 0)).then(close(why))


@pytest.mark.parametrize(
    ("answer", "refunds", "why"),
    [
        (PaymentDeclined(order_id=ORDER, payment_id=PAYMENT, reason="no"), False, "payment declined: no"),
        (PaymentFailed(order_id=ORDER, payment_id=PAYMENT, reason="lost"), True, "payment failed: lost"),
        (refused("ChargePayment", code="bad_currency"), True, "payment refused: bad_currency: so it is"),
    ],
)
def test_an_order_that_is_not_paid_is_undone_in_reverse(answer: Event, refunds: bool, why: str) -> None:
    undoing = CHARGING.when(answer)
    if refunds:
        undoing = undoing.then(refund(why)).when(PaymentVoided(order_id=ORDER, reason=""))
    undoing = undoing.then(TEA, MUG).when(released("tea")).then()
    undoing.when(released("mug")).then(close(why)).when(cancelled()).then()


def test_a_cancel_undoes_whatever_was_done() -> None:
    RESERVING.when(cancel_requested()).then(TEA, MUG)
    RESERVING.given(reserved("tea")).when(cancel_requested()).then(MUG, TEA)
    CHARGING.when(cancel_requested()).then(refund(BY_CUSTOMER))
    undoing = CONFIRMING.when(cancel_requested()).then(refund(BY_CUSTOMER))
    undoing.when(refused("ConfirmOrder", code="already_cancelling")).then_nothing()
    undoing = undoing.when(refunded()).then(TEA, MUG)
    closing = undoing.given(released("tea")).when(released("mug")).then(close(BY_CUSTOMER))
    assert closing.when(cancelled()).state.step == "cancelled"


def test_a_confirmation_that_is_refused_is_undone() -> None:
    CONFIRMING.when(refused("ConfirmOrder", code="already_cancelling")).then(refund("already_cancelling: so it is"))


def test_what_is_confirmed_is_not_undone() -> None:
    SHIPPING.when(cancel_requested()).then_nothing()
    problem = SHIPPING.given(shipped("mug")).when(refused("ShipStock", "tea", "not_reserved")).then()
    assert problem.state.step == "confirmed"


def test_reservations_have_thirty_seconds() -> None:
    late = "not every line was answered in time"
    RESERVING.after(seconds(29.999)).then_nothing()
    undoing = RESERVING.given(reserved("tea")).after(seconds(30)).then(MUG, TEA)
    undoing.given(released("tea")).when(released("mug", 0)).then(close(late))
    assert undoing.state.reason == late


def test_a_charge_has_sixty_seconds() -> None:
    CHARGING.after(seconds(59.999)).then_nothing()
    late = CHARGING.after(seconds(60)).then(refund("payments did not answer in time"))
    late = late.when(charged()).then_nothing()  # the refund that was asked for covers it
    late.when(refunded()).then(TEA, MUG)


def test_time_that_other_steps_took_does_not_count() -> None:
    later = RESERVING.after(seconds(29)).given(reserved("mug"), reserved("tea"))
    later.after(seconds(59)).then_nothing()
    assert later.state.due == NOON + seconds(89)


def test_what_has_to_be_is_asked_again_ever_more_seldom() -> None:
    CONFIRMING.after(seconds(30)).then(ConfirmOrder(order_id=ORDER)).then_steps("confirm/2")
    half = SHIPPING.given(shipped("mug")).after(seconds(30))
    half.then(ShipStock(sku="tea", order_id=ORDER)).then_steps("ship/tea/2")
    half.after(seconds(59)).then_nothing()
    half.after(seconds(60)).then_steps("ship/tea/3")
    undoing = CHARGING.given(cancel_requested()).after(seconds(30))
    undoing.then(refund(BY_CUSTOMER)).then_steps("refund/2")
    releasing = undoing.given(refunded(), released("tea")).after(seconds(30)).then(MUG).then_steps("release/mug/2")
    closing = releasing.given(released("mug")).after(seconds(30))
    closing.then(close(BY_CUSTOMER)).then_steps("close/2")
    assert closing.when(cancelled()).state.due is None


def test_a_refund_that_failed_is_asked_for_again_when_the_wait_is_over() -> None:
    failed = CHARGING.given(cancel_requested()).when(RefundFailed(order_id=ORDER, payment_id=PAYMENT, reason="away"))
    failed.then().after(seconds(29)).then_nothing()
    failed.after(seconds(30)).then_steps("refund/2")


CANCELLED = RESERVING.given(refused("ReserveStock", "tea"), released("mug"), cancelled())


def test_what_answers_after_the_end_is_undone() -> None:
    assert (CANCELLED.state.step, CANCELLED.state.due) == ("cancelled", None)
    late = CANCELLED.when(reserved("tea")).then(TEA).then_steps("release/tea/2")
    assert late.state.due is not None
    late.after(seconds(60)).then(TEA).then_steps("release/tea/3")
    done = late.when(released("tea")).then()
    over = FulfilmentCancelled(order_id=ORDER, reason="insufficient_stock: so it is")
    done.then_facts(LineReleased(order_id=ORDER, sku="tea"), over)
    both = late.given(charged()).when(released("tea")).then_facts(LineReleased(order_id=ORDER, sku="tea"))
    both.when(refunded()).then_facts(RefundEnded(order_id=ORDER, outcome="refunded"), over)
    assert (done.state.step, done.state.due) == ("cancelled", None)
    paid = done.when(charged()).then(refund("insufficient_stock: so it is")).then_steps("refund/1")
    assert paid.when(refunded()).then().state.due is None


def test_what_answers_while_the_order_is_closed_is_undone_too() -> None:
    closing = RESERVING.given(refused("ReserveStock", "tea"), released("mug"))
    late = closing.when(charged()).then_steps("refund/1")
    ended = late.when(cancelled()).then()
    assert (ended.state.step, ended.state.due is not None) == ("cancelled", True)
    ended.after(seconds(30)).then_steps("refund/2")
    open_still = late.when(refunded()).then()
    open_still.after(seconds(30)).then_steps("close/2")


def test_what_nobody_placed_is_passed_over() -> None:
    for event in (reserved("mug"), charged(), confirmed(), cancel_requested()):
        NEW.when(event).then_nothing()
    assert NEW.when(charged()).state is None


def meta(causation: str = "c-1", correlation: str = "") -> Meta:
    return Meta("id", "type", "stream", NOON, causation=causation, correlation=correlation)


def test_facts_name_their_order_and_refusals_come_back_by_correlation() -> None:
    assert SAGA.key(reserved("mug"), meta()) == ORDER
    assert SAGA.key(placed(), meta()) == ORDER
    no = refused("ReserveStock", "tea")
    assert SAGA.key(no, meta("fulfilment/o1/reserve/tea", "o1")) == "o1"
    assert SAGA.key(no, meta("fulfilment/a/b/reserve/tea", "a/b")) == "a/b"
    assert SAGA.key(no, meta("somebody's", "o1")) is None
    assert SAGA.key(no, meta("fulfilment/o1/reserve/tea", "o2")) is None
    for nobodys in (
        StockReceived(sku="mug", quantity=1, on_hand=1, reserved=0, shipped=0),
        RefundPending(order_id=ORDER, reason=""),
        CustomerNotified(order_id=ORDER, customer_id=CUSTOMER, kind="confirmed", text=""),
    ):
        assert SAGA.key(nobodys, meta()) is None


def test_what_cannot_be_undone_and_what_was_not_asked_for_hold_up_nothing() -> None:
    undoing = RESERVING.given(reserved("mug"), refused("ReserveStock", "tea"))
    undoing.when(refused("ReleaseStock", "mug", "already_shipped")).then(close("insufficient_stock: so it is"))
    undoing.when(refused("ReleaseStock", "tea", "already_shipped")).then_nothing()
    CHARGING.when(PaymentVoided(order_id=ORDER, reason="")).then_nothing()
    undoing.when(refunded()).then_nothing()
    undoing.when(RefundFailed(order_id=ORDER, payment_id=PAYMENT, reason="")).then_nothing()
