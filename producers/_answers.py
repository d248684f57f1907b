"""Listens for what deciders answer: one consumer and one thread, whoever waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from eventlog.codec import Codec
from eventlog.envelope import DECIDED
from eventlog.errors import OnefactError, Poison, ServiceAway, UnknownSchema
from eventlog.message import CommandAnswered, CommandRejected
from eventlog.position import Position
from eventlog.rows import DEAD_PREFIX
from eventlog.settings import Settings
from eventlog.topics import Domain
from producers.outcome import Accepted, DeadLettered, Outcome, Refused

TIMEOUT_S = 10
"""For one answer of the broker."""
BATCH_RECORDS = 10_000
POLL_S = 0.1
IDLE_S = 5.0
"""Without anybody waiting, after which nothing is read any more."""

Kind = Literal["event", "rejected", "answered", "dead"]
Command = tuple[bytes, bytes]
"""Stream key and command id: the same id may be used in two streams."""


class Waiter(Protocol):
    """Is told each answer to a command that it waits for; from the listener's thread, under its lock."""

    def settle(self, kind: Kind, message: Any, answers: DomainAnswers) -> None: ...


class DomainAnswers:
    """The topics on which a domain answers, and who waits for what there."""

    def __init__(self, domain: Domain, codec: Codec) -> None:
        self.domain = domain
        self.events = domain.topic("events").name
        self.kinds: dict[str, Kind] = {
            self.events: "event",
            domain.topic("rejections").name: "rejected",
            domain.topic("outcomes").name: "answered",
            domain.topic("commands").dead.name: "dead",
        }
        self.watched: set[int] = set()
        self.waiting: dict[Command, Waiter | list[Waiter]] = {}
        self.unfinished: dict[Command, int] = {}
        """Events still to come of commands that led to several."""
        self._codec = codec

    def outcome(self, kind: Kind, message: Any) -> Outcome:
        """The answer that a record is; raises `Poison` when it is none."""
        if kind == "event":
            headers = dict(message.headers())
            position = Position.of(self.events, message.partition(), message.offset() + 1)
            return Accepted(message.key().decode(), int(headers["ce_sequence"]), str(position))
        if kind == "dead":
            headers = dict(message.headers())
            return DeadLettered(headers[DEAD_PREFIX + "code"].decode(), headers[DEAD_PREFIX + "reason"].decode())
        fact = self._decode(kind, message.value())
        if isinstance(fact, CommandRejected):
            return Refused(fact.code, fact.reason)
        assert isinstance(fact, CommandAnswered)
        if fact.code is not None:
            return Refused(fact.code, fact.reason or "")
        position = Position() if fact.offset < 0 else Position.of(self.events, message.partition(), fact.offset)
        return Accepted(fact.subject, fact.version, str(position))

    def _decode(self, kind: Kind, value: bytes | None) -> object:
        topic = self.domain.topic("rejections" if kind == "rejected" else "outcomes")
        try:
            return self._codec.decode(value, topic)
        except UnknownSchema as unknown:
            self._codec.learn(unknown.schema_id)
            return self._codec.decode(value, topic)

    def take(self, kind: Kind, message: Any) -> bool:
        """Hand a record to the one that waits for it; True when somebody did."""
        headers = dict(message.headers() or ())
        if kind == "dead":
            key, command_id = headers.get(DEAD_PREFIX + "key"), headers.get("ce_id")
        else:
            key, command_id = message.key(), headers.get("ce_causationid")
        command = (key, command_id)
        waiter = self.waiting.get(command)  # type: ignore[arg-type]
        if waiter is None or message.value() is None:
            return False
        assert key is not None
        assert command_id is not None
        if kind == "event" and DECIDED in headers and not self._last(command, int(headers[DECIDED])):  # type: ignore[arg-type]
            return False
        if isinstance(waiter, list):
            several, waiter = waiter, waiter.pop(0)
            if not several:
                del self.waiting[command]  # type: ignore[arg-type]
        else:
            del self.waiting[command]  # type: ignore[arg-type]
        waiter.settle(kind, message, self)
        return True

    def _last(self, command: Command, count: int) -> bool:
        left = self.unfinished.get(command, count) - 1
        if left > 0:
            self.unfinished[command] = left
            return False
        self.unfinished.pop(command, None)
        return True


class AnswerReader:
    """Reads the answers of domains from the moment that somebody waits for one; used from any thread.

    Memory is bounded by the commands that are waited for. `close` ends its thread.
    """

    def __init__(self, settings: Settings) -> None:
        settings.required("kafka")
        self._servers = settings.kafka
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka,
                "group.id": "onefact.publisher",  # required by the client; nothing joins it or commits to it
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",  # an answer of an aborted transaction was never given
                "auto.offset.reset": "earliest",  # only where what is waited for has been deleted meanwhile
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 20,  # a topic that was only just created
                "queued.min.messages": 50_000,
                "queued.max.messages.kbytes": 32_768,
                "log_level": 0,
            }
        )
        self._changed = threading.Condition()
        self._domains: dict[str, DomainAnswers] = {}
        self._kinds: dict[str, tuple[DomainAnswers, Kind]] = {}
        self._broken: Exception | None = None
        self._closing = False
        self._idle_since = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._thread.start()

    def add(self, domain: Domain, codec: Codec) -> DomainAnswers:
        """The answers of a domain; the same object every time."""
        with self._changed:
            found = self._domains.get(domain.name)
            if found is None:
                found = self._domains[domain.name] = DomainAnswers(domain, codec)
                self._kinds.update({topic: (found, kind) for topic, kind in found.kinds.items()})
            return found

    def expect(self, answers: DomainAnswers, partitions: Iterable[int], command: Command, waiter: Waiter) -> None:
        """Tell the waiter the next answer to the command, which must not be published before this returns."""
        with self._changed:
            self._raise_broken()
            if not answers.watched.issuperset(partitions):
                self._watch(answers, [p for p in partitions if p not in answers.watched])
            found = answers.waiting.get(command)
            if found is None:
                answers.waiting[command] = waiter
            elif isinstance(found, list):
                found.append(waiter)
            else:
                answers.waiting[command] = [found, waiter]

    def forget(self, answers: DomainAnswers, command: Command, waiter: Waiter) -> None:
        """The waiter has given up."""
        with self._changed:
            found = answers.waiting.get(command)
            if isinstance(found, list) and waiter in found:
                found.remove(waiter)
            if found is waiter or found == []:
                del answers.waiting[command]
                answers.unfinished.pop(command, None)

    def wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Whether it is done within the time; looks again after each batch of answers."""
        with self._changed:
            met = self._changed.wait_for(lambda: done() or self._broken is not None, timeout_s)
            if not done():
                self._raise_broken()
            return met

    def close(self) -> None:
        with self._changed:
            self._closing = True
        self._thread.join(TIMEOUT_S)
        self._consumer.close()

    def _watch(self, answers: DomainAnswers, partitions: list[int]) -> None:
        assigned = []
        for topic in answers.kinds:
            for partition in partitions:
                at = TopicPartition(topic, partition)
                try:
                    # The upper bound of a read_committed consumer is the last stable offset: whatever is
                    # answered from now on comes after it.
                    _, end = self._consumer.get_watermark_offsets(at, timeout=TIMEOUT_S)
                except KafkaException as error:
                    raise ServiceAway("kafka", f"{self._servers}: {topic}: {error.args[0].str()}") from None
                assigned.append(TopicPartition(topic, partition, end))
        self._consumer.incremental_assign(assigned)
        answers.watched.update(partitions)

    def _raise_broken(self) -> None:
        if self._broken is not None:
            if isinstance(self._broken, OnefactError):
                raise self._broken
            raise ServiceAway("kafka", f"answers cannot be read: {self._broken!r}") from self._broken

    def _run(self) -> None:
        try:
            while not self._closing:
                # `consume` alone would wait for a full batch or its whole time-out.
                first = self._consumer.poll(POLL_S)
                if first is not None:
                    self._take([first, *self._consumer.consume(BATCH_RECORDS, timeout=0)])
                self._rest()
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            with self._changed:
                self._broken = error
                self._changed.notify_all()

    def _take(self, messages: list[Any]) -> None:
        settled = False
        with self._changed:
            for message in messages:
                error = message.error()
                if error is not None:
                    if error.fatal() or (not error.retriable() and error.code() > 0):
                        raise KafkaException(error)
                    continue  # the client goes on by itself once the broker is back
                answers, kind = self._kinds[message.topic()]
                try:
                    settled |= answers.take(kind, message)
                except (Poison, ValueError, KeyError):
                    continue  # no answer of a decider
            if settled:
                self._changed.notify_all()

    def _rest(self) -> None:
        """Stop reading when nobody has waited for a while: others' answers are none of ours."""
        now = time.monotonic()
        with self._changed:
            if any(answers.waiting for answers in self._domains.values()):
                self._idle_since = now
            elif now - self._idle_since > IDLE_S and any(answers.watched for answers in self._domains.values()):
                self._consumer.incremental_unassign(self._consumer.assignment())
                for answers in self._domains.values():
                    answers.watched.clear()
