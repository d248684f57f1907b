"""Writes a partition from the archive so that every record has the offset that it had.

Where the old log had markers of transactions, aborted records, or what compaction removed, the new one gets records of
a transaction that is aborted: they take offsets, and no reader of committed records ever sees them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from eventlog.archive.past import Archived
from eventlog.errors import OnefactError, ServiceAway
from eventlog.reader import LogReader
from eventlog.settings import Settings

TIMEOUT_S = 60
WIRE_BYTES_MAX = 16 * 1024 * 1024
TRANSACTION_TIMEOUT_S = 900
"""The most that a broker takes by default: a partition's fillers are one transaction, or a few."""
TRANSACTION_AGE_S = 600.0
"""After this long the fillers' transaction is aborted in this gap or the next one, and another one begun."""
FILLER = b"\xff\xfffiller"
"""Key of what takes an offset; compacted topics want one."""
FILLERS_AT_ONCE = 50_000
CLOSED_FROM = 10_000
"""A gap of so many offsets is closed with a marker of its own: what follows may take longer than a transaction may."""


class NotAsExpected(OnefactError):
    """The log did not give a record the offset that it must have; the topic has to be made again."""


@dataclass
class Refilled:
    """Of one partition."""

    topic: str
    partition: int
    records: int = 0
    fillers: int = 0
    """Offsets that hold nothing."""
    left_out: list[int] = field(default_factory=list)
    """Offsets of records that no client can write, as where a header's name is not UTF-8: the archive has them."""
    end: int = 0
    """Offset after the last one."""


class Refill:
    """Writes partitions, one after the other; two producers and a reader of its own."""

    def __init__(self, settings: Settings, number: int) -> None:
        self._settings = settings
        usual = {
            "bootstrap.servers": settings.kafka,
            "acks": "all",
            "enable.idempotence": True,  # a record that is sent again takes no second offset
            "compression.type": "zstd",
            "message.max.bytes": WIRE_BYTES_MAX,
            "linger.ms": 20,
            "batch.size": 1024 * 1024,
            "queue.buffering.max.messages": 200_000,
            "log_level": 0,
        }
        self._records = Producer(usual)
        self._fillers = Producer(
            usual
            | {
                "transactional.id": f"onefact.bootstrap-{number}",
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_S * 1000,
            }
        )
        # Ends what a run that was killed has left open.
        self._ask(self._fillers.init_transactions, TIMEOUT_S)
        self._log = LogReader(settings)
        self._began: float | None = None
        self._in_transaction = 0
        self._error: str | None = None
        self._done = Refilled("", 0)

    def close(self) -> None:
        self._log.close()

    def write(self, topic: str, partition: int, pieces: Iterable[Iterable[Archived]], end: int) -> Refilled:
        """Write an empty partition up to `end`; `pieces` are its records in order.

        Raises `NotAsExpected`, `ServiceAway`; then the partition is spoilt.
        """
        self._done = Refilled(topic, partition)
        first: int | None = None
        for piece in pieces:
            for message in piece:
                offset = message.offset()
                if first is None:
                    first = offset
                if offset > self._done.end:
                    self._fill(offset, message.timestamp()[1])
                self._send(message)
            self._records.poll(0)
        self._settle()
        stamp = int(time.time() * 1000)
        if self._done.end < end:
            self._fill(end, stamp, last=True)
        elif self._began is not None:
            self._abort()
        if first:
            self._forget(first)
        return self._done

    def _send(self, message: Archived) -> None:
        headers, stamp = list(message.headers()), message.timestamp()[1]
        if not _writable(headers, stamp):
            self._done.left_out.append(message.offset())
            self._fill(message.offset() + 1, stamp)
            return
        self._produce(self._records, message.value(), message.key(), stamp, headers)
        self._done.records += 1
        self._done.end += 1

    def _produce(
        self, producer: Producer, value: bytes | None, key: bytes | None, stamp: int, headers: list[Any]
    ) -> None:
        done = self._done
        expected = done.end

        def delivered(error: Any, message: Any) -> None:
            if error is None and message.offset() != expected:
                error = f"it has offset {message.offset()}: somebody else writes to the topic"
            if error is not None and self._error is None:
                self._error = f"{done.topic}:{done.partition}: the record of offset {expected} was not placed: {error}"

        while True:
            try:
                producer.produce(
                    done.topic, value, key, done.partition, timestamp=stamp, headers=headers, on_delivery=delivered
                )
            except BufferError:
                producer.poll(0.1)
            else:
                return

    def _settle(self, producer: Producer | None = None) -> None:
        """Wait until what was sent is in the log, where it was to be."""
        left = (producer or self._records).flush(TIMEOUT_S)
        error, self._error = self._error, None
        if left:
            raise ServiceAway("kafka", f"{self._settings.kafka} took no records for {TIMEOUT_S} s")
        if error:
            raise NotAsExpected(error)

    def _fill(self, until: int, stamp: int, *, last: bool = False) -> None:
        """Take every offset before `until`; the last time one more, where there is no room for the abort's marker."""
        self._settle()
        done = self._done
        self._begin()
        ends = last or self._aged or until - done.end >= CLOSED_FROM
        # The marker takes an offset, too; there is none of a transaction without records.
        marker = int(ends and (self._in_transaction > 0 or until - done.end > 1))
        while done.end < until - marker:
            if self._aged and until - marker - done.end > 1:  # room for the marker, and for what is begun then
                self._abort()
                self._begin()
            count = min(FILLERS_AT_ONCE, until - marker - done.end)
            for _ in range(count):
                self._produce(self._fillers, None, FILLER, stamp, [])
                done.end += 1
            done.fillers += count
            self._in_transaction += count
            self._settle(self._fillers)
        if ends:
            self._abort()

    def _begin(self) -> None:
        """Have a transaction for fillers."""
        if self._began is None:
            self._ask(self._fillers.begin_transaction)
            self._began, self._in_transaction = time.monotonic(), 0

    @property
    def _aged(self) -> bool:
        """The transaction has records, and is to be ended where there is room for its marker."""
        return (
            self._began is not None and self._in_transaction > 0 and time.monotonic() - self._began > TRANSACTION_AGE_S
        )

    def _abort(self) -> None:
        """End the fillers' transaction, and wait for its marker: it comes when it comes."""
        done = self._done
        self._ask(self._fillers.abort_transaction, TIMEOUT_S)
        self._began = None
        done.end += 1
        done.fillers += 1
        deadline = time.monotonic() + TIMEOUT_S
        while (end := self._log.log_bounds(done.topic, done.partition)[1]) < done.end:
            if time.monotonic() > deadline:
                raise ServiceAway("kafka", f"{done.topic}:{done.partition} ends at {end} and not at {done.end}")
            time.sleep(0.002)
        if end != done.end:
            raise NotAsExpected(f"{done.topic}:{done.partition} ends at {end} and not at {done.end}")

    def _forget(self, first: int) -> None:
        """Have the log begin where the archive does."""
        admin = AdminClient({"bootstrap.servers": self._settings.kafka, "log_level": 0})
        place = TopicPartition(self._done.topic, self._done.partition, first)
        try:
            for future in admin.delete_records([place], request_timeout=TIMEOUT_S).values():
                future.result(TIMEOUT_S)
        except KafkaException:
            pass  # a compacted topic deletes no range: there it begins with what nobody sees

    def _ask(self, what: Any, *arguments: Any) -> None:
        try:
            what(*arguments)
        except KafkaException as error:
            raise ServiceAway("kafka", f"{self._settings.kafka}: {error.args[0].str()}") from None


def _writable(headers: list[tuple[str, bytes | None]], stamp: int) -> bool:
    """Whether the client can write this: of other names it crashes or writes a part, of 0 ms it makes now."""
    try:
        return stamp > 0 and all(b"\0" not in name.encode() for name, _ in headers)
    except UnicodeEncodeError:
        return False
