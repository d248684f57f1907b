"""What the product's own clients cost, against the drivers that they are made of."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import redis

from bench.harness.model import Contest, Ready, Row, Run, figure, ratio
from bench.harness.stand import BenchError, Stand
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import command_headers
from eventlog.operations import Operation, Push, Put, coalesce
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
ENTRIES = 10
"""Of a match on television."""
PLACE = ("bench.rows", 0)


def orders(count: int) -> Iterator[BuyStock]:
    """Typed commands, made one by one as a program would."""
    for n in range(count):
        yield BuyStock(portfolio_id=f"portfolio-{n % 5000:05d}", symbol="AAPL", quantity="10", price="175.25")


@dataclass(frozen=True)
class Publishing(Ready):
    """`Publisher.send` of typed commands: made, checked, encoded, with all headers and a receipt each."""

    name: str = "publisher"
    what: str = f"`Publisher.send` of {PUBLISHED:,} typed commands and `flush`, one thread"

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
class BareProducer(Ready):
    """confluent-kafka's producer with the product's settings; keys, values and headers were made before."""

    name: str
    headers: bool

    @property
    def what(self) -> str:
        how = "the same headers, made before" if self.headers else "no headers"
        return f"confluent-kafka `produce` of {PUBLISHED:,} values encoded before, {how}, and `flush`; same settings"

    def run(self, stand: Stand, number: int) -> Run:
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


MONEY = Decimal("1234.5")
SEEN = datetime.now(UTC)
CARDS: dict[str, Any] = {
    "name": "Sergio Ramos", "team_id": "t1", "team_name": "Real Madrid", "yellow_cards": 3, "red_cards": 1,
    "as_of": SEEN, "event_id": "m1:7",
}  # fmt: skip
LINE: dict[str, Any] = {
    "version": 7, "kind": "YELLOW_CARD", "display_text": "YELLOW CARD: Sergio Ramos (Real Madrid), 67'",
    "team_id": "t1", "player_id": "p1", "time": SEEN,
}  # fmt: skip
FILLED: dict[str, Callable[[int], list[Operation]]] = {
    "portfolio": lambda n: [Put((f"p{n}",), {"cash": MONEY, "equity": MONEY, "holdings.AAPL": MONEY,
                                             "holdings.KO": MONEY, "version": 7})],
    "positions": lambda n: [Put((f"p{n}", "AAPL"), {"quantity": MONEY, "average_cost": MONEY,
                                                    "realised_profit": MONEY})],
    "tv-live": lambda n: [Push((f"p{n}",), LINE, SEEN)] * ENTRIES,
    "player-cards": lambda n: [Put((f"p{n}",), CARDS)],
}  # fmt: skip
"""A row of each model that is read, by its number."""


def fill_rows(stand: Stand) -> None:
    """Rows to read, put through the stores' own sinks."""
    for name, operations in FILLED.items():
        (projection,) = (p for p in catalog().projections if p.model.name == name)
        store = open_store(projection.model.store, stand.settings)
        store.prepare([projection.model])
        sink = store.sink(projection.model, *PLACE)
        at = sink.open()
        sink.apply(coalesce(operation for n in range(ROWS) for operation in operations(n)), at + 1)
        sink.close()
        store.close()


@dataclass(frozen=True)
class Reading(Ready):
    """One key after another, one thread, one connection: through `Reader.read`, or asked of the driver itself."""

    name: str
    what: str
    connect: Callable[[Stand, ExitStack], Callable[[str], Any]]

    def run(self, stand: Stand, number: int) -> Run:
        with ExitStack() as stack:
            get = self.connect(stand, stack)
            keys = list(itertools.islice(itertools.cycle(f"p{n}" for n in range(ROWS)), READS))
            if not all(get(key) for key in keys[:50]):
                raise BenchError("a row is missing")
            now, taken = time.perf_counter, list[float]()
            begun = at = now()
            for key in keys:
                get(key)
                before, at = at, now()
                taken.append(at - before)
        taken.sort()
        return Run({"rate": READS / (at - begun), "p99_us": taken[len(taken) * 99 // 100] * 1e6})


def _reader(model: str, key: Callable[[str], Any]) -> Callable[[Stand, ExitStack], Callable[[str], Any]]:
    def connect(stand: Stand, stack: ExitStack) -> Callable[[str], Any]:
        reader = stack.enter_context(Reader(stand.settings))
        return lambda name: reader.read(model, key(name))

    return connect


def _redis(model: str, get: Callable[[Any, str], Any]) -> Callable[[Stand, ExitStack], Callable[[str], Any]]:
    def connect(stand: Stand, stack: ExitStack) -> Callable[[str], Any]:
        client: Any = redis.Redis.from_url(stand.settings.redis, decode_responses=True)
        stack.callback(client.close)
        version = client.get(f"onefact:{model}:live") or "1"
        return lambda name: get(client, f"onefact:{model}:v{version}:row:{name}")

    return connect


def _postgres(query: LiteralString, *more: str) -> Callable[[Stand, ExitStack], Callable[[str], Any]]:
    def connect(stand: Stand, stack: ExitStack) -> Callable[[str], Any]:
        connection = stack.enter_context(psycopg.connect(stand.settings.postgres, autocommit=True))
        return lambda name: connection.execute(query, (name, *more), prepare=True).fetchone()

    return connect


def _latest(name: str, what: str, through: str, bare: str) -> tuple[Row, ...]:
    """The slowest hundredth of reads: through `Reader`, of the driver itself, and one by the other."""
    return (
        figure(name, f"{what} through `Reader`, 99th percentile", through, "p99_us", "µs"),
        figure(f"{name}-bare", f"{what} by the driver alone, 99th percentile", bare, "p99_us", "µs"),
        ratio(f"{name}-ratio", f"{what}: the first ÷ the second", through, bare, figure="p99_us"),
    )


CONTEST = Contest(
    "clients",
    "Publishing and reading one key, through the product's API and with the drivers alone.",
    (
        Publishing(),
        BareProducer("producer", headers=True),
        BareProducer("producer-without-headers", headers=False),
        Reading("read-redis", "`Reader.read('portfolio', key)`: live version, types, maps", _reader("portfolio", str)),
        Reading("hgetall", "redis-py `hgetall`, text", _redis("portfolio", lambda client, key: client.hgetall(key))),
        Reading("read-postgres", "`Reader.read('positions', (key, symbol))`: live version, types",
                _reader("positions", lambda name: (name, "AAPL"))),
        Reading("select", "psycopg `SELECT … WHERE` the key, prepared",
                _postgres("SELECT * FROM positions WHERE portfolio_id = %s AND symbol = %s", "AAPL")),
        Reading("read-tv-live", f"`Reader.read('tv-live', key)`: live version, {ENTRIES} entries, types, expiry",
                _reader("tv-live", str)),
        Reading("lrange", "redis-py `lrange`, text", _redis("tv-live", lambda client, key: client.lrange(key, 0, -1))),
        Reading("read-player-cards", "`Reader.read('player-cards', key)`: live version, types",
                _reader("player-cards", str)),
        Reading("select-player-cards", "psycopg `SELECT … WHERE` the key, prepared",
                _postgres("SELECT * FROM player_cards WHERE player_id = %s")),
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
        *_latest("tv-live", "one match's lines", "read-tv-live", "lrange"),
        *_latest("player-cards", "one player's cards", "read-player-cards", "select-player-cards"),
    ),
    prepare=fill_rows,
    load=lambda _: f"{PUBLISHED:,} commands, {READS:,} reads",
)  # fmt: skip
