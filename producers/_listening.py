"""Listens for what deciders answer: one consumer and one thread, whoever waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from eventlog.codec import Codec
from eventlog.errors import OnefactError, Poison, ServiceAway
from eventlog.reader import TIMEOUT_S, watermarks
from eventlog.settings import Settings
from eventlog.topics import Domain
from producers._answers import Command, DomainAnswers, Kind, Waiter

BATCH_RECORDS = 10_000
POLL_S = 0.05
IDLE_S = 5.0
"""Without anybody waiting, after which nothing is read any more."""


class _Wish:
    """Of somebody who is about to publish: that these partitions are read."""

    __slots__ = ("answers", "error", "met", "partitions")

    def __init__(self, answers: DomainAnswers, partitions: tuple[int, ...]) -> None:
        self.answers = answers
        self.partitions = partitions
        self.met = False
        self.error: ServiceAway | None = None


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
        self._wishes: list[_Wish] = []
        self._broken: Exception | None = None
        self._closing = False
        self._asked = False
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
            found = answers.waiting.get(command)
            if found is None:
                answers.waiting[command] = waiter
            elif isinstance(found, list):
                found.append(waiter)
            else:
                answers.waiting[command] = [found, waiter]
            self._asked = True
            if answers.watched.issuperset(partitions):
                return
            try:
                self._await_watch(answers, partitions)
            except BaseException:
                self.forget(answers, command, waiter)
                raise

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
            self._changed.notify_all()
        self._thread.join(TIMEOUT_S)
        self._consumer.close()

    def _await_watch(self, answers: DomainAnswers, partitions: Iterable[int]) -> None:
        wish = _Wish(answers, tuple(partitions))
        self._wishes.append(wish)
        self._changed.notify_all()
        met = self._changed.wait_for(lambda: wish.met or wish.error or self._broken, 2 * TIMEOUT_S)
        if wish.error is not None:
            raise wish.error
        if not wish.met:
            self._raise_broken()
        if not met:
            raise ServiceAway("kafka", f"{self._servers} does not tell where its topics end")

    def _watch(self, wish: _Wish) -> None:
        """Read these partitions from their ends on."""
        assigned = []
        missing = [partition for partition in wish.partitions if partition not in wish.answers.watched]
        for topic in wish.answers.kinds:
            for partition in missing:
                # The upper bound of a read_committed consumer is the last stable offset: whatever is
                # answered from now on comes after it.
                _, end = watermarks(self._consumer, topic, partition)
                assigned.append(TopicPartition(topic, partition, end))
        self._consumer.incremental_assign(assigned)
        with self._changed:
            wish.answers.watched.update(missing)

    def _raise_broken(self) -> None:
        if self._broken is not None:
            if isinstance(self._broken, OnefactError):
                raise self._broken
            raise ServiceAway("kafka", f"answers cannot be read: {self._broken!r}") from self._broken

    def _run(self) -> None:
        # Every call of the consumer is made here: in the client, a second thread that asks it something
        # while this one polls may wait for ever.
        try:
            while not self._closing:
                self._grant()
                # `consume` alone would wait for a full batch or its whole time-out.
                first = self._consumer.poll(POLL_S) if self._watching else None
                if first is not None:
                    self._take([first, *self._consumer.consume(BATCH_RECORDS, timeout=0)])
                self._rest()
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            with self._changed:
                self._broken = error
                self._changed.notify_all()

    @property
    def _watching(self) -> bool:
        return any(answers.watched for answers in self._domains.values())

    def _grant(self) -> None:
        """Watch what somebody wishes to; with nothing to read, wait for a wish."""
        with self._changed:
            self._changed.wait_for(lambda: self._wishes or self._watching or self._closing)
            wishes, self._wishes = self._wishes, []
        for wish in wishes:
            try:
                self._watch(wish)
                wish.met = True
            except KafkaException as error:
                wish.error = ServiceAway("kafka", f"{self._servers}: {error.args[0].str()}")
        if wishes:
            with self._changed:
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
                except (Poison, ValueError, KeyError, TypeError):
                    continue  # no answer of a decider
            if settled:
                self._changed.notify_all()

    def _rest(self) -> None:
        """Stop reading when nobody has waited for a while: others' answers are none of ours."""
        now = time.monotonic()
        with self._changed:
            if self._asked or any(answers.waiting for answers in self._domains.values()):
                self._asked, self._idle_since = False, now
            elif now - self._idle_since > IDLE_S and not self._wishes and self._watching:
                self._consumer.incremental_unassign(self._consumer.assignment())
                for answers in self._domains.values():
                    answers.watched.clear()
