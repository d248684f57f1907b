"""As-of reads equal an independent fold: by time, by day, by position, directly and through an enricher."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NoReturn

import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from eventlog.digest import canonical
from eventlog.errors import BadInput, ServiceAway
from eventlog.memory import MemoryRows
from eventlog.models import Hash
from eventlog.operations import Put, coalesce
from eventlog.partition import partition_of
from eventlog.position import Position
from eventlog.roles import Projection
from eventlog.settings import Settings
from eventlog.topics import Topic
from projections import Reader
from projections.asof import Fact, Place, _apply
from projections.folding import HistoryGone
from projections.points import parse_point
from tests.projections.conftest import START, Shop
from tests.projections.shop import CATALOG, EVENTS, GIFTS, SHOP, Counted


@dataclass
class Told:
    """The facts of some shops, as the test wrote them."""

    facts: list[tuple[Counted, datetime]] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    def held(self, shop: str, until: datetime | None = None, position: Position | None = None) -> dict[str, Decimal]:
        """What a shop held, added up by hand."""
        held: dict[str, Decimal] = {}
        for (fact, when), (partition, offset) in zip(self.facts, self.places, strict=True):
            if fact.shop != shop or (until is not None and when > until):
                continue
            if position is not None and offset >= position.offsets.get((EVENTS.name, partition), 0):
                continue
            held[fact.item] = held.get(fact.item, Decimal(0)) + fact.quantity
        return {item: number for item, number in sorted(held.items()) if number}

    def total(self, shop: str, count: int) -> Decimal | None:
        """The rank after the shop's first `count` facts: only even ones are ranked."""
        own = [fact.quantity for fact, _ in self.facts if fact.shop == shop][: count - count % 2]
        return sum(own, Decimal(0)) if own else None


@pytest.fixture(scope="module")
def told(shop: Shop) -> Told:
    """600 facts of five shops; their times go back now and then."""
    rng = random.Random(7)
    names = [shop.name() for _ in range(5)]
    facts = [
        (
            Counted(shop=rng.choice(names), item=rng.choice("abcd"), quantity=Decimal(rng.randrange(-99, 100)) / 4),
            START + timedelta(minutes=number + rng.choice((0, 0, 0, -30))),
        )
        for number in range(600)
    ]
    found = Told(facts, shop.append(facts))
    shop.enrich()
    return found


def shops(told: Told) -> list[str]:
    return sorted({fact.shop for fact, _ in told.facts})


def test_a_shop_at_any_time_is_the_fold_of_its_facts_up_to_then(shop: Shop, told: Told) -> None:
    rng = random.Random(8)
    for _ in range(60):
        until = START + timedelta(minutes=rng.randrange(-5, 620), seconds=rng.choice((0, 0.000001, -0.000001)))
        name = rng.choice(shops(told))
        row = shop.reader.read("shop_shelf", name, as_of=until)
        held = told.held(name, until)
        facts = [f for f, when in told.facts if f.shop == name and when <= until]
        assert (row is None) == (not facts)
        assert row is None or isinstance(row, dict)
        assert (row["items"] if row else {}) == held, until
        assert (row["facts"] if row else 0) == len(facts)


def test_every_row_at_a_time_is_the_same_fold(shop: Shop, told: Told) -> None:
    until = START + timedelta(minutes=222)
    rows = {row["shop"]: row for row in shop.reader.read("shop_shelf", as_of=until) if row["shop"] in shops(told)}
    assert {name: row["items"] for name, row in rows.items()} == {name: told.held(name, until) for name in shops(told)}
    name = shops(told)[0]
    part = shop.reader.read("shop_stock", name, as_of=until)
    assert isinstance(part, list)
    assert {row["item"]: row["quantity"] for row in part if row["quantity"]} == told.held(name, until)


def test_now_is_what_the_live_model_shows(shop: Shop, told: Told) -> None:
    for projection in CATALOG.projections:
        shop.apply(projection)
        live = list(shop.reader.read(projection.model.name))
        folded = shop.reader.read(projection.model.name, as_of="2100-01-01")
        assert sorted(map(canonical, folded)) == sorted(map(canonical, live)), projection.name


def test_what_came_since_the_last_read_is_seen(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "1")
    assert _items(shop, name) == {"tea": 1}
    shop.count(name, "tea", "2", minutes=1)
    shop.count(name, "milk", "5", minutes=2)
    assert _items(shop, name) == {"tea": 3, "milk": 5}


def _items(shop: Shop, name: str) -> object:
    row = shop.reader.read("shop_shelf", name, as_of="2100-01-01")
    assert isinstance(row, dict)
    return row["items"]


def test_a_day_is_its_end_in_utc(shop: Shop) -> None:
    name = shop.name()
    end = (timedelta(hours=15) - timedelta(microseconds=1)).total_seconds() / 60  # the shops open at nine
    shop.count(name, "tea", "1", minutes=end)
    shop.count(name, "tea", "2", minutes=15 * 60)
    for day in ("2026-03-01", date(2026, 3, 1), "2026-03-01T23:59:59.999999Z", "2026-03-02T00:59:59.999999+01:00"):
        row = shop.reader.read("shop_shelf", name, as_of=day)
        assert isinstance(row, dict), day
        assert row["items"] == {"tea": 1}
    assert shop.reader.read("shop_shelf", name, as_of="2026-02-28") is None


@pytest.mark.parametrize("wrong", ["2026-13-01", "2026-03-01T10:00:00", "yesterday", "2026-03-01 noon"])
def test_what_is_no_point_is_refused(wrong: str) -> None:
    with pytest.raises(BadInput):
        parse_point(wrong)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(BadInput, match="no zone"):
        parse_point(datetime(2026, 3, 1, 9))


def test_a_position_is_where_the_log_was(shop: Shop, told: Told) -> None:
    rng = random.Random(9)
    for _ in range(20):
        number = rng.randrange(len(told.facts))
        name, (partition, offset) = told.facts[number][0].shop, told.places[number]
        position = Position.of(EVENTS.name, partition, offset + 1)
        row = shop.reader.read("shop_shelf", name, as_of=str(position))
        assert isinstance(row, dict)
        assert row["items"] == told.held(name, position=position)
        assert row["version"] == len([1 for fact, _ in told.facts[: number + 1] if fact.shop == name])


def test_a_position_of_the_events_holds_for_what_is_made_from_them(shop: Shop, told: Told) -> None:
    rng = random.Random(10)
    for _ in range(20):
        number = rng.randrange(len(told.facts))
        name, (partition, offset) = told.facts[number][0].shop, told.places[number]
        count = len([1 for fact, _ in told.facts[: number + 1] if fact.shop == name])
        row = shop.reader.read("shop_ranking", name, as_of=Position.of(EVENTS.name, partition, offset + 1))
        assert (row["total"] if isinstance(row, dict) else None) == told.total(name, count)


def test_a_position_of_a_topic_without_order_to_the_model_is_refused(shop: Shop, told: Told) -> None:
    with pytest.raises(BadInput, match=r"shop_shelf reads shop.events, which has no order with shop.enriched"):
        shop.reader.read("shop_shelf", shops(told)[0], as_of="shop.enriched:0:1")


def test_what_is_still_to_be_enriched_is_waited_for(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "1")
    shop.count(name, "tea", "2")
    with pytest.raises(Exception, match=r"shop_ranking lags: .*shop.enricher"):
        shop.reader.read("shop_ranking", name, as_of="2100-01-01", timeout_s=0.3)
    shop.enrich()
    row = shop.reader.read("shop_ranking", name, as_of="2100-01-01", timeout_s=60)
    assert row == {"shop": name, "total": 3}


def test_rows_that_streams_share_are_folded_from_all_of_them(shop: Shop) -> None:
    name = shop.name()
    shop.count(name, "tea", "1")
    shop.apply(GIFTS)
    for key in (name, f"{name}-neighbour"):
        with Reader(shop.settings, catalog=CATALOG) as reader:
            reader.read("shop_gifts", name, as_of="2100-01-01")  # finds out that a stream's facts go elsewhere too
            assert reader.read("shop_gifts", key, as_of="2100-01-01") == reader.read("shop_gifts", key)
    item = shop.reader.read("shop_items", "tea", as_of=START)
    assert isinstance(item, dict)
    assert item["quantity"] >= 1


def test_750_points_of_a_long_stream_take_seconds(shop: Shop) -> None:
    name = shop.name()
    facts = [(Counted(shop=name, item="tea", quantity=Decimal(1)), START + timedelta(minutes=n)) for n in range(4751)]
    shop.append(facts)
    started = time.process_time()  # what others take from the processors meanwhile does not count
    for number in range(0, 4750, 19)[:250]:
        row = shop.reader.read("shop_shelf", name, as_of=START + timedelta(minutes=number))
        assert isinstance(row, dict)
        assert row["facts"] == number + 1
    assert time.process_time() - started < 20


def test_no_store_is_needed(shop: Shop, told: Told) -> None:
    def none_there(store: str, settings: Settings) -> NoReturn:
        raise ServiceAway(store, f"{settings.home} has none")

    shop.enrich()  # what other tests have written
    name, now = shops(told)[0], "2100-01-01"
    with Reader(shop.settings, catalog=CATALOG, stores=none_there) as reader:
        for model in ("shop_shelf", "shop_ranking"):
            with pytest.raises(ServiceAway):
                reader.read(model, name)
            row = reader.read(model, name, as_of=now)
            assert row is not None
            assert row == shop.reader.read(model, name, as_of=now)


def test_a_log_whose_beginning_is_gone_is_no_history(shop: Shop) -> None:
    topic = Topic("shop.short", (Counted,), partitions=1)
    short = Projection(SHOP, Hash("shop_short", ("shop",), {"shop": "text", "facts": "integer"}), (topic,), GIFTS.on)
    admin = AdminClient({"bootstrap.servers": shop.settings.kafka, "log_level": 0})
    from confluent_kafka import Producer

    from eventlog.provision import ensure_topics

    ensure_topics(shop.settings, [topic])
    producer = Producer({"bootstrap.servers": shop.settings.kafka, "log_level": 0})
    for _ in range(3):
        producer.produce(topic.name, key="k", value=b"v")
    assert producer.flush(60) == 0
    for future in admin.delete_records([TopicPartition(topic.name, 0, 2)]).values():
        future.result()
    from dataclasses import replace

    catalog = replace(CATALOG, projections=(short,))
    with Reader(shop.settings, catalog=catalog) as reader, pytest.raises(HistoryGone, match="begins at 2"):
        reader.read("shop_short", "k", as_of="2100-01-01")


def test_a_compacted_past_is_not_made_up() -> None:
    """Between two records of a key others may be missing: then nobody knows what it was in between."""
    prices = Topic("shop.prices", (Counted,), partitions=1, compacted=True)
    model = Hash("shop_prices", ("shop",), {"shop": "text", "facts": "integer"})
    projection = Projection(SHOP, model, (prices,), GIFTS.on)
    place = Place()
    facts = []
    for offset, minute in ((0, 0), (1, 1), (7, 7), (8, 8)):
        place.saw(offset)
        change = coalesce([Put(("s",), {"facts": offset})])
        facts.append(Fact(offset, START + timedelta(minutes=minute), place.gap(b"s"), change))
    assert [fact.gap for fact in facts] == [False, False, True, False]

    def at(minute: float) -> object:
        rows = MemoryRows(model)
        _apply(rows, projection, prices, facts, START + timedelta(minutes=minute), None)
        row = rows.get(("s",))
        return row and row["facts"]

    assert [at(7), at(7.5), at(8), at(9)] == [7, 7, 8, 8]
    for unknown in (0, 1, 5):
        with pytest.raises(HistoryGone, match="compacted away"):
            at(unknown)


def test_keys_go_where_kafkas_own_clients_put_them() -> None:
    rng = random.Random(11)
    keys = [rng.randbytes(rng.randrange(30)) for _ in range(500)]
    assert [partition_of(key, 7) for key in keys] == [(murmur2(key) & 0x7FFFFFFF) % 7 for key in keys]
    assert all(a != b for a, b in pairwise(sorted(set(keys))))
