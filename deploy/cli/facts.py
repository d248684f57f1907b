"""A stream's facts, read from the partition that its key belongs to."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from eventlog.codec import Codec
from eventlog.digest import plain
from eventlog.envelope import CODE_VERSION, Meta, Record, metas_of, read_meta, time_text
from eventlog.errors import Poison
from eventlog.message import Message
from eventlog.partition import partition_of
from eventlog.position import Position
from eventlog.reader import LogReader, to_record
from eventlog.registry import Registry
from eventlog.settings import Settings
from eventlog.topics import Domain, Topic
from schemas.archive import MOVES


def facts_of(
    stream: str,
    domains: Iterable[Domain],
    settings: Settings,
    *,
    everything: bool,
    on_gone: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """The stream's events, oldest first; with `everything` its refusals and enriched facts among them.

    Facts of one topic stay in the log's order; those of several are merged by the time they were written. Where
    nobody has the oldest ones any more, and of a topic with a retention those in between, `on_gone` is told which.

    Raises `Hole` where the archive ends before the log of a topic without a retention begins.
    """
    settings.required("kafka", "registry")
    domains = list(domains)
    topics = [topic for domain in domains for topic in _topics(domain, everything=everything)]
    by_name = {topic.name: topic for topic in topics}
    with LogReader(settings, archived_first=[topic.name for topic in topics if topic.compacted]) as reader:
        read = [list(_once(_records(reader, topic, stream.encode(), on_gone), topic)) for topic in topics]
    merged = heapq.merge(*read, key=lambda record: record.timestamp)
    with Registry(settings.registry) as registry:
        upcasters = [upcaster for domain in domains for upcaster in domain.upcasters]
        # Each class is a question to the registry, and a stream's facts lie in few of the topics.
        carried = [topic for topic, records in zip(topics, read, strict=True) if records]
        codec = Codec(registry, dict.fromkeys(cls for topic in carried for cls in topic.types), upcasters)
        return [fact for record in merged for fact in _facts(record, by_name[record.topic], codec)]


def _topics(domain: Domain, *, everything: bool) -> Iterator[Topic]:
    if domain.events:
        yield domain.topic("events")
    if domain.commands and everything:
        yield domain.topic("rejections")
    if domain.enriched and everything:
        yield domain.topic("enriched")
    yield from domain.facts


def _records(reader: LogReader, topic: Topic, key: bytes, on_gone: Callable[[str], None]) -> Iterator[Record]:
    if not reader.partitions(topic.name):
        return
    partition = partition_of(key, topic.partitions)
    before = 0
    # Of what is kept for ever nothing in between may be gone: reading it raises.
    for begin, end in reader.kept(topic.name, partition, over_gaps=topic.retention is None):
        if before < begin:
            place = f"{topic.name}:{partition}"
            on_gone(f"{place}: offsets {before} to {begin - 1} are gone, neither the log nor an archive has them")
        for _, messages, _ in reader.batches({(topic.name, partition): (begin, end)}):
            for message in messages:
                if message.key() == key:
                    yield to_record(message)
        before = end


def _once(records: Iterator[Record], topic: Topic) -> Iterator[Record]:
    """Moves of the archive are told at least once, each time under the same id."""
    told: set[bytes | None] = set()
    for record in records:
        if topic.name == MOVES.name:
            if (given := dict(record.headers).get("ce_id")) in told:
                continue
            told.add(given)
        yield record


def _facts(record: Record, topic: Topic, codec: Codec) -> list[dict[str, Any]]:
    """What the record means today: one fact, several where it was split since it was written."""
    try:
        meta = read_meta(record)
        messages = codec.messages(record.value, topic)
    except Poison:
        return []  # no fact; whoever reads the topic has it among its dead letters
    if len(messages) == 1 and type(messages[0]).__name__ == meta.type:
        return [_fact(record, messages[0], meta)]
    return [_fact(record, message, own) for message, own in metas_of(meta, messages)]


def _fact(record: Record, message: Message, meta: Meta) -> dict[str, Any]:
    return {
        "type": meta.type,
        "id": meta.id,
        "stream": meta.stream,
        "version": meta.version,
        "time": time_text(meta.time),
        "data": plain(msgspec.structs.asdict(message)),
        "causation": meta.causation,
        "correlation": meta.correlation,
        "source": meta.source,
        "code": (dict(record.headers).get(CODE_VERSION) or b"").decode(errors="replace"),
        "topic": record.topic,
        "position": str(Position.of(record.topic, record.partition, record.offset + 1)),
    }
