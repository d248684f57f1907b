"""The saga live, over real topics: orders that come to their end, and deadlines that outlive their worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from eventlog.codec import Codec
from eventlog.envelope import command_headers
from eventlog.message import Command, Tick
from eventlog.partition import partition_of
from eventlog.settings import Settings
from processors.fulfilment import SAGA
from projections.reader import Reader
from schemas.fulfilment import FULFILMENT
from schemas.inventory import INVENTORY, ReceiveStock
from schemas.orders import ORDERS, AskedLine, PlaceOrder
from schemas.payments import PAYMENTS, SettleCharge, SettleRefund
from tests.backing import Backing
from tests.runtime.harness import Workers, header, publish, read_all, wait_until

ROLES = ("orders.decider", "inventory.decider", "payments.decider", "fulfilment")
CONFIRMED = [
    "FulfilmentStarted", "LineReserved", "ChargeStarted", "ChargeEnded", "ConfirmationStarted", "ShippingStarted",
    "LineShipped", "FulfilmentConfirmed",
]  # fmt: skip
TIMED_OUT = [
    "FulfilmentStarted", "LineReserved", "ChargeStarted", "DeadlinePassed", "CompensationStarted", "RefundStarted",
    "RefundEnded", "ReleaseStarted", "LineReleased", "ClosingStarted", "FulfilmentCancelled",
]  # fmt: skip
TIMEOUT_S = 100
PATIENT = "fulfilment.reservation=600,fulfilment.retry=600,fulfilment.payment="
"""Nothing but payments passes its deadline here, however long a busy machine takes for the rest."""


@pytest.fixture
def workers(backing: Backing, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(dict(backing.env), tmp_path, "deploy.worker")
    yield started
    started.stop()


class Shop:
    """Orders of one test, of one product of their own."""

    def __init__(self, settings: Settings, codec: Codec, workers: Workers) -> None:
        self.settings, self.codec, self.workers = settings, codec, workers
        self.mark = uuid.uuid4().hex
        self.send(ReceiveStock(sku=self.mark, quantity="10"))

    def send(self, command: Command) -> None:
        domain = next(d for d in (ORDERS, INVENTORY, PAYMENTS) if type(command) in d.commands)
        publish(self.settings, self.codec, domain.topic("commands"), [(uuid.uuid4().hex, command)])

    def place(self, name: str) -> str:
        order = f"{name}-{self.mark}"
        line = AskedLine(sku=self.mark, quantity="2", unit_price="4.50")
        self.send(PlaceOrder(order_id=order, customer_id="ada", currency="GBP", lines=(line,)))
        return order

    def facts(self, order: str) -> list[str]:
        """Types of what the saga says of an order."""
        records = read_all(self.settings, FULFILMENT.topic("events"))
        return [header(record, "ce_type") for record in records if record.key == order.encode()]

    def wait(self, order: str, kind: str) -> None:
        wait_until(lambda: kind in self.facts(order), TIMEOUT_S, f"{kind} of {order}", self.workers.logs)

    def settle(self, order: str) -> None:
        """What the provider would have said."""
        self.send(SettleCharge(order_id=order, outcome="charged", provider_reference="c"))

    def settle_refund(self, order: str) -> None:
        self.wait(order, "RefundStarted")
        self.settle(order)
        self.send(SettleRefund(order_id=order, outcome="refunded", provider_reference="r"))

    def move_clock(self, order: str, length: timedelta) -> None:
        """Tell the saga of an order that it is later than it is."""
        at, name = datetime.now(UTC) + length, SAGA.name
        producer = Producer({"bootstrap.servers": self.settings.kafka, "log_level": 0})
        headers = command_headers(uuid.uuid4().hex, "test", Tick.__name__, name, at)
        value = self.codec.encode(Tick(saga=name, at=at))
        partition = partition_of(order.encode(), SAGA.source.partitions)
        producer.produce(SAGA.source.name, value, name, partition=partition, headers=headers)  # type: ignore[arg-type]
        assert producer.flush(60) == 0

    def stock(self) -> tuple[int, int, int]:
        """On hand, reserved, shipped."""
        topic = INVENTORY.topic("events")
        last = [r for r in read_all(self.settings, topic) if r.key == self.mark.encode()][-1]
        (event,) = self.codec.messages(last.value, topic)
        return event.on_hand, event.reserved, event.shipped  # type: ignore[attr-defined]


def row_of(reader: Reader, order: str) -> str | None:
    """How the order ended, as its row of `sagas` says."""
    found: Any = reader.read("sagas", order)
    return str(found["ended"]) if found else None


def test_orders_end_and_deadlines_outlive_their_worker(settings: Settings, codec: Codec, workers: Workers) -> None:
    workers.env["ONEFACT_DEADLINES"] = f"{PATIENT}3600"
    workers.start("saga", *ROLES)
    workers.wait_ready()
    shop = Shop(settings, codec, workers)
    paid, waiting = shop.place("paid"), shop.place("waiting")
    shop.wait(paid, "ChargeStarted")
    shop.settle(paid)
    shop.wait(paid, "FulfilmentConfirmed")
    shop.wait(waiting, "ChargeStarted")
    workers.kill("saga")

    workers.env["ONEFACT_DEADLINES"] = f"{PATIENT}2"
    workers.start("saga")
    workers.wait_ready()
    late = shop.place("late")  # nobody but the saga's own alarm says that its time is over
    shop.settle_refund(late)
    shop.wait(late, "FulfilmentCancelled")
    assert "DeadlinePassed" not in shop.facts(waiting), "it has an hour, whatever others have now"
    shop.move_clock(waiting, timedelta(hours=1))
    shop.settle_refund(waiting)
    shop.wait(waiting, "FulfilmentCancelled")

    assert {order: shop.facts(order) for order in (paid, late, waiting)} == {
        paid: CONFIRMED,
        late: TIMED_OUT,
        waiting: TIMED_OUT,
    }
    assert shop.stock() == (8, 0, 2)
    ends = {paid: "confirmed", late: "cancelled", waiting: "cancelled"}
    with Reader(settings) as reader:
        wait_until(lambda: {order: row_of(reader, order) for order in ends} == ends, TIMEOUT_S, "rows", workers.logs)
