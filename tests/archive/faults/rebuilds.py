"""Read models that are rebuilt, taken back and kept at points, from facts of which Kafka has forgotten a part."""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from eventlog.archive.meta import Schemas, have_topic
from eventlog.archive.sink import PartitionSink
from eventlog.archive.table import Table
from eventlog.codec import Codec
from eventlog.digest import canonical
from eventlog.envelope import command_headers, event_id
from eventlog.errors import Fenced, OnefactError, ServiceAway
from eventlog.partition import partition_of
from eventlog.position import Position
from eventlog.provision import described, ensure_topics
from eventlog.reader import LogReader, to_record
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.sink import Store
from eventlog.steps import ProjectStep
from eventlog.topics import Domain, Topic
from eventlog.upkeep.verify import verify as verify_archive
from projections import Reader, rebuild
from projections.checkpoints import checkpoint
from projections.compare import Comparer
from projections.marks import alone
from projections.replay import replay
from projections.rollback import rollback
from projections.stores import open_store
from projections.stores.postgres._sink import PostgresSink
from projections.stores.postgres._store import PostgresStore
from projections.stores.redis._sink import RedisSink
from projections.stores.redis._store import RedisStore
from projections.verify import verify
from projections.versions import Versions
from tests.archive.faults.checks import require
from tests.archive.faults.place import Place
from tests.archive.points import around
from tests.projections.shop import SHELF, STOCK, Counted
from tests.runtime.harness import wait_none_open

FACTS = 120
PARTITIONS = 2
SHOPS = tuple(f"s{number}" for number in range(7))
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
BATCH = 10
"""Records of one commit of a rebuild."""
EVERY = 20
"""Offsets between two checkpoints."""
TRIES = 40
POINTS = 3
"""Of a case, as of which is read."""
HELD_S = 90.0
"""So long processes of a replay that was killed may hold its lock: until they have noticed."""


@dataclass
class Told:
    """What a case must not forget."""

    model: Projection
    facts: list[tuple[int, int, Counted, int, datetime]] = field(default_factory=list)
    """Those that were committed, in order: partition, offset, fact, version of its stream, time."""

    @classmethod
    def of(cls, place: Place) -> Told:
        store, facts = pickle.loads((place.folder / "facts").read_bytes())
        return cls(_projection(place, store), facts)

    def keep(self, place: Place) -> None:
        (place.folder / "facts").write_bytes(pickle.dumps((self.model.model.store, self.facts)))

    def rows(self, before: dict[int, int] | None = None) -> list[bytes]:
        """The model's rows, by arithmetic: of all facts, or of those before an offset of each partition."""
        shelves: dict[str, dict[str, Any]] = {}
        stock: dict[tuple[str, str], dict[str, Any]] = {}
        for partition, offset, fact, version, at in self.facts:
            if before is not None and offset >= before.get(partition, 0):
                continue
            shelf = shelves.setdefault(fact.shop, {"shop": fact.shop, "items": {}, "facts": 0})
            shelf["items"][fact.item] = shelf["items"].get(fact.item, Decimal(0)) + fact.quantity
            shelf |= {"facts": shelf["facts"] + 1, "version": version, "as_of": at}
            row = {"shop": fact.shop, "item": fact.item, "quantity": Decimal(0), "facts": 0}
            row = stock.setdefault((fact.shop, fact.item), row)
            row |= {"quantity": row["quantity"] + fact.quantity, "facts": row["facts"] + 1}
        for shelf in shelves.values():  # what comes to nothing is not in a map
            shelf["items"] = {item: quantity for item, quantity in shelf["items"].items() if quantity}
        wanted = stock if self.model.model.store == "postgres" else shelves
        return sorted(map(canonical, wanted.values()))


def _topic(place: Place) -> Topic:
    return Topic(place.topic, (Counted,), PARTITIONS, dead_letters=False)


def _projection(place: Place, store: str) -> Projection:
    """A table or a hash that only this case has."""
    kind = STOCK if store == "postgres" else SHELF
    model = replace(kind.model, name=place.topic.replace(".", "_"))
    return replace(kind, domain=Domain("faults", facts=(_topic(place),)), model=model, sources=(_topic(place),))


def _catalog(projection: Projection) -> Catalog:
    return Catalog(domains=(projection.domain,), projections=(projection,))


@contextmanager
def _opened(place: Place, projection: Projection) -> Iterator[Store]:
    with closing(open_store(projection.model.store, place.settings)) as store:
        store.prepare([projection.model])
        yield store


def fill(place: Place, seed: int, _: Sequence[int]) -> None:
    """Facts, a live model of them, an archive; Kafka has forgotten the older ones of a partition."""
    draw = random.Random(seed)
    ensure_topics(place.settings, [_topic(place)])
    with LogReader(place.settings) as log:
        have_topic(place.objects, place.topic, log.topic_id(place.topic), described(place.settings, place.topic))
    Told(_projection(place, draw.choice(("postgres", "redis")))).keep(place)
    _publish(place, draw)
    _apply(place)
    _archive(place)
    _forget(place, draw)


def grow(place: Place) -> None:
    """Facts that only Kafka has, in the live model too."""
    _publish(place, random.Random(len(Told.of(place).facts)))
    _apply(place)


def _publish(place: Place, draw: random.Random) -> None:
    """In transactions, some of which are aborted."""
    told = Told.of(place)
    versions: dict[str, int] = {}
    for *_, fact, version, _ in told.facts:
        versions[fact.shop] = version
    producer = Producer(
        {"bootstrap.servers": place.settings.kafka, "transactional.id": place.topic, "log_level": 0, "linger.ms": 1}
    )
    producer.init_transactions(30)
    wanted = len(told.facts) + FACTS
    with Registry(place.settings.registry) as registry:
        codec = Codec(registry, _catalog(told.model).message_types)
        while len(told.facts) < wanted:
            after, made = dict(versions), list[tuple[int, int, Counted, int, datetime]]()
            producer.begin_transaction()
            for _ in range(draw.randrange(1, 30)):
                shop = draw.choice(SHOPS)
                after[shop] = version = after.get(shop, 0) + 1
                fact = Counted(shop=shop, item=draw.choice("abc"), quantity=Decimal(draw.randrange(-9, 20)))
                at = START + timedelta(minutes=len(told.facts) + len(made))
                _produce(producer, place, codec.encode(fact), (fact, version, at), made)
            producer.flush(30)
            if draw.random() < 0.2:
                producer.abort_transaction(30)
                continue
            producer.commit_transaction(30)
            versions = after
            told.facts += sorted(made, key=lambda each: each[4])
    wait_none_open(place.settings, place.topic)
    told.keep(place)


def _produce(
    producer: Producer, place: Place, value: bytes, of: tuple[Counted, int, datetime], made: list[Any]
) -> None:
    fact, version, at = of
    extra = [("ce_sequence", b"%d" % version)]
    headers = command_headers(event_id(fact.shop, version), "faults", "Counted", fact.shop, at, extra=extra)
    partition = partition_of(fact.shop.encode(), PARTITIONS)

    def delivered(error: Any, message: Any) -> None:
        assert error is None, error
        made.append((partition, message.offset(), *of))

    producer.produce(place.topic, value, fact.shop.encode(), partition, headers=headers, on_delivery=delivered)


def _apply(place: Place) -> None:
    """Bring the live version to the log's end, as its worker would."""
    projection = Told.of(place).model
    source = projection.sources[0]
    with (
        Registry(place.settings.registry) as registry,
        LogReader(place.settings) as log,
        _opened(place, projection) as store,
    ):
        step = ProjectStep(projection, source, Codec(registry, _catalog(projection).message_types))
        for partition in range(PARTITIONS):
            with closing(store.sink(projection.model, source.name, partition)) as sink:
                ranges = {(source.name, partition): (sink.open(), log.bounds(source.name, partition)[1])}
                for _, messages, following in log.batches(ranges):
                    done = step.run([to_record(message) for message in messages]) if messages else None
                    sink.apply(done.changes if done else {}, following)


def _archive(place: Place) -> None:
    with Registry(place.settings.registry) as registry, LogReader(place.settings) as log:
        have = Schemas(place.objects, registry.lookup).have
        for partition in range(PARTITIONS):
            sink = PartitionSink(place.objects, Table(place.objects, place.topic), partition, before_commit=have)
            ranges = {(place.topic, partition): (sink.open(lambda: 0), log.bounds(place.topic, partition)[1])}
            for _, messages, _ in log.batches(ranges):
                for some in _parts(messages, 25):
                    sink.add([to_record(message) for message in some])
                    sink.flush()


def _parts(messages: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (messages[at : at + size] for at in range(0, len(messages), size))


def _forget(place: Place, draw: random.Random) -> None:
    """One partition begins in its middle, the other at its end."""
    admin, table = AdminClient({"bootstrap.servers": place.settings.kafka, "log_level": 0}), place.table
    ends = [table.next_offset(partition) or 0 for partition in range(PARTITIONS)]
    whole = draw.randrange(PARTITIONS)
    ends[1 - whole] = draw.randrange(1, max(2, ends[1 - whole]))
    places = [TopicPartition(place.topic, partition, end) for partition, end in enumerate(ends)]
    for future in admin.delete_records(places).values():
        future.result(30)


def rebuilt(workers: int) -> Callable[[Place], None]:
    """`onefact replay MODEL`, as often as the store of objects makes it necessary."""

    def run(place: Place) -> None:
        rebuild.BATCH_RECORDS.update(postgres=BATCH, redis=BATCH)
        projection = Told.of(place).model

        def once() -> None:
            found = replay(projection.model.name, place.settings, catalog=_catalog(projection), workers=workers)
            if not (found.identical and found.switched):
                raise OnefactError(f"{found.differing} rows differ: {found.sample[:1]}")

        _again(place, projection, once)

    return run


def taken_back(place: Place) -> None:
    """`onefact replay MODEL --rollback`."""
    rebuild.BATCH_RECORDS.update(postgres=BATCH, redis=BATCH)
    projection = Told.of(place).model
    name, catalog = projection.model.name, _catalog(projection)
    _again(place, projection, lambda: rollback(name, place.settings, catalog=catalog))


def kept_at_points(place: Place) -> None:
    """`onefact checkpoint MODEL`."""
    projection = Told.of(place).model
    name, catalog = projection.model.name, _catalog(projection)
    _again(place, projection, lambda: checkpoint(name, place.settings, every=EVERY, catalog=catalog))


def _again(place: Place, projection: Projection, once: Callable[[], Any]) -> None:
    deadline = time.monotonic() + HELD_S
    while True:
        try:
            with alone(place.settings, projection.model):
                break
        except OnefactError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    for _ in range(TRIES):
        try:
            once()
        except (ServiceAway, Fenced):
            continue
        return
    raise ServiceAway("s3", "it never let the work be done")


def check(place: Place, operation: str, *, ended: bool) -> None:
    """Raise `Violation`; `ended` says that the operation has come to its end."""
    told = Told.of(place)
    projection, model = told.model, told.model.model
    with LogReader(place.settings) as log, _opened(place, projection) as store:
        for partition in range(PARTITIONS):
            proof = verify_archive(place.objects, log, place.topic, partition)
            require(not proof.faults, "A1", str(proof.faults[:1]))
        live, progress = sorted(map(canonical, store.scan(model))), store.progress(model)
        require(live == told.rows(), "A7", f"{len(live)} rows are live, {len(told.rows())} must be, or others")
        ends = {(place.topic, n): log.bounds(place.topic, n)[1] for n in range(PARTITIONS)}
        left = log.waiting({at: (progress.get(at, 0), end) for at, end in ends.items()})
        require(left == 0, "A7", f"the live model is {left} records behind, and was not before")
        if not ended:
            return
        found = verify(model.name, place.settings, catalog=_catalog(projection))
        require(found.identical, "A7", f"{found.differing} rows differ from the log: {found.differences[:1]}")
        versions = store.versions(model)
        wanted = 1 if operation == "checkpoint" else 2
        require(
            len(versions) == wanted, "A8", f"there are the versions {versions}, live is {store.live_version(model)}"
        )
    if operation == "checkpoint":
        _as_of(place, told)


def _as_of(place: Place, told: Told) -> None:
    """Rows at some points, read as anybody reads them; beginning at checkpoints, of which there have to be some."""
    index = [key for key, _ in place.objects.keys("archive/models/") if "/index-" in key]
    require(index, "A9", "there are no checkpoints")
    draw = random.Random(len(told.facts))
    with Reader(place.settings, catalog=_catalog(told.model)) as reader:
        for _ in range(POINTS):
            before: dict[int, int] = {}
            for partition, offset, *_ in draw.sample(told.facts, len(told.facts) // 2):
                before[partition] = offset + 1
            point = Position({(place.topic, partition): offset for partition, offset in before.items()})
            found = sorted(map(canonical, reader.read(told.model.model.name, as_of=point)))
            require(found == told.rows(before), "A9", f"other rows as of {point}")


def install_points() -> None:
    """Name what is done to models, before and after."""
    around(Versions, "save", "before note", "after note")
    around(Comparer, "compare", "before compare", "after compare")
    for store in (PostgresStore, RedisStore):
        around(store, "create_version", "before create_version", "after create_version")
        around(store, "switch", "before switch", "after switch")
        around(store, "drop_version", "before drop_version", "after drop_version")
    for sink in (PostgresSink, RedisSink):
        around(sink, "apply", "before rows", "after rows")
