"""Moves records between Kafka and the tiers of the archive, as the policy says: planned first, each told as a fact.

What leaves a place was read back from the next one and held against it before. Killed anywhere, nothing is lost or
twice there, and the next run goes on: what is to be done is found anew from what lies where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from eventlog.archive import meta, rows
from eventlog.archive.cuts import Cut, newest_cut
from eventlog.archive.objects import Objects
from eventlog.archive.past import Past
from eventlog.archive.table import NoTable, Segment, Table, Tier
from eventlog.errors import BadInput, OnefactError, ServiceAway
from eventlog.reader import LogReader
from eventlog.topics import Topic
from eventlog.upkeep.compact import DAY_MS, FILES_MIN, compact, day_of, runs, sweep, to_sweep
from eventlog.upkeep.freeze import freeze
from eventlog.upkeep.policy import Policy, age_of
from eventlog.upkeep.verify import NO_FILE, verify

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
        """The same whenever it is told; another one where other files of the same range are moved later."""
        # What Kafka has of a range is given up once, whatever files hold it by then.
        which = "" if self.source == "kafka" else f"-{self.digest[:16]}"
        return f"archive-{self.topic}-{self.partition}-{self.target}-{self.begin}-{self.end}{which}"


def digest_over(segments: Sequence[Segment]) -> str:
    """The file's own; of several, SHA-256 over their digests in their order, each in hexadecimal and a line."""
    if len(segments) == 1:
        return segments[0].digest
    return rows.digest_of("".join(f"{segment.digest}\n" for segment in segments).encode())


Tell = Callable[[Move], None]
"""Keeps a move as a fact; on return it is kept."""


def plan(objects: Objects, log: LogReader, topics: Mapping[str, Topic], policy: Policy, now_ms: int) -> Iterator[Move]:
    """What the policy would have moved now. Raises `BadInput` where the policy cannot be kept."""
    if unknown := policy.topics.keys() - topics.keys():
        raise BadInput(f"the policy names {', '.join(sorted(unknown))}, which is not archived")
    past, cut = Past(objects.settings), newest_cut(objects)
    for name, topic in topics.items():
        if policy.of(name).latest_per_key and (topic.types or not topic.compacted):
            raise BadInput(f"latest_per_key of {name}: of state alone, which is a compacted topic without facts")
        for partition in past.partitions(name):
            segments = past.segments(name, partition)
            for run in compactions(segments, policy, now_ms, _end_of(cut, name, partition)):
                yield move_of(run, None, policy)
            for segment in freezings(segments, policy, now_ms):
                yield move_of((segment,), None, policy)
            if gone := deletions(segments, policy, now_ms):
                yield deletion_move(gone, policy)
            if (forgotten := _forgetting(log, topic, partition, segments, policy, now_ms)) is not None:
                yield forgotten


def compactions(
    segments: list[Segment], policy: Policy, now_ms: int, cut_end: int | None = None
) -> Iterator[tuple[Segment, ...]]:
    """Files of one partition that are old enough to be one: of a day that is over, all of whose files are, or as many
    as fill a file. What is compacted at once, `0h`, does not wait for its day.

    Where each key's last record is to stay alone, all up to the newest cut: a cluster may be brought back to it.
    """
    if not segments:
        return
    own, today = policy.of(segments[0].topic), now_ms // DAY_MS
    old = _older(segments, own.compact_after, now_ms)
    waiting = {day_of(segment) for segment in segments if segment not in old}
    if age_of(own.compact_after):
        waiting.add(today)
    if not own.latest_per_key:
        yield from runs(old, today=today, waiting=waiting)
        return
    old = [segment for segment in old if day_of(segment) not in waiting]
    run = tuple(segment for segment in old if cut_end is not None and segment.end <= cut_end)
    if run == tuple(segments[: len(run)]) and any(segment.tier == "warm" for segment in run) and len(run) >= FILES_MIN:
        yield run


def _end_of(cut: Cut | None, topic: str, partition: int) -> int | None:
    return None if cut is None else cut.ends.get((topic, partition))


def freezings(segments: list[Segment], policy: Policy, now_ms: int) -> list[Segment]:
    """Compacted files of one partition that are old enough to be frozen."""
    age = policy.of(segments[0].topic).freeze_after if segments else "never"
    return [segment for segment in _older(segments, age, now_ms) if segment.tier == "cold"]


def deletions(segments: list[Segment], policy: Policy, now_ms: int) -> list[Segment]:
    """The oldest files of one partition, as far as they are old enough to be deleted; never the last one."""
    age = policy.of(segments[0].topic).delete_after if segments else "never"
    old = _older(segments[:-1], age, now_ms)
    return [segment for segment, other in zip(old, segments, strict=False) if segment == other]


def _older(segments: Sequence[Segment], age: str, now_ms: int) -> list[Segment]:
    limit = age_of(age)
    if limit is None:
        return []
    return [segment for segment in segments if segment.written_ms <= now_ms - limit.total_seconds() * 1000]


def move_of(run: Sequence[Segment], made: Segment | None, policy: Policy) -> Move:
    """Of files that go into another tier, or did: several warm ones become a cold one, a cold one becomes frozen."""
    source = run[0].tier
    target: Tier = made.tier if made else "cold" if source == "warm" or len(run) > 1 else "frozen"
    size = sum(segment.size for segment in run)
    after = size if made is None else made.size
    own = policy.of(run[0].topic)
    return Move(
        topic=run[0].topic,
        partition=run[0].partition,
        source=source,
        target=target,
        begin=run[0].begin,
        end=run[-1].end,
        files=len(run),
        bytes_before=size,
        bytes_after=after,
        cost_before=sum(policy.prices.monthly(segment.tier, segment.size) for segment in run),
        cost_after=policy.prices.monthly(target, after),
        why=f"freeze_after: {own.freeze_after}" if target == "frozen" else f"compact_after: {own.compact_after}",
        digest="" if made is None else made.digest,
    )


def deletion_move(gone: Sequence[Segment], policy: Policy) -> Move:
    """Of files that are given up."""
    return Move(
        topic=gone[0].topic,
        partition=gone[0].partition,
        source=gone[0].tier,
        target="deleted",
        begin=gone[0].begin,
        end=gone[-1].end,
        files=len(gone),
        bytes_before=sum(segment.size for segment in gone),
        bytes_after=0,
        cost_before=sum(policy.prices.monthly(segment.tier, segment.size) for segment in gone),
        cost_after=0.0,
        why=f"delete_after: {policy.of(gone[0].topic).delete_after}",
        digest=digest_over(gone),
    )


def _forgetting(
    log: LogReader, topic: Topic, partition: int, segments: list[Segment], policy: Policy, now_ms: int
) -> Move | None:
    """What Kafka need not keep any more: older than the policy says, and archived."""
    keeps = policy.of(topic.name).kafka_keeps
    age = age_of(keeps)
    if age is None:
        return None
    if topic.compacted and topic.name not in policy.topics:
        return None  # a default is of logs; a changelog is kept by its keys
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
        digest=digest_over(concerned),
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
            yield from _within(objects, table, partition, policy, now_ms, tell)
    for name in topics:
        table = Table(objects, name)
        try:
            wanted = to_sweep(objects, table)
        except NoTable:
            continue
        if wanted:
            # What a run that was killed has replaced and not told is told here.
            sweep(objects, table, before=lambda sources, made: tell(move_of(sources, made, policy)))
    for move in planned:
        if move.source == "kafka":
            yield forget(objects, log, move, tell)


def _within(objects: Objects, table: Table, partition: int, policy: Policy, now_ms: int, tell: Tell) -> Iterator[Move]:
    """Moves of one partition between the tiers of the archive, and out of it."""

    def segments() -> list[Segment]:
        return [segment for segment in table.segments() if segment.partition == partition]

    if gone := deletions(segments(), policy, now_ms):
        move = deletion_move(gone, policy)
        tell(move)
        table.remove(gone, move.why)
        yield move
    # Before the small files become large ones, which are young again.
    for segment in freezings(segments(), policy, now_ms):
        yield move_of((segment,), freeze(objects, table, segment, policy.frozen_class).made, policy)
    cut = newest_cut(objects)
    latest = policy.of(table.topic).latest_per_key
    for run in compactions(segments(), policy, now_ms, _end_of(cut, table.topic, partition)):
        yield move_of(run, compact(objects, table, run, policy.cold_class, latest=latest).made, policy)


def forget(objects: Objects, log: LogReader, move: Move, tell: Tell) -> Move:
    """Delete a range from Kafka that the archive is proved to hold, record by record. Raises where it does not.

    The move as it was told: it names the files that hold the range now, which may have been compacted since the plan.
    """
    proof = verify(objects, log, move.topic, move.partition)
    expires = meta.expires(meta.topic_of(objects, move.topic))
    for fault in proof.faults:
        if expires and fault.what == NO_FILE and fault.end <= proof.log_begin:
            continue  # what expired before it was archived is gone from Kafka, too
        raise OnefactError(f"nothing is deleted from Kafka: {fault}")
    if not proof.begin <= move.begin or move.end > proof.end:
        raise OnefactError(f"nothing is deleted from Kafka: {move.topic}:{move.partition} is archived to {proof.end}")
    if unread := [each for each in proof.unread if each[0] < move.end and each[1] > move.begin]:
        span = f"{move.topic}:{move.partition} offsets {unread[0][0]} to {unread[0][1] - 1}"
        raise OnefactError(
            f"nothing is deleted from Kafka: {span} are frozen, and cannot be held against it; let Kafka forget sooner "
            "than files are frozen"
        )
    held = Past(objects.settings).segments(move.topic, move.partition)
    move = replace(move, digest=digest_over([each for each in held if each.end > move.begin and each.begin < move.end]))
    tell(move)
    admin = AdminClient({"bootstrap.servers": objects.settings.kafka, "log_level": 0})
    place = TopicPartition(move.topic, move.partition, move.end)
    try:
        for future in admin.delete_records([place], request_timeout=TIMEOUT_S).values():
            future.result(TIMEOUT_S)
    except KafkaException as error:
        raise ServiceAway("kafka", f"{move.topic}: {error.args[0].str()}") from None
    return move
