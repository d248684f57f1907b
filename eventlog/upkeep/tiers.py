"""Moves records between Kafka and the tiers of the archive, as the policy says: planned first, each told as a fact.

What leaves a place was read back from the next one and held against it before. Killed anywhere, nothing is lost or
twice there, and the next run goes on: what is to be done is found anew from what lies where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from eventlog.archive.objects import Objects
from eventlog.archive.past import Past
from eventlog.archive.table import Segment, Table
from eventlog.errors import BadInput, OnefactError, ServiceAway
from eventlog.reader import LogReader
from eventlog.topics import Topic
from eventlog.upkeep.compact import compact, runs, sweep
from eventlog.upkeep.policy import Policy, age_of
from eventlog.upkeep.verify import verify

TIMEOUT_S = 30


@dataclass(frozen=True)
class Move:
    """Records of one partition from one place to another."""

    topic: str
    partition: int
    source: str
    target: str
    begin: int
    end: int
    files: int
    bytes_before: int
    bytes_after: int
    cost_before: float
    """A month."""
    cost_after: float
    why: str
    digest: str = ""

    @property
    def id(self) -> str:
        """The same whenever it is told."""
        return f"archive-{self.topic}-{self.partition}-{self.target}-{self.begin}-{self.end}"


Tell = Callable[[Move], None]
"""Keeps a move as a fact; on return it is kept."""


def plan(objects: Objects, log: LogReader, topics: Mapping[str, Topic], policy: Policy, now_ms: int) -> Iterator[Move]:
    """What the policy would have moved now. Raises `BadInput` where the policy cannot be kept."""
    if unknown := policy.topics.keys() - topics.keys():
        raise BadInput(f"the policy names {', '.join(sorted(unknown))}, which is not archived")
    past = Past(objects.settings)
    for name, topic in topics.items():
        for partition in past.partitions(name):
            segments = past.segments(name, partition)
            for run in compactions(segments, policy, now_ms):
                yield compaction_move(run, policy)
            if (forgotten := _forgetting(log, topic, partition, segments, policy, now_ms)) is not None:
                yield forgotten


def compactions(segments: list[Segment], policy: Policy, now_ms: int) -> Iterator[tuple[Segment, ...]]:
    """Files of one partition that are old enough to be one."""
    age = age_of(policy.of(segments[0].topic).compact_after) if segments else None
    if age is not None:
        limit_ms = now_ms - age.total_seconds() * 1000
        yield from runs([segment for segment in segments if segment.written_ms <= limit_ms])


def compaction_move(run: Sequence[Segment], policy: Policy, made: Segment | None = None) -> Move:
    """Of files that become one, or of those that did."""
    size = sum(segment.size for segment in run)
    after = size if made is None else made.size
    return Move(
        topic=run[0].topic,
        partition=run[0].partition,
        source="warm",
        target="cold",
        begin=run[0].begin,
        end=run[-1].end,
        files=len(run),
        bytes_before=size,
        bytes_after=after,
        cost_before=policy.prices.monthly("warm", size),
        cost_after=policy.prices.monthly("cold", after),
        why=f"compact_after: {policy.of(run[0].topic).compact_after}",
        digest="" if made is None else made.digest,
    )


def _forgetting(
    log: LogReader, topic: Topic, partition: int, segments: list[Segment], policy: Policy, now_ms: int
) -> Move | None:
    """What Kafka need not keep any more: older than the policy says, and archived."""
    keeps = policy.of(topic.name).kafka_keeps
    age = age_of(keeps)
    if age is None:
        return None
    if topic.compacted:
        raise BadInput(f"kafka_keeps: {keeps} of {topic.name}: Kafka deletes no range of a compacted topic")
    begin, end = log.log_bounds(topic.name, partition)
    young = log.offset_at(topic.name, partition, int(now_ms - age.total_seconds() * 1000))
    until = min(young, end, segments[-1].end)
    if until <= begin:
        return None
    # Kafka does not say what a range takes; the archive's files of it are the nearest there is.
    concerned = [segment for segment in segments if segment.end > begin and segment.begin < until]
    size = sum(segment.size for segment in concerned)
    return Move(
        topic=topic.name,
        partition=partition,
        source="kafka",
        target="archive",
        begin=begin,
        end=until,
        files=len(concerned),
        bytes_before=size,
        bytes_after=0,
        cost_before=policy.prices.monthly("kafka", size),
        cost_after=0.0,
        why=f"kafka_keeps: {keeps}",
    )


def apply(
    objects: Objects, log: LogReader, topics: Mapping[str, Topic], policy: Policy, now_ms: int, tell: Tell
) -> Iterator[Move]:
    """Do what the policy says, each move told before its source is given up.

    Raises where something is not as it should be; nothing more is moved then.
    """
    planned = list(plan(objects, log, topics, policy, now_ms))
    for name in dict.fromkeys(move.topic for move in planned):
        table = Table(objects, name)
        for partition in Past(objects.settings).partitions(name):
            segments = [segment for segment in table.segments() if segment.partition == partition]
            for run in compactions(segments, policy, now_ms):
                done = compact(objects, table, run, policy.cold_class)
                yield compaction_move(run, policy, done.made)
    for name in topics:
        if Past(objects.settings).partitions(name):
            table = Table(objects, name)
            # What a run that was killed has replaced and not told is told here.
            sweep(objects, table, before=lambda sources, made: tell(compaction_move(sources, policy, made)))
    for move in planned:
        if move.source == "kafka":
            forget(objects, log, move, tell)
            yield move


def forget(objects: Objects, log: LogReader, move: Move, tell: Tell) -> None:
    """Delete a range from Kafka that the archive is proved to hold, record by record. Raises where it does not."""
    proof = verify(objects, log, move.topic, move.partition)
    if proof.faults:
        raise OnefactError(f"nothing is deleted from Kafka: {proof.faults[0]}")
    if not proof.begin <= move.begin or move.end > proof.end:
        raise OnefactError(f"nothing is deleted from Kafka: {move.topic}:{move.partition} is archived to {proof.end}")
    tell(move)
    admin = AdminClient({"bootstrap.servers": objects.settings.kafka, "log_level": 0})
    place = TopicPartition(move.topic, move.partition, move.end)
    try:
        for future in admin.delete_records([place], request_timeout=TIMEOUT_S).values():
            future.result(TIMEOUT_S)
    except KafkaException as error:
        raise ServiceAway("kafka", f"{move.topic}: {error.args[0].str()}") from None
