"""All of it: schemas, topics with their records, positions of the groups; done again, it goes on where it was ended.

A topic is made, noted as under way, written, held against the archive record by record, and only then the one that the
archive goes on with. One that was under way when its run ended is deleted and made again: what a killed producer leaves
takes offsets of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

from eventlog.archive import meta
from eventlog.archive.cuts import newest_cut
from eventlog.archive.objects import Objects
from eventlog.archive.past import Past
from eventlog.archive.table import NoTable, Table
from eventlog.bootstrap.refill import Refill, Refilled
from eventlog.bootstrap.schemas import place_schemas
from eventlog.errors import NotFound, OnefactError, ServiceAway
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.settings import Settings
from eventlog.upkeep.overlap import LACKING, NOT_VOID
from eventlog.upkeep.proof import Fault
from eventlog.upkeep.rewind import rewind
from eventlog.upkeep.verify import NO_FILE, verify

AT_ONCE = 4
"""Partitions that are written at a time."""
TIMEOUT_S = 60
_RUN = f"{meta.ROOT}/bootstrap.json"
_UNDER_WAY = f"{meta.ROOT}/bootstrap"


class NotEmpty(OnefactError):
    """The cluster has records of its own under a name that is to be brought back."""


class Torn(OnefactError):
    """The archive does not end at a moment when nothing was under way."""


@dataclass(frozen=True)
class Restored:
    """What became of one topic."""

    topic: str
    partitions: int
    records: int
    fillers: int
    """Offsets that hold nothing, as they did before."""
    left_out: int
    aside: int
    """Records that were archived after the cut, and put aside."""
    seconds: float


@dataclass(frozen=True)
class Wanted:
    """One topic: how it was made, and where each partition ends."""

    name: str
    made: Mapping[str, Any]
    archived: Mapping[int, int]
    """Offset after the last record that is archived, by partition."""
    ends: Mapping[int, int]
    """Where the log ended, by partition: markers may follow the last record."""

    @property
    def expires(self) -> bool:
        """Whether records are kept for a time only: some may have gone before they were archived."""
        return meta.expires(self.made)


def wanted_topics(settings: Settings, published: Collection[str] = (), *, at_cut: bool = False) -> list[Wanted]:
    """Every archived topic that the cluster does not have yet, to the newest cut.

    Of what is `published`, by clients, what came after it is kept too.

    Raises `Torn` where something else is archived after it, but for `at_cut`: then that is to be put aside.
    """
    objects = Objects(settings.required("kafka", "registry", "s3"))
    if not (topics := meta.topics_of(objects)):
        raise NotFound(f"there is no archive in {objects.address.endpoint}/{objects.address.bucket}")
    with LogReader(settings) as log:
        there = _admin(settings).list_topics(timeout=TIMEOUT_S).topics
        topics = {n: made for n, made in topics.items() if n not in there or log.topic_id(n) != made["topic_id"]}
    for name, made in topics.items():
        if made["config"].get("message.timestamp.type") == "LogAppendTime":
            raise OnefactError(f"{name} has times of the broker's, which nobody can write again")
    cut = newest_cut(objects)
    if cut is None:
        raise Torn("the archive has no cut: it never reached a moment at which nothing was under way")
    found, beyond = [], []
    for name, made in sorted(topics.items()):
        numbers = range(made["partitions"])
        try:
            archived = Table(objects, name).next_offsets(numbers)
        except NoTable:
            archived = {}
        ends = {number: cut.ends.get((name, number), 0) for number in numbers}
        if name in published:
            ends = {number: max(end, archived.get(number, 0)) for number, end in ends.items()}
        beyond += [f"{name}:{number}" for number, offset in archived.items() if offset > ends[number]]
        found.append(Wanted(name, made, archived, ends))
    if beyond and not at_cut:
        raise Torn(
            f"what is archived of {', '.join(beyond[:3])}{' and others' if len(beyond) > 3 else ''} goes beyond the "
            "newest cut, and may be half of a transaction. With --at-cut it is put aside, and worked out again from "
            "the commands, which are kept"
        )
    return found


def bootstrap(
    settings: Settings, wanted: list[Wanted], on_topic: Callable[[Restored], None] = lambda _: None
) -> list[Restored]:
    """Bring back schemas and topics.

    Raises `NotEmpty`, `IdsTaken`, `NotAsExpected`, `Damaged`, `Frozen`, `ServiceAway`. No worker may run.
    """
    objects = Objects(settings.required("kafka", "registry", "s3"))
    with Registry(settings.registry) as registry:
        place_schemas(registry, meta.schemas_of(objects))
    if not wanted:
        return []
    with ThreadPoolExecutor(AT_ONCE) as pool, _writers(settings, pool) as writers:
        done = []
        for topic in wanted:
            done.append(_topic(settings, objects, topic, pool, writers))
            on_topic(done[-1])
    return done


def begin(settings: Settings, wanted: Iterable[Wanted]) -> list[str]:
    """Note what is brought back, until `finish`: these topics, and those of a run that was ended before that."""
    objects = Objects(settings.required("s3"))
    try:
        before = json.loads(objects.get(_RUN))["topics"]
    except NotFound:
        before = []
    names = sorted({*before, *(topic.name for topic in wanted)})
    if names:
        objects.put(_RUN, json.dumps({"topics": names}).encode())
    return names


def finish(settings: Settings) -> None:
    """Everything is done that follows the topics, too: positions of groups, and what is to be told."""
    Objects(settings).delete(_RUN)


@contextmanager
def _writers(settings: Settings, pool: ThreadPoolExecutor) -> Iterator[SimpleQueue[Refill]]:
    """As many as are used at a time, all of them open before anything is made: that ends what a killed run left."""
    opening = [pool.submit(Refill, settings, number) for number in range(AT_ONCE)]
    wait(opening)
    writers: SimpleQueue[Refill] = SimpleQueue()
    try:
        for each in opening:
            writers.put(each.result())
        yield writers
    finally:
        for each in opening:
            if each.exception() is None:
                each.result().close()


def _topic(
    settings: Settings, objects: Objects, wanted: Wanted, pool: ThreadPoolExecutor, writers: SimpleQueue[Refill]
) -> Restored:
    """Bring one topic back."""
    began, admin = time.monotonic(), _admin(settings)
    before = None
    if wanted.name in admin.list_topics(timeout=TIMEOUT_S).topics:
        with LogReader(settings) as log:  # of its own: a client goes on believing in a topic that it has met
            before = _require_ours(objects, log, wanted.name)
        _delete(admin, wanted.name)
    table = Table(objects, wanted.name)
    ahead = [number for number, offset in wanted.archived.items() if offset > wanted.ends[number]]
    aside = sum(rewind(objects, table, number, wanted.ends[number]) for number in ahead)
    _create(settings, admin, wanted)
    past = Past(settings)

    def write(partition: int) -> Refilled:
        writer = writers.get()
        try:
            end = wanted.ends[partition]
            pieces = _pieces(past, wanted, partition)
            return writer.write(wanted.name, partition, pieces, end)
        finally:
            writers.put(writer)

    with LogReader(settings) as log:
        topic_id = _id_of_new(log, wanted.name, before)
        objects.put(_note(wanted.name), json.dumps({"topic_id": topic_id}).encode())
        done = list(pool.map(write, range(wanted.made["partitions"])))
        for each in done:
            _require_same(settings, objects, log, wanted, each)
    meta.succeed_topic(objects, wanted.name, topic_id)
    objects.delete(_note(wanted.name))
    return Restored(
        wanted.name,
        len(done),
        sum(each.records for each in done),
        sum(each.fillers for each in done),
        sum(len(each.left_out) for each in done),
        aside,
        round(time.monotonic() - began, 3),
    )


def _pieces(past: Past, wanted: Wanted, partition: int) -> Iterator[list[Any]]:
    """What is archived of a partition, up to where it is to end; raises `Hole` where facts are missing."""
    end = min(wanted.archived.get(partition, 0), wanted.ends[partition])
    for begin, until in past.spans(wanted.name, partition, over_gaps=not wanted.expires):
        if begin < end:
            batches = past.batches(wanted.name, partition, begin, min(until, end))
            yield from (messages for messages, _ in batches)


def _note(topic: str) -> str:
    return f"{_UNDER_WAY}/{topic}.json"


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})


def _require_ours(objects: Objects, log: LogReader, name: str) -> str:
    """Id of a topic that may be deleted: nobody has written to it, or a run of ours that was ended."""
    topic_id = log.topic_id(name)
    try:
        noted = json.loads(objects.get(_note(name)))["topic_id"]
    except NotFound:
        noted = None
    if noted != topic_id and any(log.log_bounds(name, partition)[1] for partition in log.partitions(name)):
        raise NotEmpty(
            f"the cluster has a topic {name} with records of its own: bootstrap brings an empty cluster back; "
            "delete the topic, or give another cluster"
        )
    return topic_id


def _delete(admin: AdminClient, name: str) -> None:
    _result(admin.delete_topics([name], operation_timeout=TIMEOUT_S)[name], name)


def _create(settings: Settings, admin: AdminClient, wanted: Wanted) -> None:
    """Make the topic; the broker may still be deleting the one before."""
    config = {name: value for name, value in wanted.made["config"].items() if name != "min.insync.replicas"}
    if settings.replication_factor >= 3:
        config["min.insync.replicas"] = "2"
    topic = NewTopic(wanted.name, wanted.made["partitions"], settings.replication_factor, config=config)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            admin.create_topics([topic], operation_timeout=TIMEOUT_S)[wanted.name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > deadline:
                raise ServiceAway("kafka", f"topic {wanted.name}: {error.args[0].str()}") from None
            time.sleep(0.2)
        else:
            return


def _id_of_new(log: LogReader, name: str, before: str | None) -> str:
    """Id of a topic that was only just made; the answering broker may still be hearing of it, or of the one before."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            if (found := log.topic_id(name)) != before:
                return found
        except ServiceAway:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise ServiceAway("kafka", f"it does not know of the new topic {name}")
        time.sleep(0.1)


def _result(future: Any, name: str) -> None:
    try:
        future.result()
    except KafkaException as error:
        raise ServiceAway("kafka", f"topic {name}: {error.args[0].str()}") from None


def _require_same(settings: Settings, objects: Objects, log: LogReader, wanted: Wanted, done: Refilled) -> None:
    """Hold a partition against the archive, record by record."""
    if not wanted.archived.get(done.partition):
        return
    compacted = "compact" in wanted.made["config"].get("cleanup.policy", "")
    proof = verify(objects, log, wanted.name, done.partition, compacted=compacted)
    left_out = set(done.left_out)
    for fault in proof.faults:
        if fault.what == NO_FILE and wanted.expires:
            continue  # it is in nothing that is archived
        if fault.what not in (LACKING, NOT_VOID) or not _archived(settings, fault) <= left_out:
            raise OnefactError(f"what was written is not what is archived: {fault}")


def _archived(settings: Settings, fault: Fault) -> set[int]:
    """Offsets of the archive's records in a range."""
    pieces = Past(settings).batches(fault.topic, fault.partition, fault.begin, fault.end)
    return {message.offset() for messages, _ in pieces for message in messages}
