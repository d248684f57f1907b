"""What orders, inventory and payments decide: each command does it, refuses it, or stays quiet."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from eventlog.testing import Scenario
from processors.inventory import DECIDER as INVENTORY
from processors.inventory import ENDED_MAX
from processors.orders import DECIDER as ORDERS
from processors.orders.decider import LINES_MAX
from processors.payments import DECIDER as PAYMENTS
from schemas.inventory import ReceiveStock, ReleaseStock, ReserveStock, ShipStock, StockReceived
from schemas.orders import CancelOrder, CloseOrder, ConfirmOrder, CustomerNotified
from schemas.payments import (
    ChargePayment,
    ChargeRequested,
    PaymentDeclined,
    PaymentFailed,
    PaymentVoided,
    RefundFailed,
    RefundPayment,
    RefundPending,
    RefundRequested,
    SettleCharge,
    SettleRefund,
)
from tests.orders.words import (
    CURRENCY,
    CUSTOMER,
    ORDER,
    PAYMENT,
    TOTAL,
    asked,
    cancel_requested,
    cancelled,
    charged,
    confirmed,
    place,
    placed,
    refunded,
)

PLACED = Scenario(ORDERS).given(placed())


def test_an_order_is_placed_with_its_total() -> None:
    Scenario(ORDERS).when(place()).then(placed())


def test_an_order_is_placed_once() -> None:
    PLACED.when(place()).then_refused("already_placed")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (msgspec.structs.replace(place(), lines=()), "no_lines"),
        (place(*(asked(f"s{n}", "1") for n in range(LINES_MAX + 1))), "too_many_lines"),
        (place(asked(), asked()), "duplicate_sku"),
        (place(asked(quantity="0")), "not_positive"),
        (place(asked(quantity="-3")), "not_positive"),
        (place(asked(quantity="1.5")), "not_whole"),
        (place(asked(quantity="two")), "not_a_number"),
        (place(asked(quantity="NaN")), "not_a_number"),
        (place(asked(quantity="1e10")), "too_large"),
        (place(asked(price="-0.01")), "negative_price"),
        (place(asked(price="0")), "not_positive"),
        (place(asked(price="1e26")), "too_many_digits"),
        (place(asked(quantity="1000000000", price="99999999999999999999999999")), "too_large"),
        (place(currency="XXX"), "unknown_currency"),
        (place(currency="gbp"), "unknown_currency"),
        (place(currency="'; drop table orders; --"), "unknown_currency"),
        (place(customer="a\0b"), "bad_customer_id"),
        (place(customer="\u202eada"), "bad_customer_id"),
        (place(customer=""), "bad_customer_id"),
        (place(order=" o1"), "bad_order_id"),
        (place(order="x" * 129), "bad_order_id"),
        (place(asked(sku="a\nb")), "bad_sku"),
        (place(asked(sku="")), "bad_sku"),
    ],
)  # fmt: skip
def test_what_is_no_order_is_refused(command: object, code: str) -> None:
    Scenario(ORDERS).when(command).then_refused(code)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ['o"1', "'; DROP TABLE orders; --", "`) MATCH (n) DETACH DELETE n //", "注文", "a b"])
def test_names_of_any_script_and_quotes_are_text(name: str) -> None:
    done = Scenario(ORDERS).when(place(asked(sku=name), customer=name, order=name))
    assert isinstance(done.outcome, tuple)
    assert done.outcome[0].stream == name


def test_a_thousand_lines_are_an_order() -> None:
    done = Scenario(ORDERS).when(place(*(asked(f"s{n}", "1", "0.001") for n in range(LINES_MAX))))
    assert done.state.total == 1


def test_an_order_is_cancelled_until_it_is_confirmed() -> None:
    cancel = CancelOrder(order_id=ORDER, reason="too late")
    wanted = PLACED.when(cancel).then(cancel_requested())
    wanted.when(cancel).then_refused("already_cancelling")
    PLACED.given(confirmed()).when(cancel).then_refused("already_confirmed")
    PLACED.given(cancelled()).when(cancel).then_refused("already_cancelled")
    Scenario(ORDERS).when(cancel).then_refused("unknown_order")
    PLACED.when(CancelOrder(order_id=ORDER, reason="")).then_refused("bad_reason")
    PLACED.when(CancelOrder(order_id=ORDER, reason="a\0b")).then_refused("bad_reason")


def test_a_confirmed_order_says_so_to_its_customer_once() -> None:
    confirm = ConfirmOrder(order_id=ORDER)
    told = CustomerNotified(
        order_id=ORDER, customer_id=CUSTOMER, kind="confirmed", text="Your order o1 is confirmed. You paid 17.75 GBP."
    )
    PLACED.when(confirm).then(confirmed(), told).when(confirm).then_nothing()
    PLACED.given(cancel_requested()).when(confirm).then_refused("already_cancelling")
    PLACED.given(cancelled()).when(confirm).then_refused("already_cancelled")


def test_a_closed_order_says_so_to_its_customer_once() -> None:
    close = CloseOrder(order_id=ORDER, reason="too\0 late")
    done = PLACED.given(cancel_requested()).when(close)
    assert isinstance(done.outcome, tuple)
    assert [type(event).__name__ for event in done.outcome] == ["OrderCancelled", "CustomerNotified"]
    assert done.outcome[0].reason == "too  late"  # type: ignore[attr-defined]
    done.when(close).then_nothing()
    PLACED.given(confirmed()).when(close).then_refused("already_confirmed")


def stock(on_hand: int = 10) -> Scenario:
    received = StockReceived(sku="mug", quantity=on_hand, on_hand=on_hand, reserved=0, shipped=0)
    return Scenario(INVENTORY).given(received)


def reserve(quantity: str = "4", order: str = ORDER) -> ReserveStock:
    return ReserveStock(sku="mug", order_id=order, quantity=quantity)


RELEASE, SHIP = ReleaseStock(sku="mug", order_id=ORDER), ShipStock(sku="mug", order_id=ORDER)


def levels(scenario: Scenario) -> tuple[int, int, int]:
    """On hand, reserved and shipped, as the last event says."""
    assert isinstance(scenario.outcome, tuple), scenario.outcome
    last: object = scenario.outcome[-1]
    state = scenario.state
    found = tuple(getattr(last, name) for name in ("on_hand", "reserved", "shipped"))
    assert found == (state.on_hand, sum(state.reserved.values()), state.shipped)
    return found


def test_stock_is_received_reserved_and_shipped() -> None:
    assert levels(Scenario(INVENTORY).when(ReceiveStock(sku="mug", quantity="7"))) == (7, 0, 0)
    kept = stock().when(reserve())
    assert levels(kept) == (10, 4, 0)
    gone = kept.when(SHIP)
    assert levels(gone) == (6, 0, 4)
    gone.when(SHIP).then_nothing()
    gone.when(RELEASE).then_refused("already_shipped")
    gone.when(reserve()).then_refused("already_shipped")


def test_no_more_is_reserved_than_there_is() -> None:
    stock().when(reserve("11")).then_refused("insufficient_stock")
    kept = stock().when(reserve("6"))
    kept.when(reserve("5", "o2")).then_refused("insufficient_stock")
    assert levels(kept.when(reserve("4", "o2"))) == (10, 10, 0)
    kept.when(reserve("6")).then_nothing()
    kept.when(reserve("5")).then_refused("already_reserved")
    Scenario(INVENTORY).when(reserve()).then_refused("insufficient_stock")


def test_a_release_has_one_effect_however_often_it_comes() -> None:
    done = stock().when(reserve()).when(RELEASE)
    assert levels(done) == (10, 0, 0)
    done.when(RELEASE).then_nothing()
    done.when(SHIP).then_refused("not_reserved")


def test_a_release_that_comes_first_keeps_the_reservation_from_sticking() -> None:
    done = stock().when(RELEASE)
    assert levels(done) == (10, 0, 0)
    done.when(reserve()).then_refused("already_released")
    assert levels(done.when(reserve(order="o2"))) == (10, 4, 0)


def test_of_what_has_ended_the_oldest_is_forgotten() -> None:
    after = stock().when(RELEASE)
    for number in range(ENDED_MAX - 1):
        after = after.when(ReleaseStock(sku="mug", order_id=f"x{number}"))
    after.when(reserve()).then_refused("already_released")
    after = after.when(ReleaseStock(sku="mug", order_id="one more"))
    assert len(after.state.ended) == ENDED_MAX
    assert levels(after.when(reserve())) == (10, 4, 0)


@pytest.mark.parametrize(
    ("quantity", "code"),
    [("0", "not_positive"), ("-1", "not_positive"), ("0.5", "not_whole"), ("x", "not_a_number"), ("1e10", "too_large")],
)
def test_a_quantity_that_is_none_is_refused(quantity: str, code: str) -> None:
    Scenario(INVENTORY).when(ReceiveStock(sku="mug", quantity=quantity)).then_refused(code)
    stock().when(reserve(quantity)).then_refused(code)


def test_a_product_and_an_order_have_names() -> None:
    Scenario(INVENTORY).when(ReceiveStock(sku="m\0", quantity="1")).then_refused("bad_sku")
    stock().when(reserve(order="")).then_refused("bad_order_id")


CHARGE = ChargePayment(
    order_id=ORDER, payment_id=PAYMENT, customer_id=CUSTOMER, amount="17.75", currency=CURRENCY
)  # fmt: skip
REFUND = RefundPayment(order_id=ORDER, reason="too late")
REQUESTED = ChargeRequested(
    order_id=ORDER, payment_id=PAYMENT, customer_id=CUSTOMER, amount=TOTAL, currency=CURRENCY
)  # fmt: skip
PENDING = Scenario(PAYMENTS).given(REQUESTED)
DECLINED = PaymentDeclined(order_id=ORDER, payment_id=PAYMENT, reason="")
FAILED = PaymentFailed(order_id=ORDER, payment_id=PAYMENT, reason="")


def settle(outcome: str, reference: str = "") -> SettleCharge:
    return SettleCharge(order_id=ORDER, outcome=outcome, provider_reference=reference)


def settle_refund(outcome: str, reference: str = "") -> SettleRefund:
    return SettleRefund(order_id=ORDER, outcome=outcome, provider_reference=reference)


def refund_requested(reference: str = "c-1", reason: str = "too late") -> RefundRequested:
    return RefundRequested(
        order_id=ORDER, payment_id=PAYMENT, customer_id=CUSTOMER, amount=TOTAL, currency=CURRENCY,
        provider_reference=reference, reason=reason,
    )  # fmt: skip


def test_a_charge_is_requested_once_and_then_settled() -> None:
    Scenario(PAYMENTS).when(CHARGE).then(REQUESTED).when(CHARGE).then_refused("already_requested")
    PENDING.when(settle("charged", "c-1")).then(charged()).when(settle("charged", "c-2")).then_nothing()
    PENDING.when(settle("declined")).then(DECLINED).when(settle("failed")).then_nothing()
    PENDING.when(settle("failed")).then(FAILED).when(settle("charged", "c-1")).then(charged())
    PENDING.when(settle("maybe")).then_refused("bad_outcome")
    Scenario(PAYMENTS).when(settle("charged")).then_refused("unknown_payment")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": "0"}, "not_positive"), ({"amount": "-1"}, "not_positive"), ({"amount": "much"}, "not_a_number"),
        ({"amount": "1e30"}, "too_many_digits"), ({"currency": "pounds"}, "bad_currency"),
        ({"order_id": ""}, "bad_order_id"), ({"payment_id": ""}, "bad_payment_id"),
        ({"customer_id": "\0"}, "bad_customer_id"),
    ],
)  # fmt: skip
def test_what_is_no_charge_is_refused(change: dict[str, str], code: str) -> None:
    Scenario(PAYMENTS).when(msgspec.structs.replace(CHARGE, **change)).then_refused(code)


def test_what_was_charged_is_given_back_once() -> None:
    asked_back = PENDING.given(charged()).when(REFUND).then(refund_requested())
    asked_back.when(REFUND).then_nothing()
    done = asked_back.when(settle_refund("refunded", "r-1")).then(refunded())
    done.when(REFUND).then_nothing()
    done.when(settle_refund("refunded", "r-2")).then_nothing()


def test_a_refund_that_is_not_known_is_asked_for_again() -> None:
    failed = PENDING.given(charged()).when(REFUND).when(settle_refund("failed"))
    failed.then(RefundFailed(order_id=ORDER, payment_id=PAYMENT, reason=""))
    failed.when(settle_refund("failed")).then_nothing()
    failed.when(REFUND).then(refund_requested()).when(settle_refund("refunded", "r-1")).then(refunded())
    failed.when(settle_refund("refunded", "r-1")).then(refunded())


def test_a_charge_in_flight_is_undone_whatever_it_comes_to() -> None:
    unwanted = PENDING.when(REFUND).then(RefundPending(order_id=ORDER, reason="too late"))
    unwanted.when(REFUND).then_nothing()
    reason = "the charge was no longer wanted"
    unwanted.when(settle("charged", "c-1")).then(charged(), refund_requested(reason=reason))
    unwanted.when(settle("failed")).then(FAILED, refund_requested("", reason))
    unwanted.when(settle("declined")).then(DECLINED, PaymentVoided(order_id=ORDER, reason="the charge was declined"))


def test_a_refund_that_comes_first_keeps_the_charge_away() -> None:
    done = Scenario(PAYMENTS).when(REFUND).then(PaymentVoided(order_id=ORDER, reason="too late"))
    done.when(REFUND).then_nothing()
    done.when(CHARGE).then_refused("refunded_before")
    done.when(settle("charged")).then_refused("unknown_payment")


def test_a_charge_that_comes_to_light_after_all_is_news() -> None:
    lost = PENDING.given(FAILED).when(REFUND).then(refund_requested(""))
    void = lost.when(settle_refund("nothing"))
    void.then(PaymentVoided(order_id=ORDER, reason="the provider knows no charge"))
    again = void.when(settle("charged", "c-1")).then(charged())
    again.when(REFUND).then(refund_requested())
    PENDING.given(DECLINED).when(REFUND).then(PaymentVoided(order_id=ORDER, reason="too late"))
    assert again.state.amount == Decimal("17.75")
