"""Orders that are paid with a provider that fails, drops answers and goes away: its books are our payments.

`ORDERS`, `AWAY_S` and `SEED` in the environment make it another run: `make payments` is the long one.
"""

from __future__ import annotations

import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eventlog.codec import Codec
from eventlog.message import Command
from eventlog.settings import Settings
from eventlog.topics import Domain
from projections import Reader
from schemas.inventory import INVENTORY, ReceiveStock
from schemas.orders import ORDERS, AskedLine, CancelOrder, OrderCancelled, OrderConfirmed, OrderPlaced, PlaceOrder
from schemas.payments import PAYMENTS, PaymentCharged, PaymentRefunded
from tests.backing import Backing
from tests.effects.provider import Provider
from tests.runtime.harness import Workers, publish, read_all, wait_until

DOMAINS = ("orders", "inventory", "payments", "fulfilment")
COUNT = int(os.environ.get("ORDERS", "40"))
AWAY_S = float(os.environ.get("AWAY_S", "3"))
END_S = 240
SKUS, PIECES = 5, 60


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    # Its own seed says which customers it declines, and which of its calls fail.
    started = Provider(tmp_path, settings={"decline": 0.15, "fail": 0.3, "drop": 0.1, "delay_s": 0.1})
    started.start()
    yield started
    started.stop()


@pytest.fixture
def workers(backing: Backing, tmp_path: Path, provider: Provider) -> Iterator[Workers]:
    told = {"URL": provider.url, "PAUSE_S": "1", "DEADLINE_S": "2"}
    env = backing.env | {f"ONEFACT_PAYMENTS_{name}": value for name, value in told.items()}
    started = Workers(env, tmp_path, "deploy.worker")
    yield started
    started.stop()


@dataclass
class Market:
    """Orders and products of one run, told by their names."""

    settings: Settings
    codec: Codec
    mark: str
    rng: random.Random

    def send(self, *commands: Command) -> None:
        for domain in (ORDERS, INVENTORY):
            own = [(uuid.UUID(int=self.rng.getrandbits(128)).hex, c) for c in commands if type(c) in domain.commands]
            publish(self.settings, self.codec, domain.topic("commands"), own)

    def order(self, number: int) -> PlaceOrder:
        skus = self.rng.sample(range(SKUS), self.rng.randint(1, 3))
        lines = tuple(
            AskedLine(sku=f"{self.mark}-{sku}", quantity=str(self.rng.randint(1, 4)), unit_price="2.50") for sku in skus
        )
        name = f"{self.mark}-o{number}"
        return PlaceOrder(order_id=name, customer_id=f"{self.mark}-c{number % 7}", currency="GBP", lines=lines)

    def facts(self, domain: Domain, *kinds: type[Any]) -> list[Any]:
        topic = domain.topic("events")
        records = [r for r in read_all(self.settings, topic) if (r.key or b"").startswith(f"{self.mark}-".encode())]
        return [fact for r in records for fact in self.codec.messages(r.value, topic) if isinstance(fact, kinds)]

    def ends(self) -> dict[str, str]:
        """Confirmed and cancelled orders."""
        return {
            fact.order_id: "confirmed" if isinstance(fact, OrderConfirmed) else "cancelled"
            for fact in self.facts(ORDERS, OrderConfirmed, OrderCancelled)
        }


@pytest.mark.timeout(900)
def test_the_providers_books_are_our_payments(
    settings: Settings, codec: Codec, workers: Workers, provider: Provider
) -> None:
    market = Market(settings, codec, uuid.uuid4().hex[:8], random.Random(provider.seed))
    workers.start("shop", *DOMAINS)
    workers.wait_ready()
    stock = [ReceiveStock(sku=f"{market.mark}-{sku}", quantity=str(PIECES * COUNT // 40)) for sku in range(SKUS)]
    market.send(*stock)
    placed = [market.order(number) for number in range(COUNT)]
    market.send(*placed[: COUNT // 2])
    wait_until(lambda: len(provider.books()["charges"]) > COUNT // 8, END_S, "some paid", workers.logs)
    provider.misbehave(away_s=AWAY_S)
    market.send(*placed[COUNT // 2 :])
    market.send(*(CancelOrder(order_id=o.order_id, reason="too slow") for o in placed[COUNT // 2 :: 5]))
    workers.signal("shop", signal.SIGKILL)
    workers.processes["shop"].wait()
    workers.start("shop")
    wait_until(lambda: len(market.ends()) == COUNT, END_S + AWAY_S, "every order ended", workers.logs)
    tell(market, provider)
    check_money(market, provider)
    check_stock(market, stock)
    check_models(settings, market)


def tell(market: Market, provider: Provider) -> None:
    """What it came to, for whoever runs the long one."""
    by_status = Counter(entry["status"] for entry in books_of(market, provider))
    print(f"orders: {dict(Counter(market.ends().values()))}; the provider's books: {dict(by_status)}")


def books_of(market: Market, provider: Provider) -> list[dict[str, Any]]:
    """What the provider did for our orders; it may have got payments of others that were left waiting, too."""
    books = provider.books()
    return [entry for entry in books["charges"] + books["refunds"] if entry["order_id"].startswith(f"{market.mark}-")]


def check_money(market: Market, provider: Provider) -> None:
    """One charge for a confirmed order, none or refunded for a cancelled one; each fact stands in the books."""
    books, ends = books_of(market, provider), market.ends()
    charged = [entry for entry in books if entry["status"] == "approved"]
    refunded = [entry for entry in books if entry["status"] == "refunded"]
    left: Counter[str] = Counter()
    for entry in charged:
        left[entry["order_id"]] += 1
    for entry in refunded:
        left[entry["order_id"]] -= 1
    assert {order for order, count in left.items() if count} == {o for o, end in ends.items() if end == "confirmed"}
    assert set(left.values()) <= {0, 1}
    totals = {fact.order_id: fact.total for fact in market.facts(ORDERS, OrderPlaced)}
    assert all(Decimal(entry["amount"]) == totals[entry["order_id"]] for entry in charged + refunded)
    facts = market.facts(PAYMENTS, PaymentCharged, PaymentRefunded)
    assert Counter(fact.provider_reference for fact in facts) == Counter(e["reference"] for e in charged + refunded)


def check_stock(market: Market, stock: list[ReceiveStock]) -> None:
    """What a confirmed order wanted has left, everything else is there, and nothing is kept for anybody."""
    ends = market.ends()
    gone: Counter[str] = Counter()
    for fact in market.facts(ORDERS, OrderPlaced):
        if ends[fact.order_id] == "confirmed":
            gone.update({line.sku: line.quantity for line in fact.lines})

    def left() -> dict[str, tuple[int, int, int]]:
        with Reader(market.settings) as reader:
            rows = [reader.read("stock", (received.sku,)) for received in stock]
        return {row["sku"]: (row["on_hand"], row["reserved"], row["shipped"]) for row in rows if isinstance(row, dict)}

    expected = {r.sku: (int(r.quantity) - gone[r.sku], 0, gone[r.sku]) for r in stock}
    wait_until(lambda: left() == expected, 120, "stock as it must be", lambda: f"{left()} is not {expected}")


def check_models(settings: Settings, market: Market) -> None:
    """Both models of an order say how it ended."""
    ends = market.ends()
    with Reader(settings) as reader:
        for model in ("orders", "order"):

            def shown(model: str = model) -> dict[str, str]:
                rows = [reader.read(model, (order,)) for order in ends]
                return {row["order_id"]: row["status"] for row in rows if isinstance(row, dict)}

            wait_until(lambda s=shown: s() == ends, 120, f"{model} as it must be")
