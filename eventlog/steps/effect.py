"""Facts into calls, and replies into commands: which calls of one partition wait, and what answered ones mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from eventlog.codec import Codec
from eventlog.envelope import (
    PASSED_ON,
    SPEC_VERSION,
    Headers,
    Meta,
    RawRecord,
    Record,
    code_version,
    header_map,
    metas_of,
    read_meta,
    time_text,
)
from eventlog.errors import HandlerFailed, Poison, Superseded
from eventlog.message import Event
from eventlog.roles import Call, Effect, Reply
from eventlog.rows import Outputs, OutRow


class Asked(NamedTuple):
    """A call that a fact asks for and that has not been answered."""

    call: Call
    event: Event
    meta: Meta
    record: RawRecord


Waiting = tuple[Asked, ...]
"""Calls of one stream, in the order in which they are to be made."""

Answer = tuple[bytes, Asked, Reply]
"""The stream's key, the call, and what was said."""


class _Kept(msgspec.Struct, array_like=True, gc=False):
    """A waiting call in the changelog: the record that asks for it, as it was."""

    offset: int
    timestamp: int
    part: int
    value: bytes
    headers: list[tuple[str, bytes]]


class Effected(Outputs):
    """What a batch led to."""

    __slots__ = ("changed", "counts", "next_offset")

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[bytes, Waiting] = {}
        self.counts = {"asked": 0, "answered": 0, "dead": 0}
        self.next_offset = 0


class EffectStep:
    """The effect of one partition: the calls that wait, by stream, and what records and replies do to them."""

    def __init__(self, effect: Effect, codec: Codec, partition: int, build: str = "") -> None:
        self.effect = effect
        self.codec = codec
        self.waiting: dict[bytes, Waiting] = {}
        self.source = effect.source
        self._partition = partition
        self._commands = effect.domain.topic("commands").name
        self._ce_source = ("ce_source", f"onefact/{effect.name}".encode())
        self._ce_code = code_version(effect.version, build)
        self._decode = codec.decoder(self.source, effect.wanted)
        self._rows: dict[bytes, bytes] = {}
        self._decode_kept = msgspec.msgpack.Decoder(list[_Kept]).decode
        self._encode = msgspec.msgpack.Encoder().encode

    @property
    def count(self) -> int:
        """Calls that wait."""
        return sum(map(len, self.waiting.values()))

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take changelog rows, oldest first; `resume` when there are no more."""
        for key, value in rows:
            if value:
                self._rows[key] = value
            else:
                self._rows.pop(key, None)

    def kept(self) -> Iterator[RawRecord]:
        """Records behind the calls that were restored."""
        for key, row in self._rows.items():
            for kept in self._decode_kept(row):
                yield self._record(key, kept)

    def resume(self) -> None:
        """Have the calls wait that were restored. Raises `UnknownSchema`, and `HandlerFailed` as `run` does."""
        waiting: dict[bytes, Waiting] = {}
        for key, row in self._rows.items():
            found = [
                asked
                for kept in self._decode_kept(row)
                for asked in self._asked(self._record(key, kept))
                if asked.meta.part == kept.part
            ]
            if found:
                waiting[key] = tuple(found)
        self.waiting, self._rows = waiting, {}

    def run(self, records: Sequence[RawRecord], answers: Sequence[Answer], now_ms: int) -> Effected:
        """What answers mean, and what further records ask for; nothing is changed until `commit`.

        Raises `UnknownSchema`, and `HandlerFailed` when one of the domain's functions raises. `next_offset` is 0
        where there are no records.
        """
        done = Effected()
        for key, asked, reply in answers:
            head, *others = done.changed.get(key) or self.waiting[key]
            assert head is asked, "calls of a stream are answered in their order"
            done.changed[key] = tuple(others)
            done.rows.setdefault(self._commands, []).extend(self._meant(key, asked, reply, now_ms))
            done.counts["answered"] += 1
        for record in records:
            try:
                found = self._asked(record)
            except Poison as poison:
                done.counts["dead"] += 1
                done.dead(record, self.source, self.effect.name, poison)
                continue
            if found:
                key = record.key or b""
                before = done.changed[key] if key in done.changed else self.waiting.get(key, ())
                done.changed[key] = (*before, *found)
                done.counts["asked"] += len(found)
        if records:
            done.next_offset = records[-1].offset + 1
        return done

    def changelog(self, done: Effected) -> list[OutRow]:
        """Rows that bring a new owner to where this batch led."""
        return [(key, self._row(waiting) if waiting else None, []) for key, waiting in done.changed.items()]

    def commit(self, done: Effected) -> None:
        """Take over what the batch changed: only now that its transaction has been committed."""
        for key, waiting in done.changed.items():
            if waiting:
                self.waiting[key] = waiting
            else:
                self.waiting.pop(key, None)

    def _asked(self, record: RawRecord) -> list[Asked]:
        """Calls that a record asks for. Raises `Poison`."""
        superseded: Sequence[Any] | None = None
        event: Any = None
        try:
            event = self._decode(record.value)
        except Superseded as old:
            superseded = old.messages
        if event is None and not superseded:
            return []  # of a type that the effect is not for
        meta = read_meta(record)
        pairs = [(event, meta)] if superseded is None else list(metas_of(meta, superseded))
        try:
            made = [(self.effect.ask(part, own), part, own) for part, own in pairs if type(part) in self.effect.wanted]
        except Exception as error:
            raise self._failed(record, error) from error
        return [Asked(call, part, own, record) for call, part, own in made if call is not None]

    def _meant(self, key: bytes, asked: Asked, reply: Reply, now_ms: int) -> list[OutRow]:
        """Commands that a reply means. Their time is the fact's and as long after it as the reply came."""
        record, meta = asked.record, asked.meta
        try:
            commands = tuple(self.effect.answer(asked.event, reply))
            for command in commands:
                if type(command) not in self.effect.domain.commands or command.stream != meta.stream:
                    raise ValueError(f"{type(command).__name__} of {command.stream!r} is none of the stream's commands")
            values = [self.codec.encode(command) for command in commands]
        except Exception as error:
            raise self._failed(record, error) from error
        headers = header_map(record)
        try:
            time = meta.time + timedelta(milliseconds=max(0, now_ms - record.timestamp))
        except OverflowError:
            time = meta.time
        rows: list[OutRow] = []
        for number, (command, value) in enumerate(zip(commands, values, strict=True), 1):
            suffix = ":answer" if len(commands) == 1 else f":answer{number}"
            out: Headers = [
                SPEC_VERSION,
                ("ce_id", (meta.id + suffix).encode()),
                self._ce_source,
                self._ce_code,
                ("ce_type", type(command).__name__.encode()),
                ("ce_subject", key),
                ("ce_time", time_text(time).encode()),
                ("ce_causationid", meta.id.encode()),
                ("ce_correlationid", headers.get("ce_correlationid") or meta.id.encode()),
            ]
            out += [(name, headers[name]) for name in PASSED_ON if headers.get(name)]
            rows.append((key, value, out))
        return rows

    def _row(self, waiting: Waiting) -> bytes:
        return self._encode(
            [
                _Kept(each.record.offset, each.record.timestamp, each.meta.part, each.record.value or b"",
                      [(name, value or b"") for name, value in each.record.headers])
                for each in waiting
            ]
        )  # fmt: skip

    def _record(self, key: bytes, kept: _Kept) -> Record:
        return Record(self.source.name, self._partition, kept.offset, kept.timestamp, key, kept.value, kept.headers)

    def _failed(self, record: RawRecord, error: Exception) -> HandlerFailed:
        return HandlerFailed(self.effect.name, record.topic, record.partition, record.offset, error)
