"""Replays: equal to the live model or refused, atomic for readers, harmless when they die."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import redis
from confluent_kafka import Producer

from eventlog.digest import digest
from eventlog.errors import NotFound, OnefactError
from eventlog.models import Model
from eventlog.position import Position
from eventlog.reader import LogReader
from eventlog.roles import Projection
from projections.progress import ReplayProgress
from projections.replay import replay
from projections.results import ReplayResult
from projections.rollback import rollback
from projections.verify import verify
from tests.projections.conftest import START, Shop
from tests.projections.shop import CATALOG, EVENTS, ITEMS, JOURNAL, RANKING, SHELF, STOCK, Counted

ROOT = Path(__file__).parents[2]
_ITEMS = itertools.cycle("abcdefg")


def rebuild(shop: Shop, projection: Projection, **options: object) -> ReplayResult:
    return replay(projection.model.name, shop.settings, catalog=CATALOG, **options)  # type: ignore[arg-type]


def fill(shop: Shop, facts: int = 200) -> str:
    """A shop with some facts, everywhere applied."""
    name = shop.name()
    made = [
        (Counted(shop=f"{name}-{n % 5}", item=next(_ITEMS), quantity=Decimal(n)), START + timedelta(minutes=n))
        for n in range(facts)
    ]
    shop.append(made)
    return name


def live(shop: Shop, model: Model) -> tuple[int, str]:
    store = shop.reader.store(model.name)
    return store.live_version(model), digest(store.scan(model))[1]


@pytest.mark.parametrize("projection", [STOCK, JOURNAL, SHELF, RANKING, ITEMS], ids=lambda p: p.model.name)
def test_a_rebuilt_model_is_identical_and_goes_live(shop: Shop, projection: Projection) -> None:
    fill(shop)
    shop.enrich()
    shop.apply(projection)
    version, before = live(shop, projection.model)
    seen: list[ReplayProgress] = []
    result = rebuild(shop, projection, on_progress=seen.append)
    assert (result.identical, result.switched) == (True, True)
    assert result.previous == version
    assert result.version > version
    assert live(shop, projection.model) == (result.version, before)
    assert result.digest_live == result.digest_rebuilt == before
    assert result.rows == len(shop.reader.read(projection.model.name))
    assert result.records > 0
    assert [p.phase for p in seen if p.phase != "building"] == ["comparing", "switching"]
    assert seen[-1].done == seen[-1].total
    store = shop.reader.store(projection.model.name)
    assert Position.parse(result.position) == Position(
        {place: n for place, n in store.progress(projection.model).items() if n}
    )
    shop.apply(projection)  # goes on from where the rebuilt one is


def spoil(shop: Shop, projection: Projection, key: str) -> None:
    """Change a live row by hand."""
    version = shop.reader.store(projection.model.name).live_version(projection.model)
    if projection.model.store == "postgres":
        with psycopg.connect(shop.settings.postgres, autocommit=True) as connection:
            done = connection.execute(
                f"UPDATE shop_stock_v{version} SET quantity = quantity + 1 WHERE shop = %s", [key]
            )
            assert done.rowcount
    else:
        with redis.Redis.from_url(shop.settings.redis) as client:
            client.hset(f"onefact:shop_shelf:v{version}:row:{key}", "items.tea", "999")


@pytest.mark.parametrize("projection", [STOCK, SHELF], ids=lambda p: p.model.store)
def test_a_row_changed_by_hand_is_named_and_nothing_is_switched(shop: Shop, projection: Projection) -> None:
    name = shop.name()
    shop.count(name, "tea", "3")
    shop.apply(projection)
    spoil(shop, projection, name)
    before = live(shop, projection.model)
    result = rebuild(shop, projection)
    assert (result.identical, result.switched, result.differing) == (False, False, 1)
    assert result.differences == [(name, "tea") if projection is STOCK else (name,)]
    assert result.digest_live != result.digest_rebuilt
    assert live(shop, projection.model) == before
    kept = shop.reader.read(projection.model.name, result.differences[0], version=result.version)
    assert kept == shop.reader.read(projection.model.name, result.differences[0], as_of="2100-01-01")

    accepted = rebuild(shop, projection, accept_differences=True)
    assert (accepted.identical, accepted.switched, accepted.differing) == (False, True, 1)
    assert shop.reader.read(projection.model.name, result.differences[0]) == kept
    assert rebuild(shop, projection).identical


def test_a_row_changed_by_hand_is_found_while_the_model_moves(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "3")
    fill(shop, 3000)
    shop.apply(SHELF)
    spoil(shop, SHELF, name)
    other = shop.name()

    def produce() -> None:
        shop.append([(Counted(shop=other, item="tea", quantity=Decimal(1)), START) for _ in range(40)])

    with shop.writing(SHELF, produce):
        result = rebuild(shop, SHELF)
    assert (result.identical, result.switched, result.differences) == (False, False, [(name,)])
    assert rebuild(shop, SHELF, accept_differences=True).switched


def test_until_a_point_builds_a_version_beside_the_live_one(shop: Shop) -> None:
    name = shop.name()
    for minute in range(4):
        place = shop.count(name, "tea", "1", minutes=minute)
        if minute == 1:
            partition, offset = place
    shop.apply(SHELF)
    before = live(shop, SHELF.model)
    by_time = rebuild(shop, SHELF, until=START + timedelta(minutes=2))
    assert (by_time.switched, by_time.identical) == (False, None)
    assert shop.reader.read("shop_shelf", name, version=by_time.version) == shop.reader.read(
        "shop_shelf", name, as_of=START + timedelta(minutes=2)
    )
    assert len(shop.reader.read("shop_shelf", version=by_time.version)) == by_time.rows
    position = Position.of(EVENTS.name, partition, offset + 1)
    by_position = rebuild(shop, SHELF, until=str(position))
    row = shop.reader.read("shop_shelf", name, version=by_position.version)
    assert isinstance(row, dict)
    assert row["facts"] == 2
    assert by_position.position == str(position)
    assert live(shop, SHELF.model) == before
    with pytest.raises(NotFound):  # the one before is gone
        shop.reader.read("shop_shelf", name, version=by_time.version)
    assert rebuild(shop, SHELF).switched


def test_the_version_that_was_live_stays_until_the_next_replay(shop: Shop) -> None:
    fill(shop)
    shop.apply(ITEMS)
    first, second, third = (rebuild(shop, ITEMS) for _ in range(3))
    assert first.switched
    assert shop.reader.store("shop_items").versions(ITEMS.model) == [second.version, third.version]


def test_poison_is_passed_over_and_counted_and_not_written_down_again(shop: Shop) -> None:
    name = fill(shop)
    producer = Producer({"bootstrap.servers": shop.settings.kafka, "log_level": 0})
    producer.produce(EVENTS.name, key=name, value=b"no Avro", partition=0)
    assert producer.flush(60) == 0
    shop.apply(ITEMS)
    with LogReader(shop.settings) as log:
        before = log.ends(EVENTS.dead.name)
        result = rebuild(shop, ITEMS)
        assert log.ends(EVENTS.dead.name) == before
    assert result.identical
    assert result.dead >= 1


def test_a_fold_that_fails_changes_nothing(shop: Shop) -> None:
    fill(shop)
    shop.apply(STOCK)
    before = live(shop, STOCK.model)

    def broken(event: object, meta: object) -> Iterator[object]:
        raise RuntimeError("a bug")

    catalog = replace(CATALOG, projections=(replace(STOCK, on=broken),))  # type: ignore[arg-type]
    with pytest.raises(
        OnefactError, match=r"shop.shop_stock raised RuntimeError at shop.events:\d:\d+: a bug; nothing was"
    ):
        replay("shop_stock", shop.settings, catalog=catalog)
    assert live(shop, STOCK.model) == before
    assert max(shop.reader.store("shop_stock").versions(STOCK.model)) == before[0]


def test_a_changed_fold_is_refused_and_the_rows_are_named(shop: Shop) -> None:
    fill(shop)
    shop.apply(ITEMS)

    def doubled(event: Counted, meta: object) -> Iterator[object]:
        for operation in ITEMS.on(event, meta):  # type: ignore[arg-type]
            yield operation._replace(values={"quantity": event.quantity * 2}) if event.item == "b" else operation

    catalog = replace(CATALOG, projections=(replace(ITEMS, on=doubled),))  # type: ignore[arg-type]
    result = replay("shop_items", shop.settings, catalog=catalog)
    assert (result.switched, result.differences) == (False, [("b",)])
    assert rebuild(shop, ITEMS).identical


def test_a_store_that_goes_away_for_a_moment_is_waited_for(shop: Shop) -> None:
    fill(shop, 12_000)
    shop.apply(STOCK, batch=2000)
    cut = [0]

    def disconnect(progress: ReplayProgress) -> None:
        if progress.phase == "building" and 0 < progress.done < progress.total and cut[0] < 2:
            cut[0] += 1
            with psycopg.connect(shop.settings.postgres, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name LIKE 'onefact % shop_stock %' AND pid <> pg_backend_pid()"
                )

    result = rebuild(shop, STOCK, on_progress=disconnect)
    assert result.identical
    assert cut[0] > 0, "it was over before it could be disturbed"


def test_two_replays_at_once_of_the_same_model_are_refused(shop: Shop) -> None:
    fill(shop)
    shop.apply(ITEMS)
    refused: list[str] = []

    def again(progress: ReplayProgress) -> None:
        if progress.phase == "comparing":
            with pytest.raises(OnefactError) as raised:
                rebuild(shop, ITEMS)
            refused.append(str(raised.value))

    assert rebuild(shop, ITEMS, on_progress=again).switched
    assert refused == ["another replay of shop_items runs; wait for it"]


def test_a_model_that_nobody_knows(shop: Shop) -> None:
    with pytest.raises(NotFound, match="no read model 'shelves'; there are"):
        replay("shelves", shop.settings, catalog=CATALOG)
    assert time.monotonic() > 0


def back(shop: Shop, projection: Projection, **options: object) -> ReplayResult:
    return rollback(projection.model.name, shop.settings, catalog=CATALOG, **options)  # type: ignore[arg-type]


def test_a_replay_writes_nothing_to_the_log(shop: Shop) -> None:
    name = fill(shop)
    shop.enrich()
    shop.apply(RANKING)
    with LogReader(shop.settings) as log:
        before = {topic.name: log.ends(topic.name) for topic in CATALOG.topics}
        assert rebuild(shop, RANKING).switched
        back(shop, RANKING)
        rebuild(shop, RANKING, until=START)
        verify("shop_ranking", shop.settings, catalog=CATALOG)
        shop.reader.read("shop_ranking", f"{name}-1", as_of=START)
        assert {topic.name: log.ends(topic.name) for topic in CATALOG.topics} == before
