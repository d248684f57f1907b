"""What a saga makes of its inbox: facts about itself, and commands to others, each step once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from eventlog.codec import Codec
from eventlog.envelope import (
    PASSED_ON,
    SPEC_VERSION,
    Headers,
    RawRecord,
    code_version,
    command_headers,
    header_map,
    metas_of,
    read_meta,
    time_text,
)
from eventlog.errors import HandlerFailed, Poison, Superseded
from eventlog.message import DeadlinePassed, Event, Tick
from eventlog.rows import Outputs, OutRow
from eventlog.sagas import Clock, Saga

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_HEADERS: Headers = []


class Instance(msgspec.Struct, frozen=True, array_like=True):
    """One instance of a saga, and its row in the changelog."""

    version: int
    """Of its stream of facts."""
    due: datetime | None
    state: Any


class Cause(msgspec.Struct, frozen=True):
    """What led to facts and commands."""

    id: str
    time: datetime
    """Its own, which is that of the commands it leads to."""
    now: datetime
    """When it arrived, which is the time of the facts it leads to."""
    passed_on: Headers


class Reacted(Outputs):
    """What a batch led to."""

    __slots__ = ("changed", "counts", "next_offset")

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[bytes, Instance] = {}
        self.counts = {"reacted": 0, "passed_over": 0, "deadlines": 0, "dead": 0}
        self.next_offset = 0


class SagaStep:
    """The saga of one partition: its instances, and what a batch of its inbox does to them."""

    def __init__(self, saga: Saga, codec: Codec, allowed: Mapping[str, timedelta], build: str = "") -> None:
        self.saga = saga
        self.codec = codec
        self.instances: dict[bytes, Instance | bytes] = {}
        """By key; bytes are the changelog row of one that was not used since it was restored."""
        self.dues: dict[bytes, datetime] = {}
        """By key, of the instances that wait for something."""
        self._allowed = allowed
        self._events = saga.domain.topic("events").name
        self._targets = {cls: domain.topic("commands").name for domain in saga.targets for cls in domain.commands}
        self._ce_source = f"onefact/{saga.name}"
        self._ce_code = code_version(saga.version, build)
        self._decode = codec.decoder(saga.source)
        self._decode_row = msgspec.msgpack.Decoder(tuple[int, datetime | None, msgspec.Raw]).decode
        self._decode_state = msgspec.msgpack.Decoder(saga.state | None).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take changelog rows, oldest first."""
        for key, value in rows:
            if value is not None:
                self.instances[key] = value
                self._wait(key, self._decode_row(value)[1])

    def run(self, records: Sequence[RawRecord]) -> Reacted:
        """React to the records, which follow one another; nothing is changed until `commit`.

        Raises `UnknownSchema`, and `HandlerFailed` when the domain's functions raise.
        """
        done = Reacted()
        for record in records:
            try:
                meta = read_meta(record)
                parts: Sequence[Any] = ((self._decode(record.value), meta),)
            except Superseded as old:
                parts = list(metas_of(meta, old.messages))
            except Poison as poison:
                done.counts["dead"] += 1
                done.dead(record, self.saga.source, self.saga.name, poison)
                continue
            try:
                for message, own in parts:
                    if isinstance(message, Tick):
                        self._pass_deadlines(message, own.id, done)
                    elif self.saga.key(message, own) == own.stream:
                        now = _EPOCH + timedelta(milliseconds=record.timestamp)
                        self._react(own.stream, message, Cause(own.id, own.time, now, _passed_on(record)), done)
                    else:
                        done.counts["passed_over"] += 1
            except Exception as error:
                raise HandlerFailed(self.saga.name, record.topic, record.partition, record.offset, error) from error
        done.next_offset = records[-1].offset + 1
        return done

    def _pass_deadlines(self, tick: Tick, tick_id: str, done: Reacted) -> None:
        """Every deadline that lies before the tick, the oldest first."""
        waiting = {**self.dues, **{key: instance.due for key, instance in done.changed.items()}}
        passed = sorted((due, key) for key, due in waiting.items() if due is not None and due <= tick.at)
        for due, key in passed:
            subject = key.decode()
            self._react(
                subject, DeadlinePassed(subject=subject, due=due), Cause(tick_id, tick.at, tick.at, NO_HEADERS), done
            )
            done.counts["deadlines"] += 1
            after = done.changed[key].due
            if after is not None and after <= tick.at:
                raise ValueError(f"the deadline of {subject!r} has passed at {tick.at}, and the next one is {after}")

    def _react(self, subject: str, message: Any, cause: Cause, done: Reacted) -> None:
        key = subject.encode()
        instance = done.changed.get(key) or self._instance(key)
        reaction = self.saga.react(message, instance.state, Clock(cause.now, self._allowed))
        facts = (message, *reaction.facts) if isinstance(message, DeadlinePassed) else reaction.facts
        done.counts["reacted" if facts or reaction.commands else "passed_over"] += 1
        if facts:
            done.changed[key] = self._append_facts(key, facts, instance, cause, done)
        for step, command in reaction.commands:
            command_id = f"{self.saga.domain.name}/{subject}/{step}"
            headers = command_headers(
                command_id, self._ce_source, type(command).__name__, command.stream, cause.time,
                correlation=subject, causation=cause.id, extra=cause.passed_on,
            )  # fmt: skip
            row = (command.stream.encode(), self.codec.encode(command), headers)
            done.spread.setdefault(self._targets[type(command)], []).append(row)

    def _append_facts(
        self, key: bytes, facts: Sequence[Event], instance: Instance, cause: Cause, done: Reacted
    ) -> Instance:
        version, state = instance.version, instance.state
        rows = done.rows.setdefault(self._events, [])
        for fact in facts:
            if fact.stream.encode() != key:
                raise ValueError(f"{type(fact).__name__} is of stream {fact.stream!r}, not of the instance's")
            version += 1
            number = b"%d" % version
            headers: Headers = [
                SPEC_VERSION,
                ("ce_id", key + b":" + number),
                ("ce_source", self._ce_source.encode()),
                self._ce_code,
                ("ce_type", type(fact).__name__.encode()),
                ("ce_subject", key),
                ("ce_time", time_text(cause.now).encode()),
                ("ce_sequence", number),
                ("ce_causationid", cause.id.encode()),
                ("ce_correlationid", key),
                *cause.passed_on,
            ]
            rows.append((key, self.codec.encode(fact), headers))
            state = self.saga.evolve(state, fact, cause.now)
        return Instance(version, self.saga.due(state), state)

    def changelog(self, done: Reacted) -> list[OutRow]:
        """Rows that bring a new owner to where this batch led."""
        return [(key, self._encode(instance), NO_HEADERS) for key, instance in done.changed.items()]

    def commit(self, done: Reacted) -> None:
        """Take over what the batch changed: only now that its transaction has been committed."""
        self.instances.update(done.changed)
        for key, instance in done.changed.items():
            self._wait(key, instance.due)

    def next_due(self) -> datetime | None:
        """The earliest deadline that has not passed."""
        return min(self.dues.values(), default=None)

    def _wait(self, key: bytes, due: datetime | None) -> None:
        if due is None:
            self.dues.pop(key, None)
        else:
            self.dues[key] = due

    def _instance(self, key: bytes) -> Instance:
        found = self.instances.get(key)
        if found is None:
            return Instance(0, None, self.saga.initial)
        if isinstance(found, bytes):
            version, due, state = self._decode_row(found)
            found = self.instances[key] = Instance(version, due, self._decode_state(state))
        return found


def _passed_on(record: RawRecord) -> Headers:
    headers = header_map(record)
    return [(name, value) for name in PASSED_ON if (value := headers.get(name)) is not None]
