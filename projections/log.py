"""The end of the log, followed from given positions on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from eventlog.errors import ServiceAway
from eventlog.reader import TIMEOUT_S, LogReader
from eventlog.settings import Settings

AHEAD_RECORDS_MAX = 10_000
"""Of one partition that are held before they are asked for."""

Place = tuple[str, int]


class Tail:
    """Follows partitions from given positions on, a little ahead of what is asked for: `take` costs no round trip then.

    What Kafka has forgotten before it was taken comes from the archive, as a `LogReader` reads it.

    Where a range of the log is read once, `LogReader` is the better way; this is for one that is asked again and
    again, milliseconds apart.
    """

    def __init__(self, settings: Settings, starts: Mapping[Place, int]) -> None:
        self._settings = settings
        self._servers = settings.required("kafka").kafka
        self._consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": "onefact.tail",  # required by the client; nothing joins it or commits to it
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",  # an aborted batch never happened
                "enable.partition.eof": True,  # before a position there may be markers, which are no records
                "auto.offset.reset": "error",  # a position that is gone is an error, not a silent jump
                "fetch.wait.max.ms": 10,  # of one partition's news, others may be waiting
                "queued.max.messages.kbytes": 16_384,
                "log_level": 0,
            }
        )
        self._read_to = dict(starts)
        self._ahead: dict[Place, deque[Message]] = {place: deque() for place in starts}
        self._paused: set[Place] = set()
        self._forgotten: set[Place] = set()
        """The log begins after what is to be read of these next."""
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])

    def close(self) -> None:
        self._consumer.close()

    def take(self, target: Mapping[Place, int]) -> Iterator[tuple[Place, list[Message], int]]:
        """Records before the target, each partition in order, each once: (partition, messages, next offset).

        Raises `ServiceAway` when the broker sends nothing of what is wanted for `TIMEOUT_S`, `Hole` where neither log
        nor archive has it.
        """
        wanted = dict(target)
        heard = time.monotonic()
        while wanted:
            for place in [place for place, end in wanted.items() if self._ahead[place] or self._read_to[place] >= end]:
                end, ahead, messages = wanted[place], self._ahead[place], list[Message]()
                while ahead and (ahead[0].offset() or 0) < end:
                    messages.append(ahead.popleft())
                done = bool(ahead) or self._read_to[place] >= end
                if done:
                    del wanted[place]
                if done or messages:
                    yield place, messages, end if done else (messages[-1].offset() or 0) + 1
                self._resume(place)
            for place in self._forgotten & wanted.keys():
                yield from self._before_log(place, wanted[place])
                if self._read_to[place] >= wanted[place]:
                    del wanted[place]
                heard = time.monotonic()
            if not wanted:
                return
            if self._poll():
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_S:
                raise ServiceAway("kafka", f"{self._servers} sent nothing for {TIMEOUT_S} s")

    def _before_log(self, place: Place, end: int) -> Iterator[tuple[Place, list[Message], int]]:
        """What is next of a partition, wherever it is; from there on the log is followed again."""
        with LogReader(self._settings) as log:
            log.require_kept(*place, self._read_to[place])
            for found in log.batches({place: (self._read_to[place], end)}):
                self._read_to[place] = found[2]
                yield found
        self._forgotten.discard(place)
        self._consumer.incremental_assign([TopicPartition(*place, self._read_to[place])])

    def _poll(self) -> bool:
        messages = self._consumer.consume(1, timeout=0.1)
        if messages:
            messages += self._consumer.consume(AHEAD_RECORDS_MAX, timeout=0)
        for message in messages:
            place = (message.topic() or "", message.partition() or 0)
            error, offset = message.error(), message.offset() or 0
            if error is None:
                self._ahead[place].append(message)
                self._read_to[place] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's own name for it
                self._read_to[place] = max(offset, self._read_to[place])
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
                self._forgotten.add(place)
                self._paused.discard(place)
                self._consumer.incremental_unassign([TopicPartition(*place)])
            else:
                raise ServiceAway("kafka", f"{self._servers}: {error.str()}")
        for place, ahead in self._ahead.items():
            if len(ahead) > AHEAD_RECORDS_MAX and place not in self._paused | self._forgotten:
                self._consumer.pause([TopicPartition(*place)])
                self._paused.add(place)
        return bool(messages)

    def _resume(self, place: Place) -> None:
        if place in self._paused and len(self._ahead[place]) < AHEAD_RECORDS_MAX // 2:
            self._paused.discard(place)
            self._consumer.resume([TopicPartition(*place)])
