"""A compacted topic: Kafka keeps each key's newest record, the archive all of them, and reads of the past go there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ResourceType

from eventlog.archive.meta import have_topic
from eventlog.codec import Codec
from eventlog.envelope import command_headers
from eventlog.position import Position
from eventlog.provision import described, ensure_topics
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.topics import Domain, Topic
from projections import Reader
from projections.checkpoints import checkpoint
from projections.folding import HistoryGone
from projections.market import PRICES
from schemas.market import PriceQuoted
from tests.archive.conftest import Archive
from tests.backing import until
from tests.configs import configure

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
SYMBOLS = ("AAA", "BBB", "CCC")
QUOTES = 90


@pytest.fixture
def prices(archive: Archive) -> tuple[Archive, Catalog]:
    """Quotes a minute apart, archived; then Kafka has compacted them."""
    topic = Topic(archive.topic, (PriceQuoted,), 1, compacted=True, dead_letters=False)
    domain = Domain("quotes", facts=(topic,))
    model = replace(PRICES.model, name="quoted_prices")
    catalog = Catalog(domains=(domain,), projections=(Projection(domain, model, (topic,), PRICES.on),))
    ensure_topics(archive.settings, [topic])
    with LogReader(archive.settings) as log, Registry(archive.settings.registry) as registry:
        have_topic(archive.objects, topic.name, log.topic_id(topic.name), described(archive.settings, topic.name))
        publish(archive, Codec(registry, (PriceQuoted,)), range(QUOTES))
        archive.write(archive.log(), files=3)
        compact(archive)
        publish(archive, Codec(registry, (PriceQuoted,)), range(QUOTES, QUOTES + 6))
    return archive, catalog


def price(number: int) -> Decimal:
    return Decimal(100 + number)


def publish(archive: Archive, codec: Codec, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": archive.settings.kafka, "log_level": 0})
    for number in numbers:
        symbol, when = SYMBOLS[number % 3], START + timedelta(minutes=number)
        quote = PriceQuoted(symbol=symbol, price=price(number))
        headers = command_headers(f"q{number}", "test", "PriceQuoted", symbol, when)
        producer.produce(archive.topic, key=symbol, value=codec.encode(quote), partition=0, headers=headers)
    assert producer.flush(30) == 0


def compact(archive: Archive) -> None:
    """Have Kafka's own cleaner do it, which leaves the segment that is written to alone."""
    lags = {"min.compaction.lag.ms": "0", "max.compaction.lag.ms": "100"}
    place = (archive.settings, ResourceType.TOPIC, archive.topic)
    configure(*place, {"segment.ms": "50"} | lags)
    # A broker shows a change before its logs have it, and has done with one before it shows the next.
    configure(*place, {"min.cleanable.dirty.ratio": "0.001"})
    with Registry(archive.settings.registry) as registry:  # a segment ends when the next record comes
        publish(archive, Codec(registry, (PriceQuoted,)), range(QUOTES - 1, QUOTES))
    until(lambda: len(archive.log()) < 20, "compacted")


def at(number: int, symbol: str) -> Any:
    """The row as of a minute."""
    last = max((n for n in range(number + 1) if SYMBOLS[n % 3] == symbol), default=None)
    if last is None:
        return None
    return {"symbol": symbol, "price": price(last), "as_of": START + timedelta(minutes=last)}


def test_what_kafka_has_compacted_is_read_from_the_archive(prices: tuple[Archive, Catalog]) -> None:
    archive, catalog = prices
    alone = archive.settings.model_copy(update={"s3": ""})
    with Reader(alone, catalog=catalog) as reader, pytest.raises(HistoryGone, match="compacted away"):
        reader.read("quoted_prices", "AAA", as_of=START + timedelta(minutes=10))
    for kept in (False, True):
        if kept:
            assert checkpoint("quoted_prices", archive.settings, every=20, catalog=catalog).checkpoints == QUOTES // 20
        for number in (0, 1, 30, 57, 88, QUOTES + 1, QUOTES + 5):
            with Reader(archive.settings, catalog=catalog) as reader:
                for symbol in SYMBOLS:
                    point = START + timedelta(minutes=number)
                    assert reader.read("quoted_prices", symbol, as_of=point) == at(number, symbol), (number, kept)
                if number < QUOTES:
                    position = Position.of(archive.topic, 0, number + 1)
                    assert reader.read("quoted_prices", "BBB", as_of=position) == at(number, "BBB")
                whole = reader.read("quoted_prices", as_of=START + timedelta(minutes=number))
                assert sorted(row["symbol"] for row in whole) == [s for s in SYMBOLS if at(number, s)]


def test_where_files_of_checkpoints_are_gone_the_archive_is_read_and_the_next_run_begins_anew(
    prices: tuple[Archive, Catalog], caplog: pytest.LogCaptureFixture
) -> None:
    archive, catalog = prices
    made = checkpoint("quoted_prices", archive.settings, every=20, catalog=catalog).made
    assert checkpoint("quoted_prices", archive.settings, every=20, catalog=catalog).made == 0
    for key, _ in list(archive.objects.keys("archive/models/quoted_prices/")):
        if key.endswith(".parquet"):
            archive.objects.delete(key)
    with Reader(archive.settings, catalog=catalog) as reader:
        assert reader.read("quoted_prices", "AAA", as_of=START + timedelta(minutes=88)) == at(88, "AAA")
    assert "folded from the log" in caplog.text
    again = checkpoint("quoted_prices", archive.settings, every=20, catalog=catalog)
    assert (again.made, again.checkpoints) == (made, made)
    caplog.clear()
    with Reader(archive.settings, catalog=catalog) as reader:
        assert reader.read("quoted_prices", "AAA", as_of=START + timedelta(minutes=88)) == at(88, "AAA")
    assert not [record for record in caplog.records if record.name.startswith("projections")]
