"""Commands to try orders with: stock comes in, orders are placed, some cannot be met, paid or are cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from eventlog.envelope import time_text
from eventlog.roles import Source
from schemas.inventory import INVENTORY
from schemas.orders import ORDERS
from schemas.payments import PAYMENTS

SAMPLE_START = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)
SAMPLE_PRICES = {"lamp": "24.90", "mug": "6.50", "notebook": "3.20", "rug": "89.00", "tea": "4.75", "vase": "31.00"}
_STEP = timedelta(seconds=20)

Command = tuple[str, dict[str, Any]]


def sample(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """`count` commands as CloudEvents, 20 s apart; the same ones for the same seed.

    Customers are named after how the provider behaves towards them; see `producers.payments`.
    """
    for number, (kind, data) in zip(range(count), _commands(seed), strict=False):
        yield {
            "specversion": "1.0",
            "type": kind,
            "id": f"orders-{seed}-{number:06d}",
            "source": "onefact/sample",
            "time": time_text(SAMPLE_START + number * _STEP),
            "data": data,
        }


def _commands(seed: int) -> Iterator[Command]:
    draw = Random(seed)  # noqa: S311 - a sample, not a secret
    number = 0
    while True:
        for sku in SAMPLE_PRICES:
            yield "ReceiveStock", {"sku": sku, "quantity": str(draw.randint(40, 60))}
        for story in (_bought, _bought, _declined, _bought, _too_many, _lost, _slow, _cancelled, _wrong):
            number += 1
            yield from story(f"o{seed}-{number:05d}", draw)


def _bought(order: str, draw: Random) -> Iterator[Command]:
    yield _place(order, f"customer-{draw.randrange(20):02d}", draw)


def _too_many(order: str, draw: Random) -> Iterator[Command]:
    """There are not as many as that; what was reserved beside it is released."""
    kind, data = _place(order, f"customer-{draw.randrange(20):02d}", draw)
    data["lines"][-1]["quantity"] = "1000000"
    yield kind, data


def _declined(order: str, draw: Random) -> Iterator[Command]:
    yield _place(order, "declined", draw)


def _lost(order: str, draw: Random) -> Iterator[Command]:
    """The provider's answer is lost, and it has charged nothing."""
    yield _place(order, "lost", draw)


def _slow(order: str, draw: Random) -> Iterator[Command]:
    """The provider answers when nobody waits any more."""
    yield _place(order, "slow", draw)


def _cancelled(order: str, draw: Random) -> Iterator[Command]:
    """Cancelled while the charge was pending; the refund is known at the second attempt only."""
    yield _place(order, "silent", draw)
    yield "CancelOrder", {"order_id": order, "reason": "changed my mind"}
    yield "SettleRefund", {"order_id": order, "outcome": "failed", "reason": "the provider is away"}
    yield "SettleRefund", {"order_id": order, "outcome": "refunded", "provider_reference": f"refund of {order}"}


def _wrong(order: str, draw: Random) -> Iterator[Command]:
    """What is refused."""
    _, data = _place(order, "customer-00", draw)
    line = data["lines"][0]
    yield "PlaceOrder", data | {"lines": []}
    yield "PlaceOrder", data | {"lines": [line | {"quantity": draw.choice(("0", "-1", "1.5", "some"))}]}
    yield "PlaceOrder", data | {"lines": [line, line]}
    yield "PlaceOrder", data | {"currency": "XXX"}
    yield "PlaceOrder", data | {"customer_id": draw.choice(("", "a\0b", "\u202eabc"))}
    yield "CancelOrder", {"order_id": order, "reason": "never placed"}
    yield "SettleCharge", {"order_id": order, "outcome": "charged"}


def _place(order: str, customer: str, draw: Random) -> Command:
    skus = draw.sample(sorted(SAMPLE_PRICES), draw.randint(2, 4))
    lines = [{"sku": sku, "quantity": str(draw.randint(1, 5)), "unit_price": SAMPLE_PRICES[sku]} for sku in skus]
    return "PlaceOrder", {"order_id": order, "customer_id": customer, "currency": "GBP", "lines": lines}


SOURCE = Source(domain=ORDERS, sample=sample, also=(INVENTORY, PAYMENTS))
