"""Reads ranges of the log by position, without a consumer group: for recovery, replays, history and as-of reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from eventlog.archive.objects import has_extra
from eventlog.errors import Hole, ServiceAway
from eventlog.messages import Unread, headers_of, to_record
from eventlog.settings import Settings

if TYPE_CHECKING:
    from eventlog.archive.past import Past

__all__ = ["LogReader", "Unread", "headers_of", "led", "to_record", "watermarks"]

TIMEOUT_S = 10
"""Without any record or any answer from the broker."""
RETRY_S = 0.1
NO_LEADER = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
"""A partition has none for a moment after its topic was made; the client says of neither that it may be retried."""
BATCH_RECORDS = 10_000
COUNTED_MAX = 10_000
"""A lag up to this is counted in records; a longer one in offsets, of which a few are transactions' markers."""

Partition = tuple[str, int]
Answer = TypeVar("Answer")
Left = TypeVar("Left")
Reading = Generator[tuple[Partition, list[Message], int], None, Left]


def watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset that Kafka has and the offset after the last, as the consumer's isolation level sees it.

    Raises `KafkaException`; asks again for `TIMEOUT_S` where there is no leader yet, as after a topic was made.
    """
    place = TopicPartition(topic, partition)
    return led(lambda: consumer.get_watermark_offsets(place, timeout=TIMEOUT_S))


def led(ask: Callable[[], Answer]) -> Answer:
    """What the leader of a partition answers, once there is one."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in NO_LEADER or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)


def past_of(settings: Settings) -> Past | None:
    """The archive; None where there can be none."""
    if not settings.s3 or not has_extra():
        return None
    from eventlog.archive.past import Past

    return Past(settings)


class LogReader:
    """Reads committed records of partitions; one consumer, used from one thread at a time.

    Where the log no longer has what is asked for and the archive does, it is read from there: nobody sees a seam.

    Of topics named in `archived_first` the archive is read as far as it goes, and the log from there: Kafka has
    compacted them, and the archive has not.

    Raises `ServiceAway` when the broker does not answer within `TIMEOUT_S`.
    """

    def __init__(
        self,
        settings: Settings,
        group: str = "onefact.reader",
        *,
        archived_first: Collection[str] = (),
        past: Callable[[], Past | None] | None = None,
    ) -> None:
        """`past` opens the archive when it is needed first: one that is shared has files that others read before."""
        settings.required("kafka")
        self._servers = settings.kafka
        self._settings = settings
        self._archived_first = frozenset(archived_first)
        self._past = cache(past or partial(past_of, settings))
        self._archived_topics: set[str] = set()
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka,
                "group.id": group,  # required by the client; nothing joins it or commits to it
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",  # an aborted batch never happened
                "enable.partition.eof": True,  # the end of a range may be transaction markers, which are no records
                "auto.offset.reset": "error",  # a position that is gone is an error, not a silent jump
                "fetch.wait.max.ms": 50,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
                "fetch.message.max.bytes": 4 * 1024 * 1024,
                "check.crcs": True,
                "log_level": 0,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset kept, be it in an archive that reaches up to the log, and the offset after the last stable."""
        return self.kept(topic, partition)[-1]

    def kept(self, topic: str, partition: int, *, over_gaps: bool = False) -> list[tuple[int, int]]:
        """Ranges that archive and log have, in order: one, but where something is in neither.

        `over_gaps` it is one always, which raises `Hole` where it is read.
        """
        low, high = self.log_bounds(topic, partition)
        past = self._archive(topic) if low > 0 else None
        spans = [] if past is None else past.spans(topic, partition, over_gaps=over_gaps)
        found = [(begin, min(end, low)) for begin, end in spans if begin < low]
        if found and (over_gaps or found[-1][1] == low):
            low = found.pop()[0]
        return [*found, (low, high)]

    def require_kept(self, topic: str, partition: int, offset: int) -> None:
        """Raises `Hole` where log and archive together begin after an offset."""
        low = self.bounds(topic, partition)[0]
        if offset < low:
            raise Hole.of(topic, partition, offset, low)

    def kept_from(self, topic: str, partition: int, offset: int) -> int:
        """First offset from this one on that archive or log may have."""
        later = (max(begin, offset) for begin, end in self.kept(topic, partition) if offset < end)
        return next(later, offset)

    def archived_end(self, topic: str, partition: int) -> int:
        """Offset up to which the archive has the topic from its beginning; 0 where it has not."""
        past = self._archive(topic)
        there = None if past is None else past.bounds(topic, partition)
        return there[1] if there is not None and there[0] == 0 else 0

    def _archive(self, topic: str) -> Past | None:
        """The archive, where there is one of this very topic; where there is none, there may be one the next time."""
        if (past := self._past()) is None:
            return None
        if topic not in self._archived_topics:
            archived = past.topic_id(topic)
            if archived is None or archived != self.topic_id(topic):
                return None
            self._archived_topics.add(topic)
        return past

    def log_bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset that Kafka itself has, and the offset after the last stable one."""
        try:
            # On a read_committed consumer the upper bound is the last stable offset.
            return watermarks(self._consumer, topic, partition)
        except KafkaException as error:
            raise self._away(error) from None

    def offset_at(self, topic: str, partition: int, time_ms: int) -> int:
        """First offset that Kafka has whose timestamp is not before a time; the end where there is none."""

        def ask() -> int:
            (found,) = self._consumer.offsets_for_times([TopicPartition(topic, partition, time_ms)], timeout=TIMEOUT_S)
            if found.error is not None:  # of this partition alone; its offset would read as "no record is that late"
                raise KafkaException(found.error)
            return int(found.offset)

        try:
            offset = led(ask)
        except KafkaException as error:
            raise self._away(error) from None
        return offset if offset >= 0 else self.log_bounds(topic, partition)[1]

    def topic_id(self, topic: str) -> str:
        """The cluster's own id of the topic: another one when a topic of the name is made again."""
        admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 0})
        try:
            asked = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)
            return str(asked[topic].result().topic_id)
        except KafkaException as error:
            raise self._away(error) from None

    def partitions(self, topic: str) -> list[int]:
        """Partitions of the topic, empty when it does not exist."""
        try:
            found = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise self._away(error) from None
        return sorted(found.partitions)

    def ends(self, topic: str) -> dict[Partition, int]:
        """Offset after the last stable record of each partition."""
        return {(topic, p): self.bounds(topic, p)[1] for p in self.partitions(topic)}

    def waiting(self, ranges: Mapping[Partition, tuple[int, int]]) -> int:
        """Number of records in the ranges (begin, end), counted up to `COUNTED_MAX` offsets, else estimated by offsets.

        A transaction's end takes an offset of its own, so offsets alone would show a lag where there is none.
        """
        behind = {place: (begin, end) for place, (begin, end) in ranges.items() if begin < end}
        offsets = sum(end - begin for begin, end in behind.values())
        if offsets > COUNTED_MAX:
            return offsets
        return sum(len(messages) for _, messages, _ in self.batches(behind))

    def committed(self, topic: str, partition: int) -> int:
        """Offset that this reader's group has committed; 0 where it has none."""
        try:
            (found,) = self._consumer.committed([TopicPartition(topic, partition)], timeout=TIMEOUT_S)
        except KafkaException as error:
            raise self._away(error) from None
        return max(0, found.offset)

    def batches(self, ranges: Mapping[Partition, tuple[int, int]]) -> Iterator[tuple[Partition, list[Message], int]]:
        """Records of the ranges (begin, end), each partition in order: (partition, messages, next offset).

        A range that starts before the first offset kept starts there; what lies before the log's begin comes from the
        archive, and a hole between the two is an error, `Hole`. What Kafka forgets while it is read comes from there,
        too. The last batch of a partition has its end as next offset, even where only markers or nothing precede it.
        """
        left = yield from self._batches(ranges, begun=False)
        while left:
            left = yield from self._batches(left, begun=True)

    def _batches(
        self, ranges: Mapping[Partition, tuple[int, int]], *, begun: bool
    ) -> Reading[dict[Partition, tuple[int, int]]]:
        """The same with the log's bounds of now; returns what is left where those have moved over what was next."""
        wanted: dict[Partition, tuple[int, int]] = {}
        for (topic, partition), (first, last) in ranges.items():
            low, high = self.log_bounds(topic, partition)
            if begun:
                self.require_kept(topic, partition, first)
                if high < last:
                    raise ServiceAway("kafka", f"{topic}:{partition} ends at {high}, and ended at {last} before")
            if topic in self._archived_first:
                low = max(low, self.archived_end(topic, partition))
            reached = yield from self._archived(topic, partition, first, min(last, low))
            if reached == last:
                continue
            begin, end = max(first, low), min(last, high)
            if begin < end:
                wanted[topic, partition] = begin, end
            else:
                yield (topic, partition), [], max(begin, end)
        if not wanted:
            return {}
        self._consumer.assign([TopicPartition(*place, begin) for place, (begin, _) in wanted.items()])
        try:
            return (yield from self._consume(wanted))
        finally:
            self._consumer.unassign()

    def _archived(self, topic: str, partition: int, begin: int, end: int) -> Reading[int | None]:
        """Records of a range before the log's begin; returns how far that was, None where nothing is archived."""
        past = self._archive(topic) if begin < end else None
        there = None if past is None else past.bounds(topic, partition)
        if past is None or there is None or there[0] >= end:
            return None
        messages: Any
        for messages, following in past.batches(topic, partition, max(begin, there[0]), end):
            yield (topic, partition), messages, following
        return end

    def _consume(self, wanted: dict[Partition, tuple[int, int]]) -> Reading[dict[Partition, tuple[int, int]]]:
        left: dict[Partition, tuple[int, int]] = {}
        heard = time.monotonic()
        while wanted:
            # `consume` of many waits for all of them or for its time-out: wait for the first one only.
            messages = self._consumer.consume(1, timeout=0.2)
            if messages:
                messages += self._consumer.consume(BATCH_RECORDS - 1, timeout=0)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_S:
                raise ServiceAway("kafka", f"{self._servers} sent nothing for {TIMEOUT_S} s")
            records, forgotten = self._sorted(messages, wanted)
            for key, (found, position) in records.items():
                end = wanted[key][1]
                if position >= end:
                    while found and (found[-1].offset() or 0) >= end:
                        found.pop()
                yield key, found, min(position, end)
                wanted[key] = position, end
                if position >= end:
                    del wanted[key]
                    self._consumer.incremental_unassign([TopicPartition(*key)])
            for key in forgotten & wanted.keys():
                left[key] = wanted.pop(key)
                self._consumer.incremental_unassign([TopicPartition(*key)])
        return left

    def _sorted(
        self, messages: Iterable[Message], wanted: Collection[Partition]
    ) -> tuple[dict[Partition, tuple[list[Message], int]], set[Partition]]:
        """Messages by partition, with the offset that each has been read to; partitions whose log begins after that."""
        forgotten: set[Partition] = set()
        found: dict[Partition, list[Message]] = {}
        reached: dict[Partition, int] = {}
        for message in messages:
            key = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                try:
                    found[key].append(message)
                except KeyError:
                    found[key] = [message]
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name for it
                reached[key] = message.offset() or 0
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
                forgotten.add(key)
            elif key in wanted:
                raise self._away(KafkaException(error))
        for key, its in found.items():
            reached[key] = max((its[-1].offset() or 0) + 1, reached.get(key, 0))
        return {key: (found.get(key, []), reached[key]) for key in reached if key in wanted}, forgotten

    def _away(self, error: KafkaException) -> ServiceAway:
        return ServiceAway("kafka", f"{self._servers}: {error.args[0].str()}")
