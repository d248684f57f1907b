"""Reference data: compacted topics that a worker reads whole and follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from eventlog.codec import Codec
from eventlog.envelope import read_meta
from eventlog.errors import OnefactError, Poison, Superseded, UnknownSchema
from eventlog.reader import LogReader, to_record
from eventlog.roles import ReferenceTable
from eventlog.settings import Settings
from eventlog.topics import Topic

RETRY_S = 1.0

log = structlog.get_logger()


class ReferenceReader:
    """Keeps a table per topic up to date, from a thread of its own."""

    def __init__(self, topics: Iterable[Topic], settings: Settings, codec: Codec) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._settings = settings
        self._codec = codec
        self.tables = {name: ReferenceTable() for name in self._topics}
        self._whole = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="references", daemon=True)

    def start(self) -> None:
        if self._topics:
            self._thread.start()
        else:
            self._whole.set()

    def stop(self) -> None:
        self._stopping.set()
        self._whole.set()  # who waits for it stops as well
        if self._thread.is_alive():
            self._thread.join(5)

    def wait_whole(self) -> None:
        """Return when every table holds what its topic held when this reader started."""
        self._whole.wait()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001 - whatever it was, the topics are read again
                log.warning("reference topics are read again", error=f"{type(error).__name__}: {error}")
                self._stopping.wait(RETRY_S)

    def _follow(self) -> None:
        with LogReader(self._settings) as reader:
            bounds = {(t, p): reader.log_bounds(t, p) for t in self._topics for p in reader.partitions(t)}
            for _, messages, _ in reader.batches({place: (0, low) for place, (low, _) in bounds.items()}):
                for message in messages:  # of the archive: what the log has no longer
                    self._put(message)
        waiting = {key: high for key, (low, high) in bounds.items() if low < high}
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka,
                "group.id": "onefact.references",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "error",  # what was forgotten meanwhile is in the archive: read again
                "log_level": 0,
            }
        )
        try:
            consumer.assign([TopicPartition(t, p, low) for (t, p), (low, _) in bounds.items()])
            self._note_whole(waiting)
            while not self._stopping.is_set():
                for message in consumer.consume(1000, timeout=0.2):
                    self._take(message, waiting)
                self._note_whole(waiting)
        finally:
            consumer.close()

    def _note_whole(self, waiting: dict[tuple[str, int], int]) -> None:
        if not waiting:
            self._whole.set()

    def _take(self, message: Message, waiting: dict[tuple[str, int], int]) -> None:
        error = message.error()
        key = (message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name for it
                raise OnefactError(error.str())
            reached = offset
        else:
            self._put(message)
            reached = offset + 1
        if reached >= waiting.get(key, reached + 1):
            del waiting[key]

    def _put(self, message: Message) -> None:
        record = to_record(message)
        topic = self._topics[record.topic]
        try:
            meta = read_meta(record)
            if record.value is None:
                self.tables[topic.name].pop(meta.stream, None)
                return
            self.tables[topic.name][meta.stream] = (self._decode(record.value, topic), meta.time)
        except Poison as poison:
            # The topic's own projection dead-letters it; here it only must not count.
            log.warning("reference record ignored", position=f"{record.topic}:{record.partition}:{record.offset}",
                        reason=str(poison))  # fmt: skip

    def _decode(self, value: bytes, topic: Topic) -> object:
        while not self._stopping.is_set():
            try:
                return self._codec.decode(value, topic)
            except Superseded as old:
                return old.messages[-1]
            except UnknownSchema as unknown:
                try:
                    self._codec.learn(unknown.schema_id)
                except OnefactError:
                    time.sleep(RETRY_S)
        raise Poison("stopping", "the worker stops")
