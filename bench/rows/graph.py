"""The graph of purchases: orders loaded through the projection's sink against the bare driver, and how long it answers.

Orders are made in memory, from a seed: customers and products as skewed as a shop's. Both contestants of the load write
the same rows in the same batches, into a version of their own each time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

from bench.harness.model import Contest, Ready, Run, Target, figure, ratio
from bench.harness.stand import BenchError, Stand
from eventlog.collector import seldom_meanwhile
from eventlog.envelope import Meta
from eventlog.message import Event
from eventlog.operations import Change, coalesce
from eventlog.testing.folds import meta_of
from projections.orders import PURCHASES
from projections.stores.neo4j import Neo4jStore
from projections.stores.neo4j._connection import connect, parse
from schemas.inventory import StockReceived
from schemas.orders import Line, OrderConfirmed

ORDERS, CUSTOMERS, PRODUCTS = 100_000, 20_000, 4_000
BATCH_RECORDS = 2_000
"""As a worker's: see `eventlog.runtime.store_task`."""
PARTITIONS = 4
ASKED = 400
WARMING = 50
START = datetime(2024, 1, 2, 9, tzinfo=UTC)
MODEL = PURCHASES.model
Fact = tuple[Event, Meta]
BARE = {
    "nodes": (
        "UNWIND $rows AS r MERGE (:Customer {graph: $graph, customer_id: r})",
        "UNWIND $rows AS r MERGE (:Product {graph: $graph, sku: r})",
    ),
    "edges": (
        "UNWIND $rows AS r MATCH (a:Customer {graph: $graph, customer_id: r[0]}) "
        "MATCH (b:Product {graph: $graph, sku: r[1]}) MERGE (a)-[x:ORDERED]->(b) "
        "WITH x, r, datetime({epochSeconds: r[4], nanosecond: r[5]}) AS last "
        "SET x.times = coalesce(x.times, 0) + r[2], x.quantity = coalesce(x.quantity, 0) + r[3], "
        "x.last = CASE WHEN x.last >= last THEN x.last ELSE last END"
    ),
}


@cache
def facts(count: int) -> Sequence[Fact]:
    """Confirmed orders, a second apart; the same ones every time."""
    draw = Random(7)
    skus = [f"sku-{n:05d}" for n in range(PRODUCTS)]
    weights = [1 / (n + 10) ** 0.8 for n in range(PRODUCTS)]
    made: list[Fact] = []
    for number in range(count):
        picked = dict.fromkeys(draw.choices(skus, weights, k=draw.choice((1, 2, 2, 3, 3, 4, 6))))
        lines = tuple(Line(sku=sku, quantity=draw.randint(1, 9), unit_price=Decimal("2.50")) for sku in picked)
        event = OrderConfirmed(
            order_id=f"o-{number:06d}", customer_id=f"c-{int(CUSTOMERS * draw.random() ** 1.6):05d}", currency="GBP",
            lines=lines, total=Decimal(10),
        )  # fmt: skip
        made.append((event, meta_of(event, START + timedelta(seconds=number), 1)))
    return made


def changes_of(batch: Sequence[Fact]) -> dict[Any, Change]:
    on = PURCHASES.on
    return coalesce([operation for event, meta in batch for operation in on(event, meta)])


def batches(made: Sequence[Fact]) -> Iterator[Sequence[Fact]]:
    for at in range(0, len(made), BATCH_RECORDS):
        yield made[at : at + BATCH_RECORDS]


def how_many(commands: int) -> int:
    return min(ORDERS, max(1_000, commands // 10))


def orders_of(stand: Stand) -> Sequence[Fact]:
    return facts(how_many(stand.commands))


@contextmanager
def version_of(stand: Stand) -> Iterator[tuple[Neo4jStore, int]]:
    """A version for one run; nothing of it is left."""
    store = Neo4jStore(stand.settings.required("neo4j").neo4j)
    store.prepare([MODEL])
    version = store.create_version(MODEL)
    gc.collect()
    gc.freeze()
    try:
        with seldom_meanwhile():  # as a worker and a rebuild do
            yield store, version
    finally:
        gc.unfreeze()
        store.drop_version(MODEL, version)
        store.close()


def load(store: Neo4jStore, version: int, made: Sequence[Fact], partition: int = 0) -> None:
    sink = store.sink(MODEL, "orders.events", partition, version)
    position = sink.open()
    for batch in batches(made):
        sink.apply(changes_of(batch), position := position + len(batch))
    sink.close()


def check(store: Neo4jStore, version: int, made: Sequence[Fact]) -> int:
    """Edges; raises where the pieces that were bought are not all there."""
    edges = [row for row in store.scan(MODEL, version) if row["element"] == "ORDERED"]
    wanted = sum(line.quantity for event, _ in made for line in getattr(event, "lines", ()))
    if sum(row["quantity"] for row in edges) != wanted:
        raise BenchError(f"{sum(row['quantity'] for row in edges)} pieces are in the graph, {wanted} were bought")
    return len(edges)


@dataclass(frozen=True)
class Bare(Ready):
    """The driver alone: rows made before, no position, nothing compared."""

    name: str = "bare-unwind"

    @property
    def what(self) -> str:
        return f"the driver alone: an UNWIND for each label and one for the edges, {BATCH_RECORDS} orders a transaction"

    def run(self, stand: Stand, number: int) -> Run:
        made = orders_of(stand)
        rows = [self._rows(changes_of(batch)) for batch in batches(made)]
        address = parse(stand.settings.neo4j)
        with version_of(stand) as (store, version), connect(address) as driver:
            begun = time.perf_counter()
            with driver.session(database=address.database) as session:
                for customers, products, edges in rows:
                    with session.begin_transaction() as run:
                        for statement, keys in zip(BARE["nodes"], (customers, products), strict=True):
                            run.run(statement, rows=keys, graph=version).consume()
                        run.run(str(BARE["edges"]), rows=edges, graph=version).consume()
                        run.commit()
            seconds = time.perf_counter() - begun
            edges_there = check(store, version, made)
        return Run({"rate": len(made) / seconds, "edges": edges_there, "seconds": seconds})

    @staticmethod
    def _rows(changes: dict[Any, Change]) -> tuple[list[str], list[str], list[list[Any]]]:
        customers, products, edges = [], [], []
        for (element, one, other), change in changes.items():
            if element == "Customer":
                customers.append(one)
            elif element == "Product":
                products.append(one)
            else:
                last = change.greatest["last"]
                at = int(last.timestamp())
                edges.append([one, other, change.adds["times"], change.adds["quantity"], at, last.microsecond * 1000])
        return sorted(customers), sorted(products), sorted(edges)


@dataclass(frozen=True)
class Sink(Ready):
    """The product: facts folded, coalesced, written with their position, which is compared."""

    name: str
    partitions: int

    @property
    def what(self) -> str:
        many = "one partition" if self.partitions == 1 else f"{self.partitions} partitions at once"
        return f"the projection's fold and its sink, position and fence in each transaction, {many}"

    def run(self, stand: Stand, number: int) -> Run:
        made = orders_of(stand)
        shares = [made[partition :: self.partitions] for partition in range(self.partitions)]
        with version_of(stand) as (store, version):
            begun = time.perf_counter()
            with ThreadPoolExecutor(self.partitions) as pool:
                running = [pool.submit(load, store, version, share, n) for n, share in enumerate(shares)]
                for each in running:
                    each.result()
            seconds = time.perf_counter() - begun
            edges = check(store, version, made)
        return Run({"rate": len(made) / seconds, "edges": edges, "seconds": seconds})


@dataclass(frozen=True)
class Answers(Ready):
    """Questions one after the other, of customers and products drawn from the orders."""

    name: str = "answers"

    @property
    def what(self) -> str:
        return f"{ASKED} questions of each kind, one at a time, after {WARMING} of each that are not counted"

    def run(self, stand: Stand, number: int) -> Run:
        made, draw = orders_of(stand), Random(number)
        skus = sorted({line.sku for event, _ in made for line in getattr(event, "lines", ())})
        stock: list[Event] = [StockReceived(sku=sku, on_hand=9, reserved=0, shipped=0, quantity=9) for sku in skus]
        count = WARMING + min(ASKED, len(made) // 10)
        asked = [event for event, _ in draw.choices(made, k=count) if isinstance(event, OrderConfirmed)]
        figures: dict[str, float] = {}
        with version_of(stand) as (store, version):
            load(store, version, made)
            load(store, version, [(event, meta_of(event, START, 1)) for event in stock], partition=1)
            for question in ("recommend", "similar", "bought-together"):
                took, found = [], 0
                for order in asked:
                    begun = time.perf_counter()
                    found += len(store.ask(MODEL, question, self._parameters(order), version) or ())
                    took.append((time.perf_counter() - begun) * 1e3)
                if not found:
                    raise BenchError(f"{question} found nothing")
                took = sorted(took[WARMING:])
                figures |= {f"{question}_p50": took[len(took) // 2], f"{question}_p95": took[int(len(took) * 0.95)]}
        return Run(figures)

    @staticmethod
    def _parameters(order: OrderConfirmed) -> dict[str, Any]:
        """Of every question: what it does not ask for is not looked at."""
        customer = {"customer": order.customer_id, "any_stock": False, "candidates": 50}
        return customer | {"sku": order.lines[0].sku, "support": 3, "limit": 10}


CONTEST = Contest(
    "graph",
    f"The graph of purchases in Neo4j: {ORDERS:,} confirmed orders of {CUSTOMERS:,} customers, {PRODUCTS:,} products.",
    (Bare(), Sink("sink", 1), Sink("sink-of-4", PARTITIONS), Answers()),
    (
        ratio("graph-load", "orders/s through the sink ÷ bare UNWIND of the same rows", "sink", "bare-unwind",
              at_least=0.7),
        ratio("graph-load-of-4", "four partitions at once ÷ bare UNWIND, one connection", "sink-of-4", "bare-unwind"),
        figure("graph-rate", "orders through the sink", "sink", "rate", "/s"),
        figure("recommend-p95", "recommend, p95", "answers", "recommend_p95", "ms", target=Target(100.0, "at most")),
        figure("recommend-p50", "recommend, p50", "answers", "recommend_p50", "ms"),
        figure("similar-p95", "similar, p95", "answers", "similar_p95", "ms"),
        figure("bought-together-p95", "bought-together, p95", "answers", "bought-together_p95", "ms"),
    ),
    load=lambda commands: f"{how_many(commands):,} orders",
)  # fmt: skip
