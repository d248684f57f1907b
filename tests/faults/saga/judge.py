"""What must be true of the log, the tables and the provider's books once every order has ended."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import psycopg

from eventlog.codec import Codec
from eventlog.envelope import Meta, Record, read_meta
from eventlog.settings import Settings
from eventlog.topics import Topic
from processors.fulfilment import SAGA
from schemas.fulfilment import FULFILMENT, FulfilmentCancelled, FulfilmentConfirmed
from schemas.inventory import INVENTORY, StockEvent
from schemas.orders import ORDERS, OrderCancelled, OrderConfirmed
from schemas.payments import PAYMENTS, PaymentCharged, PaymentRefunded
from tests.faults.saga.market import Market
from tests.runtime.harness import read_all

Read = list[tuple[Record, Any, Meta]]


class Judge:
    """Reads the log whole, and says what is wrong with it."""

    def __init__(self, settings: Settings, codec: Codec, market: Market, mark: str) -> None:
        self._settings, self._codec, self._market, self._mark = settings, codec, market, mark
        self._prefix = f"{mark}-".encode()

    def read(self, topic: Topic) -> Read:
        """Records of the campaign's own orders and products."""
        found: Read = []
        for record in read_all(self._settings, topic):
            if (record.key or b"").startswith(self._prefix):
                found.append((record, self._codec.decode(record.value, topic), read_meta(record)))
        return found

    def ended(self) -> Counter[str]:
        """How many orders have ended, by how."""
        last: dict[str, Any] = {}
        for _, fact, meta in self.read(FULFILMENT.topic("events")):
            last[meta.stream] = fact
        ends = {FulfilmentConfirmed: "confirmed", FulfilmentCancelled: "cancelled"}
        return Counter(ends.get(type(fact), "open") for fact in last.values())

    def behind(self) -> bool:
        """Whether the table of sagas has not come to the ends yet."""
        return bool(self._table(self._ends()))

    def wrong(self, books: dict[str, list[dict[str, Any]]]) -> list[str]:
        """Sentences that begin with what is wrong (`ends`, `stock`, ...), none where every invariant holds."""
        orders = self._ends()
        confirmed = {order for order, kind in orders.items() if kind == "confirmed"}
        found = {
            "ends": self._unended(orders),
            "stock": self._stock(confirmed),
            "money": self._money(confirmed, books),
            "inbox": self._inbox(),
            "sent": self._sent(),
            "table": self._table(orders),
        }
        return [f"{what}: {sentence}" for what, sentences in found.items() for sentence in sentences]

    def _ends(self) -> dict[str, str]:
        ends: dict[str, list[str]] = {order: [] for order in self._market.orders}
        for _, fact, meta in self.read(ORDERS.topic("events")):
            if isinstance(fact, OrderConfirmed | OrderCancelled):
                ends[meta.stream].append("confirmed" if isinstance(fact, OrderConfirmed) else "cancelled")
        return {order: "+".join(kinds) for order, kinds in ends.items()}

    def _unended(self, orders: dict[str, str]) -> list[str]:
        return [f"{order} ended as {kind or 'nothing'}" for order, kind in orders.items() if kind not in
                ("confirmed", "cancelled")]  # fmt: skip

    def _stock(self, confirmed: set[str]) -> list[str]:
        wrong, last = [], {}
        for _, fact, meta in self.read(INVENTORY.topic("events")):
            assert isinstance(fact, StockEvent)
            last[meta.stream] = (fact.on_hand, fact.reserved, fact.shipped)
            if not 0 <= fact.reserved <= fact.on_hand:
                wrong.append(f"{meta.id}: {fact.reserved} reserved of {fact.on_hand}")
        sold: Counter[str] = Counter()
        for order in confirmed:
            sold.update(self._market.orders[order].pieces)
        for sku, received in self._market.stock.items():
            expected = (received - sold[sku], 0, sold[sku])
            if last.get(sku) != expected:
                wrong.append(f"{sku}: on hand, reserved, shipped are {last.get(sku)}, not {expected}")
        return wrong

    def _money(self, confirmed: set[str], books: dict[str, list[dict[str, Any]]]) -> list[str]:
        """The provider's books are our payments: one charge for a confirmed order, none that stays for a cancelled."""
        wrong = []
        approved = [c for c in books["charges"] if c["status"] == "approved" and c["order_id"] in self._market.orders]
        refunded = [r for r in books["refunds"] if r["status"] == "refunded" and r["order_id"] in self._market.orders]
        charged, returned = _sums(approved), _sums(refunded)
        for order, what in self._market.orders.items():
            net = charged.get(order, (0, Decimal(0)))
            back = returned.get(order, (0, Decimal(0)))
            if order in confirmed and (net, back[0]) != ((1, what.total), 0):
                wrong.append(f"{order} is confirmed at {what.total}, charged {net}, refunded {back}")
            if order not in confirmed and (net[0] > 1 or net != back):
                wrong.append(f"{order} is cancelled, charged {net}, refunded {back}")
        facts = [fact for _, fact, _ in self.read(PAYMENTS.topic("events"))]
        ours = Counter((f.order_id, f.amount, type(f).__name__) for f in facts
                       if isinstance(f, PaymentCharged | PaymentRefunded))  # fmt: skip
        theirs = Counter((c["order_id"], Decimal(c["amount"]), "PaymentCharged") for c in approved)
        theirs += Counter((r["order_id"], Decimal(r["amount"]), "PaymentRefunded") for r in refunded)
        if ours != theirs:
            wrong.append(f"only ours {ours - theirs}, only theirs {theirs - ours}")
        return wrong

    def _inbox(self) -> list[str]:
        """What is for the saga was brought to its inbox once."""
        expected: Counter[str] = Counter()
        for topic in SAGA.sources:
            for record in read_all(self._settings, topic):
                meta = read_meta(record)
                key = SAGA.key(self._codec.decode(record.value, topic), meta)
                if key is not None and key.startswith(f"{self._mark}-"):
                    expected[f"{key} {meta.type} {meta.id}"] += 1
        found = Counter(f"{meta.stream} {meta.type} {meta.id}" for _, _, meta in self.read(SAGA.source))
        return [] if found == expected else [f"missing {expected - found}, too many {found - expected}"]

    def _sent(self) -> list[str]:
        """Each step was sent once, and versions of the saga's facts have no gap."""
        wrong = []
        for domain in SAGA.targets:
            sent = Counter((record.key, meta.id) for record, _, meta in self.read(domain.topic("commands")))
            again = [place for place, n in sent.items() if n > 1 and place[1].startswith("fulfilment/")]
            if again:
                wrong.append(f"more than once {again[:3]}")
        versions: dict[str, int] = {}
        for _, _, meta in self.read(FULFILMENT.topic("events")):
            if meta.version != versions.get(meta.stream, 0) + 1:
                wrong.append(f"{meta.id} comes after version {versions.get(meta.stream, 0)}")
            versions[meta.stream] = meta.version
        return wrong

    def _table(self, orders: dict[str, str]) -> list[str]:
        with psycopg.connect(self._settings.postgres) as connection:
            asked = "select order_id, ended, waits_for from sagas where order_id like %s"
            rows = connection.execute(asked, [f"{self._mark}-%"]).fetchall()
        expected = {(order, kind, "") for order, kind in orders.items()}
        return [] if set(rows) == expected else [f"sagas has {sorted(set(rows) - expected)[:3]}"]


def _sums(entries: list[dict[str, Any]]) -> dict[str, tuple[int, Decimal]]:
    sums: dict[str, tuple[int, Decimal]] = {}
    for entry in entries:
        count, amount = sums.get(entry["order_id"], (0, Decimal(0)))
        sums[entry["order_id"]] = (count + 1, amount + Decimal(entry["amount"]))
    return sums
