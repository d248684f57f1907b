"""A retailer's orders as they were: all confirmed where the stock covers them, none half done where it does not."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from eventlog.discovery import catalog
from eventlog.roles import Source
from eventlog.testing import Log, run_samples
from producers import payments
from schemas.inventory import INVENTORY, StockReceived
from schemas.orders import ORDERS, CustomerNotified, OrderCancelled, OrderConfirmed, OrderPlaced
from schemas.payments import PAYMENTS, PaymentCharged, PaymentRefunded
from tests.real import ORDERS as REAL_ORDERS
from tests.real import STOCK, needs

FILES = [STOCK, REAL_ORDERS]
PIECES = 6_765
"""Ordered in all, which is what there is."""

pytestmark = needs(*FILES)


def lines_of(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rb") as lines:
        yield from map(msgspec.json.decode, lines)


@cache
def run(share: int) -> Log:
    """All orders, with one piece of each `share` that were there."""

    def sample(_: int, __: int) -> Iterator[dict[str, Any]]:
        for written in lines_of(FILES[0]):
            left = written["data"]["quantity"] // share
            if left:
                yield written | {"data": written["data"] | {"quantity": str(left)}}
        for written in lines_of(FILES[1]):
            # Numbers of the input become text as they are written, the way a publisher does it.
            lines = [line | {"quantity": str(line["quantity"])} for line in written["data"]["lines"]]
            yield written | {"data": written["data"] | {"lines": lines}}

    found = catalog()
    sources = (Source(domain=ORDERS, sample=sample, also=(INVENTORY,)), payments.SOURCE)
    return run_samples(replace(found, sources=sources), 0, 0)


def kinds(log: Log) -> Counter[str]:
    return Counter(type(fact).__name__ for _, fact, _ in log.of([ORDERS.topic("events")]))


def stock(log: Log) -> dict[str, Any]:
    return {fact.stream: fact for _, fact, _ in log.of([INVENTORY.topic("events")])}


def received(log: Log) -> int:
    return sum(fact.quantity for _, fact, _ in log.of([INVENTORY.topic("events")]) if isinstance(fact, StockReceived))


def test_every_order_is_confirmed_and_nothing_is_left() -> None:
    log = run(1)
    assert kinds(log) == {OrderPlaced.__name__: 31, OrderConfirmed.__name__: 31, CustomerNotified.__name__: 31}
    assert len(stock(log)) == 214
    assert {(last.on_hand, last.reserved) for last in stock(log).values()} == {(0, 0)}
    assert sum(last.shipped for last in stock(log).values()) == received(log) == PIECES
    assert not log.refusals


def test_with_half_the_stock_orders_are_cancelled_and_no_piece_and_no_penny_is_lost() -> None:
    log = run(2)
    found = kinds(log)
    assert found[OrderConfirmed.__name__] + found[OrderCancelled.__name__] == 31
    assert 0 < found[OrderConfirmed.__name__] < 31
    left = stock(log).values()
    assert {last.reserved for last in left} == {0}
    assert all(last.on_hand >= 0 for last in left)
    orders = [fact for _, fact, _ in log.of([ORDERS.topic("events")])]
    sold = [fact for fact in orders if isinstance(fact, OrderConfirmed)]
    assert sum(last.shipped for last in left) == sum(line.quantity for order in sold for line in order.lines)
    assert sum(last.on_hand + last.shipped for last in left) == received(log)
    paid = [fact for _, fact, _ in log.of([PAYMENTS.topic("events")])]
    charged = {fact.order_id: fact.amount for fact in paid if isinstance(fact, PaymentCharged)}
    assert charged == {order.order_id: order.total for order in sold}
    assert not any(isinstance(fact, PaymentRefunded) for fact in paid)
