"""Questions to the graph, answered by the real server, held against the same sums written once more."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from eventlog.operations import coalesce
from eventlog.testing.folds import meta_of
from eventlog.testing.scenarios import NOON
from projections.orders import PURCHASES
from projections.stores.neo4j import Neo4jStore
from schemas.inventory import StockEvent, StockReceived
from schemas.orders import OrderConfirmed
from tests.backing import Backing
from tests.orders.test_graph import order

MODEL = PURCHASES.model
Baskets = dict[str, set[str]]


class Asked:
    """A version of the graph of our own, beside whatever is live."""

    def __init__(self, store: Neo4jStore, baskets: Baskets, stock: dict[str, int]) -> None:
        self.store, self.version = store, store.create_version(MODEL)
        facts: list[OrderConfirmed | StockEvent] = [
            order(OrderConfirmed, f"o-{customer}-{sku}", customer, **{sku: 1})
            for customer, skus in baskets.items()
            for sku in sorted(skus)
        ]
        facts += [StockReceived(sku=s, on_hand=n, reserved=0, shipped=0, quantity=n) for s, n in stock.items()]
        sink = store.sink(MODEL, "orders.events", 0, self.version)
        sink.open()
        sink.apply(coalesce(op for fact in facts for op in PURCHASES.on(fact, meta_of(fact, NOON, 1))), len(facts))

    def __call__(self, question: str, **parameters: object) -> list[dict[str, object]]:
        return self.store.ask(MODEL, question, {"limit": 10, **parameters}, self.version) or []


@pytest.fixture(scope="module")
def store(graph_backing: Backing) -> Iterator[Neo4jStore]:
    made = Neo4jStore(graph_backing.env["ONEFACT_NEO4J"])
    made.prepare([MODEL])
    yield made
    made.close()


@pytest.fixture(scope="module")
def shop(store: Neo4jStore) -> Asked:
    baskets = {
        "ann": {"mug", "tea", "lamp"},
        "bob": {"mug", "tea", "rug"},
        "cat": {"mug", "tea", "vase"},
        "dan": {"mug", "pen"},
        "eve": {"mug", "pen"},
        "fay": {"ink", "pen"},
        "gus": {"mug"},
    }
    return Asked(store, baskets, {"mug": 1, "rug": 1, "vase": 0, "pen": 2, "ink": 1, "new": 5})


def test_what_goes_together_is_told_by_lift_and_not_by_count(shop: Asked) -> None:
    found = shop("bought-together", sku="pen", support=1)
    # 2 of 3 customers of pens bought mugs, as 6 of all 7 did: less than chance. Ink is bought by one, who is of them.
    assert [(row["sku"], row["together"]) for row in found] == [("ink", 1), ("mug", 2)]
    assert [row["lift"] for row in found] == [round(1 * 7 / (3 * 1), 4), round(2 * 7 / (3 * 6), 4)]
    assert [row["confidence"] for row in found] == [round(1 / 3, 4), round(2 / 3, 4)]
    assert [row["sku"] for row in shop("bought-together", sku="pen", support=2)] == ["mug"]
    assert [row["sku"] for row in shop("bought-together", sku="pen", support=1, limit=1)] == ["ink"]
    assert shop("bought-together", sku="pen", support=3) == shop("bought-together", sku="nothing", support=1) == []


def test_who_is_alike(shop: Asked) -> None:
    found = shop("similar", customer="ann", candidates=20)
    assert [(row["customer_id"], row["similarity"], row["shared"]) for row in found] == [
        ("bob", 0.5, 2), ("cat", 0.5, 2), ("gus", round(1 / 3, 4), 1), ("dan", 0.25, 1), ("eve", 0.25, 1)]  # fmt: skip


def test_what_somebody_may_want_is_what_others_like_them_bought_and_is_there(shop: Asked) -> None:
    found = shop("recommend", customer="ann", any_stock=False)
    assert [(row["sku"], row["score"], row["customers"]) for row in found] == [("pen", 0.5, 2), ("rug", 0.5, 1)]
    # Vases are sold out, and of lamps nobody knows that there is any.
    assert {row["sku"] for row in shop("recommend", customer="ann", any_stock=True)} == {"pen", "rug", "vase"}
    assert {row["sku"] for row in shop("recommend", customer="gus", any_stock=False)} == {"pen", "rug"}
    assert {row["sku"] for row in shop("recommend", customer="gus", any_stock=True)} == {
        "pen",
        "rug",
        "vase",
        "tea",
        "lamp",
    }
    assert shop("recommend", customer="nobody", any_stock=True) == []


def test_names_are_never_cypher(shop: Asked) -> None:
    for name in ("ann'}) DETACH DELETE (me) //", "`", "$graph", "\x00", "\u202eann"):
        assert shop("similar", customer=name, candidates=5) == []
    assert len(shop("similar", customer="ann", candidates=20)) == 5


def test_other_versions_are_not_seen(store: Neo4jStore, shop: Asked) -> None:
    other = Asked(store, {"ann": {"mug"}, "zoe": {"mug", "kite"}}, {"kite": 1})
    assert [row["sku"] for row in other("recommend", customer="ann", any_stock=False)] == ["kite"]
    assert "kite" not in {row["sku"] for row in shop("recommend", customer="ann", any_stock=True)}


def test_any_shop_by_the_same_sums_written_once_more(store: Neo4jStore) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"SEED={seed}")
    draw = random.Random(seed)
    skus = [f"s{n}" for n in range(15)]
    baskets = {f"c{n}": set(draw.sample(skus, draw.randint(1, 7))) for n in range(30)}
    asked = Asked(store, baskets, {sku: draw.randint(0, 2) for sku in skus})
    bought = Counter(sku for basket in baskets.values() for sku in basket)
    for sku in skus[:5]:
        buyers = [basket for basket in baskets.values() if sku in basket]
        both = Counter(other for basket in buyers for other in basket - {sku})
        wanted = {o: round(n * len(baskets) / (len(buyers) * bought[o]), 4) for o, n in both.items() if n >= 2}
        found = asked("bought-together", sku=sku, support=2, limit=100)
        assert {row["sku"]: row["lift"] for row in found} == pytest.approx(wanted, abs=2e-4)
        assert [row["lift"] for row in found] == sorted((row["lift"] for row in found), reverse=True)  # type: ignore[type-var]
    for me in list(baskets)[:5]:
        alike = {
            other: len(baskets[me] & basket) / len(baskets[me] | basket)
            for other, basket in baskets.items()
            if other != me and baskets[me] & basket
        }
        found = asked("similar", customer=me, candidates=100, limit=100)
        assert {row["customer_id"]: row["similarity"] for row in found} == pytest.approx(alike, abs=1e-4)
        scores: Counter[str] = Counter()
        for other, similarity in alike.items():
            for sku in baskets[other] - baskets[me]:
                scores[sku] += similarity  # type: ignore[assignment]
        found = asked("recommend", customer=me, any_stock=True, limit=100)
        assert {row["sku"]: row["score"] for row in found} == pytest.approx(dict(scores), abs=1e-3)
