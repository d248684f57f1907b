"""What the campaign does to an archive: each operation goes on where an earlier run of it was ended."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from eventlog.archive import frozen, meta, objects, past, rows
from eventlog.archive.cuts import newest_cut, write_cut
from eventlog.archive.meta import Schemas, have_topic
from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink, Share
from eventlog.archive.table import Table
from eventlog.bootstrap.refill import Refill
from eventlog.bootstrap.whole import Torn, bootstrap, wanted_topics
from eventlog.envelope import Record
from eventlog.errors import Fenced, OnefactError, ServiceAway
from eventlog.provision import described, ensure_topics
from eventlog.reader import LogReader, to_record
from eventlog.settings import Settings
from eventlog.topics import Topic
from eventlog.upkeep import compact, tiers
from eventlog.upkeep.policy import Policy, TopicPolicy
from eventlog.upkeep.quiet import quiet_ends
from eventlog.upkeep.rewind import rewind
from eventlog.upkeep.tiers import Move
from eventlog.upkeep.verify import verify
from tests.archive.points import around
from tests.archive.test_sink import contents

RECORDS = 100
FILE_RECORDS = 15
SCHEMAS = 3
TRIES = 40
AGAIN = (ServiceAway, Fenced)
"""After these a runner opens its task again."""


@dataclass(frozen=True)
class Place:
    """Where a case is: a topic and a bucket of its own, and a folder for what it must not forget."""

    settings: Settings
    topic: str
    folder: Path

    @property
    def declared(self) -> Topic:
        return Topic(self.topic, (), 1, compacted="keyed" in self.topic, dead_letters=False)

    @property
    def objects(self) -> Objects:
        return Objects(self.settings)

    @property
    def table(self) -> Table:
        return Table(self.objects, self.topic)

    def expected(self) -> list[Record]:
        """What was published and committed, in order."""
        found: list[Record] = pickle.loads((self.folder / "expected").read_bytes())
        return found

    def log(self) -> list[Record]:
        """What Kafka has of it."""
        with LogReader(self.settings) as log:
            place = (self.topic, 0)
            ranges = {place: log.log_bounds(*place)}
            return [to_record(message) for _, messages, _ in log.batches(ranges) for message in messages]

    def tell(self, move: Move) -> None:
        """Keep a move, as the topic of moves would."""
        with (self.folder / "told").open("a") as told:
            told.write(json.dumps([move.source, move.target, move.begin, move.end]) + "\n")
            told.flush()
            os.fsync(told.fileno())

    def told(self) -> list[list[Any]]:
        path = self.folder / "told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fill(place: Place, seed: int) -> None:
    """A topic with records of any kind."""
    ensure_topics(place.settings, [place.declared])
    with LogReader(place.settings) as log:
        have_topic(place.objects, place.topic, log.topic_id(place.topic), described(place.settings, place.topic))
    _publish(place, random.Random(seed))


def more(place: Place) -> None:
    """As many again."""
    _publish(place, random.Random(len(place.expected())))


def _publish(place: Place, draw: random.Random) -> None:
    """Transactions that are committed, and some that are not."""
    producer = Producer(
        {"bootstrap.servers": place.settings.kafka, "transactional.id": place.topic, "log_level": 0, "linger.ms": 1}
    )
    producer.init_transactions(30)
    left = RECORDS
    while left > 0:
        producer.begin_transaction()
        for _ in range(draw.randrange(1, 30)):
            left -= 1
            key = None if not place.declared.compacted and draw.random() < 0.1 else b"k%d" % draw.randrange(12)
            head = b"\0" + draw.randrange(1, SCHEMAS + 1).to_bytes(4, "big")
            value = draw.choice((None, b"", head + draw.randbytes(20), head + draw.randbytes(200)))
            names = ("ce_id", "ce_id", "é", "n")
            headers = [(draw.choice(names), draw.choice((None, b"", b"1"))) for _ in range(draw.randrange(3))]
            producer.produce(place.topic, value, key, 0, headers=headers)
        if draw.random() < 0.25:
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    (place.folder / "expected").write_bytes(pickle.dumps(place.log()))


def schema_text(number: int) -> str:
    """Of a schema that values name."""
    return json.dumps({"type": "record", "name": f"Thing{number}", "namespace": "onefact.faults", "fields": []})


def archive(place: Place) -> None:
    """Archive all there is, opening again after every error, as a runner does."""
    store = place.objects
    sink = PartitionSink(
        store, Table(store, place.topic), 0, share=Share(), before_commit=Schemas(store, schema_text).have
    )
    for _ in range(TRIES):
        try:
            _archive(place, sink)
        except AGAIN:
            continue
        return
    raise ServiceAway("s3", "it never let the work be done")


def _archive(place: Place, sink: PartitionSink) -> None:
    with LogReader(place.settings) as log:
        low, high = log.log_bounds(place.topic, 0)
        begin = sink.open(lambda: low)
        for _, messages, _ in log.batches({(place.topic, 0): (begin, high)}):
            for start in range(0, len(messages), FILE_RECORDS):
                sink.add([to_record(message) for message in messages[start : start + FILE_RECORDS]])
                sink.flush()


def two(place: Place) -> None:
    """Two archivers that begin at the same position, taking turns."""
    store = place.objects
    sinks = [PartitionSink(store, Table(store, place.topic), 0, share=Share()) for _ in range(2)]
    records = place.log()
    begins = [sink.open(lambda: 0) for sink in sinks]
    for number, sink in enumerate(sinks):
        wanted = [record for record in records if record.offset >= begins[number]][: FILE_RECORDS + number]
        try:
            sink.add(wanted)
            sink.flush()
        except AGAIN:
            continue
    archive(place)


def swept_meanwhile(place: Place) -> None:
    """A writer that is about to commit while another process sweeps."""
    append, ages = Table.append, Objects.ages

    def late(self: Table, *given: Any) -> None:
        compact.sweep(place.objects, place.table)
        append(self, *given)

    Table.append = late  # type: ignore[method-assign]
    try:
        archive(place)
    finally:
        Table.append = append  # type: ignore[method-assign]
    (place.folder / "more").touch()
    # And one that commits between the two looks of the sweep.
    target = place.table.segments()

    def between(self: Objects, prefix: str) -> Any:
        found = list(ages(self, prefix))
        Objects.ages = ages  # type: ignore[method-assign]
        if len(target) > 1:
            compact.compact(place.objects, place.table, target)
        return found

    Objects.ages = between  # type: ignore[method-assign]
    try:
        compact.sweep(place.objects, place.table)
    finally:
        Objects.ages = ages  # type: ignore[method-assign]


def tiered(policy: TopicPolicy) -> Callable[[Place], None]:
    """What `onefact archive tier` does under a policy."""

    def run(place: Place) -> None:
        store, whole = place.objects, Policy(topics={place.topic: policy}, frozen_class="SIMULATED")
        with LogReader(place.settings) as log:
            now_ms = int(time.time() * 1000) + 1000
            for _ in tiers.apply(store, log, {place.topic: place.declared}, whole, now_ms, place.tell):
                pass

    return run


def again(place: Place) -> None:
    """The topic from the archive, in the place of one that was lost."""
    bootstrap(place.settings, wanted_topics(place.settings))


def back(place: Place) -> None:
    """The end of the archive put aside, and archived again."""
    table = place.table
    middle = place.expected()[len(place.expected()) // 2].offset
    if not (place.folder / "rewound").exists():
        rewind(place.objects, table, 0, middle)
        (place.folder / "rewound").touch()
    archive(place)


def read(place: Place) -> None:
    """Read all of it, out of the frozen tier and through a store that misbehaves."""
    patient = place.settings.model_copy(update={"archive_restore": "Expedited", "archive_look_s": 0.1})
    for _ in range(TRIES):
        found = []
        try:
            with LogReader(patient) as log:
                end = log.log_bounds(place.topic, 0)[1]
                for _, messages, _ in log.batches({(place.topic, 0): (0, end)}):
                    found += [to_record(message) for message in messages]
        except ServiceAway:
            continue
        if contents(found) != contents(place.expected()):
            raise OnefactError(f"{len(found)} records were read where {len(place.expected())} are, or others")
        return
    raise ServiceAway("s3", "it never let the work be done")


COMPACT = tiered(TopicPolicy(compact_after="0h"))
FREEZE = tiered(TopicPolicy(compact_after="never", freeze_after="0h"))
FORGET = tiered(TopicPolicy(compact_after="never", kafka_keeps="0h"))
DELETE = tiered(TopicPolicy(compact_after="never", delete_after="0h"))
LATEST = tiered(TopicPolicy(compact_after="0h", latest_per_key=True))


def cut(place: Place) -> None:
    ends = quiet_ends(place.settings, {place.topic: 1})
    assert ends, "nobody else writes to it"
    write_cut(place.objects, ends)


def lose(place: Place) -> None:
    """The cluster is gone, as far as this topic is concerned."""
    admin = AdminClient({"bootstrap.servers": place.settings.kafka, "log_level": 0})
    admin.delete_topics([place.topic])[place.topic].result()


def archive_part(place: Place) -> None:
    records, store = place.log(), place.objects
    sink = PartitionSink(store, place.table, 0, share=Share(), before_commit=Schemas(store, schema_text).have)
    sink.open(lambda: 0)
    sink.add(records[: len(records) // 2])
    sink.flush()


def forget_part(place: Place) -> None:
    """Kafka forgets what is archived, and the rest is archived."""
    FORGET(place)
    archive(place)


def latest_to_the_cut(place: Place) -> None:
    """What came after the cut stays as it is."""
    found = newest_cut(place.objects)
    assert found
    after = [each for each in place.table.segments() if each.end > found.ends[place.topic, 0]]
    LATEST(place)
    assert set(after) <= set(place.table.segments()), "files after the cut were compacted"


@contextlib.contextmanager
def _altered(place: Place) -> Iterator[None]:
    """While the block runs, a file has a record that is not the one that was archived."""
    segment = place.table.segments()[0]
    kept = place.objects.get(segment.key)
    records = list(rows.to_records(rows.from_file(kept), place.topic, 0))
    records[0].value = b"another"
    place.objects.put(segment.key, rows.to_file(rows.to_table(records), place.topic, 0, segment.begin, segment.end))
    try:
        yield
    finally:
        place.objects.put(segment.key, kept)


def forget_differing(place: Place) -> None:
    """Kafka forgets nothing that the archive does not hold as it was."""
    with _altered(place):
        try:
            FORGET(place)
        except OnefactError:
            return
    raise AssertionError("Kafka was asked to forget what the archive does not have")


def altered(place: Place) -> None:
    """An altered file is found, with Kafka and without, and not read."""
    with _altered(place):
        assert verify(place.objects, None, place.topic, 0).faults, "an altered file was taken for whole"
        try:
            list(past.Past(place.settings).batches(place.topic, 0, 0, place.table.segments()[-1].end))
        except past.Damaged:
            return
    raise AssertionError("an altered file was read")


def torn(place: Place) -> None:
    """An archive that may end within a transaction is not brought back as it is; that of a topic of clients is."""
    with LogReader(place.settings) as log:
        if log.partitions(place.topic):
            return
    try:
        wanted_topics(place.settings)
    except Torn:
        bootstrap(place.settings, wanted_topics(place.settings, [place.topic]))
        return
    raise AssertionError("it was brought back as it is")


@dataclass(frozen=True)
class Operation:
    """What is there before, and what is done then."""

    run: Callable[[Place], None]
    before: tuple[Callable[[Place], None], ...] = ()


CAMPAIGN: Mapping[str, Operation] = {
    "archive": Operation(archive),
    "compact": Operation(COMPACT, (archive,)),
    "freeze": Operation(FREEZE, (archive, COMPACT)),
    "forget": Operation(FORGET, (archive,)),
    "delete": Operation(DELETE, (archive,)),
    "keyed": Operation(LATEST, (archive, cut)),
    "bootstrap": Operation(again, (archive, cut, lose)),
    "rewind": Operation(back, (archive,)),
    "two": Operation(two),
    "swept": Operation(swept_meanwhile),
    "read": Operation(read, (archive, COMPACT, FORGET, FREEZE)),
}
GUARDS: Mapping[str, Operation] = {
    "keyed_uncut": Operation(latest_to_the_cut, (archive, cut, more, archive)),
    "forget_part": Operation(forget_part, (archive_part,)),
    "forget_differing": Operation(forget_differing, (archive,)),
    "altered": Operation(altered, (archive,)),
    "torn": Operation(torn, (archive, cut, more, archive, lose)),
}
"""What must be refused, or left alone; without faults."""
OPERATIONS = CAMPAIGN | GUARDS


def install_points() -> None:
    """Name what is done, before and after."""
    around(Objects, "put", "before put", "after put")
    around(Objects, "put_file", "before put_file", "after put_file")
    around(Objects, "copy", "before copy", "after copy")
    around(Objects, "delete", "before delete", "after delete")
    for name in ("create", "append", "replace", "remove", "rewind"):
        around(Table, name, f"before {name}", f"after {name}")
    around(frozen, "freeze", "before freeze", "after freeze")
    around(Place, "tell", "before tell", "after tell")
    around(tiers.AdminClient, "delete_records", "before delete_records", "after delete_records")
    around(Refill, "_fill", "before fill", "after fill")
    around(Refill, "write", "before write", "after write")
    around(meta, "succeed_topic", "before succeed", "after succeed")
    around(past, "fetch", "before fetch", "after fetch")


def hurry() -> None:
    """Give up on a store in seconds, so that a case sees it."""
    objects.TIMEOUT_S, objects.ATTEMPTS = 2, 4
