"""The graph live: a worker keeps it, its server is killed meanwhile and during a rebuild, the program answers."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import neo4j
import pytest
from confluent_kafka import Producer

from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import command_headers, event_id
from eventlog.message import Event
from eventlog.provision import provision
from eventlog.settings import Settings
from projections import Reader
from projections.mending import mend
from projections.replay import replay
from projections.rollback import rollback
from projections.stores.neo4j import Neo4jSink
from projections.stores.neo4j._connection import parse
from projections.verify import verify
from schemas.inventory import INVENTORY, StockReceived
from schemas.orders import ORDERS, OrderConfirmed
from tests.backing import Backing
from tests.orders.test_graph import order
from tests.runtime.harness import ROOT, Workers, codec_of, wait_until

pytestmark = pytest.mark.timeout(900)
START = datetime(2024, 1, 2, 9, tzinfo=UTC)
TIMEOUT_S = 180
SKUS = [f"sku{n}" for n in range(12)]


@pytest.fixture(scope="module")
def env(backing: Backing, graph_backing: Backing) -> dict[str, str]:
    return backing.env | {"ONEFACT_NEO4J": graph_backing.env["ONEFACT_NEO4J"]}


@pytest.fixture(scope="module")
def graphed(settings: Settings, env: dict[str, str]) -> Settings:
    provision(settings, catalog())
    return settings.model_copy(update={"neo4j": env["ONEFACT_NEO4J"]})


@pytest.fixture(scope="module")
def codec(graphed: Settings) -> Iterator[Codec]:
    with codec_of(graphed, catalog()) as made:
        yield made


@pytest.fixture(scope="module")
def workers(env: dict[str, str], graphed: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    started = Workers(env, tmp_path_factory.mktemp("workers"), "deploy.worker")
    started.start("graph", "orders.purchases")
    yield started
    started.stop()


class Shop:
    """Customers and products that no other test knows."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings, self._codec = settings, codec
        self.mark = uuid.uuid4().hex[:8]
        self.bought: Counter[tuple[str, str]] = Counter()
        self._number = 0

    def name(self, what: str) -> str:
        return f"{self.mark}-{what}"

    def stock(self) -> None:
        self._append(
            INVENTORY.topic("events").name,
            [StockReceived(sku=self.name(s), on_hand=5, reserved=0, shipped=0, quantity=5) for s in SKUS],
        )

    def sell(self, draw: random.Random, count: int) -> None:
        made = []
        for _ in range(count):
            self._number += 1
            customer = self.name(f"c{draw.randrange(25)}")
            lines = {self.name(sku): draw.randint(1, 3) for sku in draw.sample(SKUS, draw.randint(1, 3))}
            made.append(order(OrderConfirmed, self.name(f"o{self._number}"), customer, **lines))
            self.bought.update({(customer, sku): quantity for sku, quantity in lines.items()})
        self._append(ORDERS.topic("events").name, made)

    def _append(self, topic: str, facts: list[Any]) -> None:
        producer = Producer(
            {"bootstrap.servers": self._settings.kafka, "partitioner": "murmur2_random", "log_level": 0}
        )
        for number, fact in enumerate(facts):
            assert isinstance(fact, Event)
            time, version = START + timedelta(seconds=number), [("ce_sequence", b"1")]
            headers = command_headers(
                event_id(fact.stream, 1), "test", type(fact).__name__, fact.stream, time, extra=version
            )
            value = self._codec.encode(fact)
            producer.produce(topic, key=fact.stream, value=value, headers=headers)  # type: ignore[arg-type]
        assert producer.flush(60) == 0

    def edges(self, reader: Reader) -> dict[tuple[str, str], int]:
        rows = reader.read("purchases")
        return {(r["id"], r["to"]): r["quantity"] for r in rows if r["to"] and r["id"].startswith(self.mark)}


@pytest.fixture(scope="module")
def shop(graphed: Settings, codec: Codec) -> Shop:
    return Shop(graphed, codec)


@pytest.fixture(scope="module")
def reader(graphed: Settings) -> Iterator[Reader]:
    with Reader(graphed) as made:
        yield made


def spoil(settings: Settings, shop: Shop) -> None:
    """Change an edge by hand, remove another one, add a node."""
    address = parse(settings.neo4j)
    edges = "MATCH (c:Customer {graph: $graph, customer_id: $one})-[x:ORDERED]->(p:Product {sku: $other})"
    pairs = list(shop.bought)[:2]
    with (
        Reader(settings) as reader,
        neo4j.GraphDatabase.driver(address.uri, auth=address.auth) as driver,
    ):
        graph = reader.store("purchases").live_version(reader.model("purchases"))
        for (one, other), does in zip(pairs, ("SET x.quantity = 999", "DELETE x"), strict=True):
            driver.execute_query(f"{edges} {does}", graph=graph, one=one, other=other)  # type: ignore[arg-type]
        driver.execute_query("CREATE (:Product {graph: $graph, sku: $sku})", graph=graph, sku=shop.name("ghost"))


def onefact(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words], env=os.environ | env, cwd=ROOT, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_a_server_that_goes_and_comes_back_costs_and_doubles_nothing(
    graph_backing: Backing, workers: Workers, shop: Shop, reader: Reader
) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"SEED={seed}")
    draw = random.Random(seed)
    shop.stock()
    shop.sell(draw, 300)
    wait_until(lambda: bool(shop.edges(reader)), TIMEOUT_S, "the first edges", workers.logs)
    shop.sell(draw, 300)
    graph_backing.take_away("neo4j")
    shop.sell(draw, 300)
    wait_until(lambda: not workers.is_ready("graph"), TIMEOUT_S, "unready", workers.logs)
    graph_backing.bring_back("neo4j")
    shop.sell(draw, 300)
    wait_until(lambda: shop.edges(reader) == shop.bought, TIMEOUT_S, "what was sold is in the graph", workers.logs)
    wait_until(lambda: workers.is_ready("graph"), TIMEOUT_S, "ready again", workers.logs)


def test_the_program_answers(env: dict[str, str], shop: Shop) -> None:
    """After what was sold is in the graph."""
    customer, sku = next(iter(shop.bought))
    own = {sku for one, sku in shop.bought if one == customer}
    recommended = onefact(env, "recommend", customer, "--json", "--limit", "3")
    rows = json.loads(recommended.stdout)
    assert recommended.returncode == 0 and len(rows) <= 3
    assert not own & {row["sku"] for row in rows} and all(row["available"] == 5 for row in rows)
    together = json.loads(onefact(env, "bought-together", sku, "--support", "1", "--json").stdout)
    assert together and {row["sku"] for row in together} <= {sku for _, sku in shop.bought}
    shown = onefact(env, "similar", customer)
    assert shown.returncode == 0 and "similarity" in shown.stdout and shop.mark in shown.stdout
    unknown = onefact(env, "recommend", shop.name("nobody"))
    assert unknown.returncode == 1 and "there is no customer" in unknown.stderr
    assert onefact(env, "bought-together").returncode == 2
    away = onefact(env | {"ONEFACT_NEO4J": "bolt://neo4j:x@127.0.0.1:1"}, "similar", customer, "--json")
    assert away.returncode == 3 and "neo4j is away" in json.loads(away.stdout)["error"]
    row = json.loads(onefact(env, "read", "purchases", "Product", sku, "--json").stdout)
    assert (row["element"], row["id"], row["available"]) == ("Product", sku, 5)
    listed = json.loads(onefact(env, "models", "--json").stdout)
    assert {each["store"] for each in listed if each["name"] == "purchases"} == {"neo4j"}


def test_a_rebuild_outlives_its_server(
    graph_backing: Backing, workers: Workers, graphed: Settings, shop: Shop, reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed at a commit of the rebuild, which waits, goes on where its own version is, and is equal in the end."""
    apply, killed = Neo4jSink.apply, []

    def dying(sink: Neo4jSink, *arguments: Any) -> None:
        if not killed and sink._pinned is not None and arguments[0]:
            killed.append(str(sink))
            graph_backing.restart("neo4j", kill=True)
        apply(sink, *arguments)

    monkeypatch.setattr(Neo4jSink, "apply", dying)
    result = replay("purchases", graphed)
    assert killed and result.identical and result.switched
    assert verify("purchases", graphed).identical
    spoil(graphed, shop)
    found = verify("purchases", graphed)
    assert (found.changed, found.missing, found.extra) == (1, 1, 1)
    assert {d.kind: d.key[0] for d in found.differences} == {
        "changed": "ORDERED",
        "missing": "ORDERED",
        "extra": "Product",
    }
    for difference in found.differences:
        assert mend("purchases", difference.key, graphed).mended == [difference]
    assert verify("purchases", graphed).identical
    assert rollback("purchases", graphed).version == result.previous
    assert shop.edges(reader) == shop.bought
    shop.sell(random.Random(1), 50)
    wait_until(lambda: shop.edges(reader) == shop.bought, TIMEOUT_S, "the worker follows the switch", workers.logs)
