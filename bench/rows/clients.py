"""What the product's own clients cost, against the drivers that they are made of."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import redis

from bench.harness.model import Contest, Run, ratio
from bench.harness.stand import BenchError, Stand
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import command_headers
from eventlog.operations import Put, coalesce
from eventlog.registry import Registry
from producers import Publisher
from producers._producer import new_producer
from projections import Reader
from projections.stores import open_store
from schemas.trading import TRADING, BuyStock

COMMANDS = TRADING.topic("commands").name
PUBLISHED = 200_000
READS = 5_000
ROWS = 1_000
PLACE = ("bench.rows", 0)


def orders(count: int) -> Iterator[BuyStock]:
    """Typed commands, made one by one as a program would."""
    for n in range(count):
        yield BuyStock(portfolio_id=f"portfolio-{n % 5000:05d}", symbol="AAPL", quantity="10", price="175.25")


@dataclass(frozen=True)
class Publishing:
    """`Publisher.send` of typed commands: made, checked, encoded, with all headers and a receipt each."""

    name: str = "publisher"
    what: str = f"`Publisher.send` of {PUBLISHED:,} typed commands and `flush`, one thread"

    def missing(self) -> str | None:
        return None

    def prepare(self, stand: Stand) -> None:
        pass

    def run(self, stand: Stand, number: int) -> Run:
        stand.fresh([TRADING.topic("commands")])
        with Publisher(stand.settings) as publisher:
            publisher.send(next(orders(1)))  # asks registry and broker
            publisher.flush()
            begun = time.perf_counter()
            for order in orders(PUBLISHED):
                publisher.send(order)
            publisher.flush()
            seconds = time.perf_counter() - begun
        return _published(stand, seconds, PUBLISHED + 1)


@dataclass(frozen=True)
class BareProducer:
    """confluent-kafka's producer with the product's settings; keys, values and headers were made before."""

    name: str
    headers: bool

    @property
    def what(self) -> str:
        how = "the same headers, made before" if self.headers else "no headers"
        return f"confluent-kafka `produce` of {PUBLISHED:,} values encoded before, {how}, and `flush`; same settings"

    def missing(self) -> str | None:
        return None

    def prepare(self, stand: Stand) -> None:
        pass

    def run(self, stand: Stand, number: int) -> Run:
        from datetime import UTC, datetime

        stand.fresh([TRADING.topic("commands")])
        producer = new_producer(stand.settings)
        with Registry(stand.settings.registry) as registry:
            encode = Codec(registry, [BuyStock]).encoder(BuyStock)
            now, records = datetime.now(UTC), []
            for n, order in enumerate(orders(PUBLISHED)):
                headers = command_headers(f"order-{n:08d}-0000-4000-8000", "bench", "BuyStock", order.stream, now)
                records.append((order.stream.encode(), encode(order), headers if self.headers else None))
        produce: Callable[..., None] = producer.produce
        producer.list_topics(COMMANDS, timeout=10)
        begun = time.perf_counter()
        for number_, (key, value, given) in enumerate(records):
            while True:
                try:
                    produce(COMMANDS, value, key, headers=given)
                    break
                except BufferError:
                    producer.poll(0.1)
            if number_ % 1000 == 0:
                producer.poll(0)
        left = producer.flush(60)
        seconds = time.perf_counter() - begun
        if left:
            raise BenchError(f"{left} records were not taken")
        return _published(stand, seconds, PUBLISHED)


def _published(stand: Stand, seconds: float, expected: int) -> Run:
    if (found := stand.end(COMMANDS)) != expected:
        raise BenchError(f"{COMMANDS} has {found} records, not {expected}")
    return Run({"rate": PUBLISHED / seconds, "seconds": seconds})


def fill_rows(stand: Stand) -> None:
    """Rows to read, put through the stores' own sinks."""
    for name in ("portfolio", "positions"):
        (projection,) = (p for p in catalog().projections if p.model.name == name)
        store = open_store(projection.model.store, stand.settings)
        store.prepare([projection.model])
        sink = store.sink(projection.model, *PLACE)
        at = sink.open()
        money = Decimal("1234.5")
        values: dict[str, Any] = (
            {"cash": money, "equity": money, "holdings.AAPL": money, "holdings.KO": money, "version": 7}
            if name == "portfolio"
            else {"quantity": money, "average_cost": money, "realised_profit": money}
        )
        keys: list[Any] = [(f"p{n}",) if name == "portfolio" else (f"p{n}", "AAPL") for n in range(ROWS)]
        sink.apply(coalesce(Put(key, values) for key in keys), at + 1)
        sink.close()
        store.close()


@dataclass(frozen=True)
class Reading:
    """One key after another, one thread, one connection: through `Reader.read`, or asked of the driver itself."""

    name: str
    what: str
    connect: Callable[[Stand, ExitStack], Callable[[str], Any]]

    def missing(self) -> str | None:
        return None

    def prepare(self, stand: Stand) -> None:
        pass

    def run(self, stand: Stand, number: int) -> Run:
        with ExitStack() as stack:
            get = self.connect(stand, stack)
            keys = list(itertools.islice(itertools.cycle(f"p{n}" for n in range(ROWS)), READS))
            if not all(get(key) for key in keys[:50]):
                raise BenchError("a row is missing")
            begun = time.perf_counter()
            for key in keys:
                get(key)
            seconds = time.perf_counter() - begun
        return Run({"rate": READS / seconds})


def _reader(model: str, key: Callable[[str], Any]) -> Callable[[Stand, ExitStack], Callable[[str], Any]]:
    def connect(stand: Stand, stack: ExitStack) -> Callable[[str], Any]:
        reader = stack.enter_context(Reader(stand.settings))
        return lambda name: reader.read(model, key(name))

    return connect


def _redis(stand: Stand, stack: ExitStack) -> Callable[[str], Any]:
    client: Any = redis.Redis.from_url(stand.settings.redis, decode_responses=True)
    stack.callback(client.close)
    version = client.get("onefact:portfolio:live") or "1"
    return lambda name: client.hgetall(f"onefact:portfolio:v{version}:row:{name}")


def _postgres(stand: Stand, stack: ExitStack) -> Callable[[str], Any]:
    connection = stack.enter_context(psycopg.connect(stand.settings.postgres, autocommit=True))
    query = "SELECT * FROM positions WHERE portfolio_id = %s AND symbol = %s"
    return lambda name: connection.execute(query, (name, "AAPL"), prepare=True).fetchone()


CONTEST = Contest(
    "clients",
    "Publishing and reading one key, through the product's API and with the drivers alone.",
    (
        Publishing(),
        BareProducer("producer", headers=True),
        BareProducer("producer-without-headers", headers=False),
        Reading("read-redis", "`Reader.read('portfolio', key)`: live version, types, maps", _reader("portfolio", str)),
        Reading("hgetall", "redis-py `hgetall`, text", _redis),
        Reading("read-postgres", "`Reader.read('positions', (key, symbol))`: live version, types",
                _reader("positions", lambda name: (name, "AAPL"))),
        Reading("select", "psycopg `SELECT … WHERE` the key, prepared", _postgres),
    ),
    (
        ratio("publishing", "publishing, typed commands ÷ bare producer, encoded bytes and headers", "publisher",
              "producer", at_least=0.3),
        ratio("publishing-bare", "… ÷ bare producer, encoded bytes, no headers", "publisher",
              "producer-without-headers"),
        ratio("read-redis", "one key of Redis through `Reader` ÷ redis-py's `hgetall`", "read-redis", "hgetall",
              at_least=0.5),
        ratio("read-postgres", "one key of Postgres through `Reader` ÷ psycopg", "read-postgres", "select",
              at_least=0.5),
    ),
    prepare=fill_rows,
)  # fmt: skip
