"""Reads: by key, by a key's first columns, whole; not before a position; what is said when it cannot be."""

from __future__ import annotations

import asyncio
import threading
import time
from decimal import Decimal

import pytest

from eventlog.errors import BadInput, NotFound
from eventlog.position import Position
from projections import AsyncReader
from projections.keys import from_words
from projections.lineage import Lags
from tests.projections.conftest import START, Shop
from tests.projections.shop import CATALOG, EVENTS, JOURNAL, RANKING, SHELF, STOCK


def test_rows_come_by_key_by_its_first_columns_or_all(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "2.5")
    shop.count(name, "milk", "1")
    shop.count(f"{name}-b", "tea", "4")
    shop.apply(STOCK)
    tea = {"shop": name, "item": "tea", "quantity": Decimal("2.5"), "facts": 1}
    assert shop.reader.read("shop_stock", (name, "tea")) == tea
    assert shop.reader.read("shop_stock", (name, "coffee")) is None
    found = shop.reader.read("shop_stock", name)
    assert isinstance(found, list)
    assert [row["item"] for row in found] == ["milk", "tea"]
    assert tea in shop.reader.read("shop_stock")


def test_values_have_the_types_of_their_columns(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "2.5", minutes=3)
    shop.apply(SHELF)
    row = shop.reader.read("shop_shelf", name)
    assert isinstance(row, dict)
    assert row["items"] == {"tea": Decimal("2.5")}
    assert (row["as_of"] - START).total_seconds() == 180


def test_a_key_of_another_type_is_read_as_its_columns_type(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "1")
    shop.apply(JOURNAL)
    by_text = shop.reader.read("shop_journal", (name, "1"))
    assert by_text is not None
    assert by_text == shop.reader.read("shop_journal", (name, 1))
    with pytest.raises(BadInput, match="version of shop_journal is of type integer"):
        shop.reader.read("shop_journal", (name, "one"))
    with pytest.raises(BadInput, match="has the key shop/version; 3 values"):
        shop.reader.read("shop_journal", (name, 1, 2))


def test_words_of_a_key() -> None:
    assert from_words(STOCK.model, ["a", "b"]) == ("a", "b")
    assert from_words(STOCK.model, ["a/b"]) == ("a", "b")
    assert from_words(STOCK.model, ["a/x/b"]) == ("a/x", "b")
    assert from_words(STOCK.model, ["a/x/"]) == ("a/x",)
    assert from_words(STOCK.model, ["a"]) == ("a",)
    assert from_words(SHELF.model, ["a/b"]) == ("a/b",)


def test_an_unknown_model_or_version_is_named_with_what_there_is(shop: Shop) -> None:
    with pytest.raises(NotFound, match=r"no read model 'shelves'; there are shop_stock, .*shop_shelf"):
        shop.reader.read("shelves")
    with pytest.raises(NotFound, match="no version 9999"):
        shop.reader.read("shop_shelf", version=9999)


def test_a_sorted_set_comes_highest_first(shop: Shop) -> None:
    names = [shop.name() for _ in range(3)]
    for name, quantity in zip(names, ("1", "30", "20"), strict=True):
        shop.count(name, "tea", quantity)
        shop.count(name, "tea", "0.5")
    shop.enrich()
    shop.apply(RANKING)
    found = [row["shop"] for row in shop.reader.read("shop_ranking") if row["shop"] in names]
    assert found == [names[1], names[2], names[0]]


def test_at_least_waits_until_the_model_has_applied_the_position(shop: Shop) -> None:
    name = shop.name()
    partition, offset = shop.count(name, "tea", "7")
    position = str(Position.of(EVENTS.name, partition, offset + 1))
    started = time.monotonic()
    late = threading.Timer(0.5, shop.apply, [SHELF])
    late.start()
    row = shop.reader.read("shop_shelf", name, at_least=position)
    assert isinstance(row, dict)
    assert row["items"] == {"tea": Decimal(7)}
    assert 0.4 < time.monotonic() - started < 30
    late.join()


def test_at_least_names_the_model_that_lags_where_it_is_and_what_was_wanted(shop: Shop) -> None:
    name = shop.name()
    shop.apply(SHELF)
    partition, offset = shop.count(name, "tea", "7")
    wanted = Position.of(EVENTS.name, partition, offset + 1)
    at = shop.reader.store("shop_shelf").progress(SHELF.model).get((EVENTS.name, partition), 0)
    assert at <= offset
    with pytest.raises(
        Lags, match=rf"shop_shelf lags: after 0.3 s it is at shop.events:{partition}:{at}, wanted is {wanted}"
    ):
        shop.reader.read("shop_shelf", name, at_least=wanted, timeout_s=0.3)


def test_at_least_follows_the_facts_through_their_enricher(shop: Shop) -> None:
    name = shop.name()
    shop.enrich()
    shop.apply(RANKING)
    shop.count(name, "tea", "7")
    partition, offset = shop.count(name, "tea", "8")
    wanted = Position.of(EVENTS.name, partition, offset + 1)
    with pytest.raises(Lags, match=rf"shop_ranking lags: .*shop.enricher, whose facts it reads, .*wanted is {wanted}"):
        shop.reader.read("shop_ranking", name, at_least=wanted, timeout_s=0.3)
    shop.enrich()
    with pytest.raises(Lags, match=r"shop_ranking lags: after 0.3 s it is at shop.enriched:"):
        shop.reader.read("shop_ranking", name, at_least=wanted, timeout_s=0.3)
    shop.apply(RANKING)
    row = shop.reader.read("shop_ranking", name, at_least=wanted, timeout_s=60)
    assert row == {"shop": name, "total": Decimal(15)}


def test_a_fact_that_led_to_no_other_is_not_waited_for(shop: Shop) -> None:
    partition, offset = shop.count(shop.name(), "tea", "7")
    shop.enrich()
    shop.apply(RANKING)
    wanted = Position.of(EVENTS.name, partition, offset + 1)
    shop.reader.read("shop_ranking", at_least=wanted, timeout_s=60)


def test_positions_that_cannot_be_are_refused(shop: Shop) -> None:
    for wrong in ("nonsense", "shop.events:77:1", "shop.unknown:0:1"):
        with pytest.raises(BadInput):
            shop.reader.read("shop_shelf", at_least=wrong)


def test_many_threads_read_through_one_reader(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "1")
    shop.apply(SHELF)

    async def read() -> list[object]:
        async with AsyncReader(shop.settings, catalog=CATALOG) as reader:
            return list(await asyncio.gather(*(reader.read("shop_shelf", name) for _ in range(50))))

    found = asyncio.run(read())
    assert found == [shop.reader.read("shop_shelf", name)] * 50
