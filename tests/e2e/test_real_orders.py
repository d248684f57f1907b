"""A retailer's orders through the whole way: saga, provider, tables, pages and the customers' graph."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlog.settings import Settings
from projections import Reader
from tests.backing import Backing
from tests.e2e.conftest import Cli
from tests.real import ORDERS, STOCK, needs
from tests.runtime.harness import Workers, wait_until

ENDED_S = 120

pytestmark = needs(ORDERS, STOCK)


def data_of(file: Path) -> list[Any]:
    with gzip.open(file, "rt") as lines:
        return [json.loads(line)["data"] for line in lines]


@pytest.fixture(scope="module")
def reader(onefact: Cli, stack: Settings) -> Iterator[Reader]:
    """Of models in which every order has come to its end."""
    assert onefact.json("publish", "orders", str(STOCK), "--wait")["accepted"] == 214
    assert onefact.json("publish", "orders", str(ORDERS), "--wait")["accepted"] == 31
    ours = [order["order_id"] for order in data_of(ORDERS)]
    with Reader(stack) as made:

        def told() -> bool:
            rows: Any = {row["order_id"]: row for row in made.read("orders")}
            sagas: Any = {row["order_id"]: row["ended"] for row in made.read("sagas")}
            return all(rows.get(order, {}).get("notified_at") and sagas.get(order) for order in ours)

        wait_until(told, ENDED_S, "every order ended")
        yield made


def test_every_order_is_confirmed_and_all_of_the_stock_has_left(reader: Reader) -> None:
    ours = {order["order_id"] for order in data_of(ORDERS)}
    assert Counter(row["status"] for row in reader.read("orders") if row["order_id"] in ours) == {"confirmed": 31}
    received = {stock["sku"]: int(stock["quantity"]) for stock in data_of(STOCK)}
    stock = {row["sku"]: row for row in reader.read("stock") if row["sku"] in received}
    assert {sku: (row["on_hand"], row["reserved"], row["shipped"]) for sku, row in stock.items()} == {
        sku: (0, 0, quantity) for sku, quantity in received.items()
    }


def test_the_graph_is_what_was_bought(reader: Reader, stack: Settings, graph_backing: Backing, tmp_path: Path) -> None:
    bought: Counter[tuple[str, str]] = Counter()
    for order in data_of(ORDERS):
        bought.update({(order["customer_id"], line["sku"]): int(line["quantity"]) for line in order["lines"]})
    address = graph_backing.env["ONEFACT_NEO4J"]
    env = {"ONEFACT_KAFKA": stack.kafka, "ONEFACT_REGISTRY": stack.registry, "ONEFACT_NEO4J": address}
    workers = Workers(env, tmp_path, "deploy.worker")
    workers.start("graph", "orders.purchases")
    try:
        with Reader(stack.model_copy(update={"neo4j": address})) as graph:

            def edges() -> dict[tuple[str, str], int]:
                rows: Any = graph.read("purchases")
                return {(r["id"], r["to"]): r["quantity"] for r in rows if r["to"] and (r["id"], r["to"]) in bought}

            wait_until(lambda: edges() == bought, ENDED_S, "what was bought", workers.logs)
            customer = max(bought, key=lambda edge: bought[edge])[0]
            assert graph.ask("purchases", "recommend", customer=customer, limit=10, any_stock=False) == []
            liked: Any = graph.ask("purchases", "recommend", customer=customer, limit=10, any_stock=True)
            assert not {row["sku"] for row in liked} & {sku for who, sku in bought if who == customer}
    finally:
        workers.stop()
