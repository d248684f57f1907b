"""Commands into events: decides a batch against the streams of one partition, each command once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from eventlog.codec import Codec
from eventlog.envelope import (
    DECIDED,
    PASSED_ON,
    SPEC_VERSION,
    Headers,
    RawRecord,
    check_passed_on,
    code_version,
    header_map,
    parse_time,
)
from eventlog.errors import Poison, Refused, Superseded
from eventlog.message import CommandAnswered, CommandRejected, Event
from eventlog.partition import partition_of
from eventlog.roles import Decider
from eventlog.rows import FLUSH_RECORDS, Flush, Outputs, OutRow
from eventlog.state import StateStore
from eventlog.steps.streams import Draft, Outcome, Stream, Streams

NO_OFFSET = -1


class Decided(Outputs):
    """What a batch led to. `late` rows can be made once the events have their offsets."""

    __slots__ = ("answers", "counts", "drafts", "events", "next_offset")

    def __init__(self) -> None:
        super().__init__()
        self.drafts: dict[bytes, Draft] = {}
        self.answers: list[tuple[bytes, bytes, bytes, Outcome]] = []
        self.counts = {"accepted": 0, "refused": 0, "repeated": 0, "dead": 0}
        self.events = 0
        """How many there are, those that were flushed too."""
        self.next_offset = 0


class DecideStep:
    """The decider of one partition: its streams, and what a batch of commands does to them."""

    def __init__(self, decider: Decider, codec: Codec, build: str = "", store: StateStore | None = None) -> None:
        self.decider = decider
        self.codec = codec
        self.streams = Streams(decider.state, store)
        self.restore = self.streams.restore
        self.recall = self.streams.recall
        domain = decider.domain
        self.source = decider.source
        self.events = domain.topic("events").name
        self.rejections = domain.topic("rejections").name
        self.outcomes = domain.topic("outcomes").name
        self._ce_source = ("ce_source", f"onefact/{decider.name}".encode())
        self._ce_code = code_version(decider.version, build)
        self._ce_types = {
            cls: (
                (SPEC_VERSION, self._ce_source, self._ce_code, ("ce_type", cls.__name__.encode())),
                codec.encoder(cls),
                cls.stream_field,
            )
            for cls in domain.events
        }
        self._decode = codec.decoder(decider.source)
        self._decide_command, self._evolve = decider.decide, decider.evolve

    def run(self, records: Sequence[RawRecord], flush: Flush | None = None) -> Decided:
        """Decide the records, which follow one another in the partition; nothing is changed until `commit`.

        Rows go to `flush` while they are made, otherwise they are in what is returned.
        Raises `UnknownSchema`; a record that cannot be read or decided is among the dead letters.
        """
        done = Decided()
        for begin in range(0, len(records), FLUSH_RECORDS):
            for record in records[begin : begin + FLUSH_RECORDS]:
                try:
                    self._decide(record, done)
                except Poison as poison:
                    done.counts["dead"] += 1
                    done.dead(record, self.source, self.decider.name, poison)
            if flush is not None:
                flush(done.rows)
        done.next_offset = records[-1].offset + 1
        return done

    def _decide(self, record: RawRecord, done: Decided) -> None:
        headers = header_map(record)
        command: Any
        try:
            command = self._decode(record.value)
        except Superseded as old:
            (command,) = old.messages  # more or less than one command would have more or less than one outcome
        key, command_id = record.key, headers["ce_id"]
        assert key
        try:
            stream = key.decode()
            time = parse_time(headers["ce_time"].decode())
        except ValueError as error:
            raise Poison("bad_header", f"ce_time or the key cannot be read: {error}") from None
        if stream != getattr(command, command.stream_field):
            raise Poison("wrong_key", f"the key is not the command's {command.stream_field}")
        check_passed_on(headers)
        draft = done.drafts.get(key)
        if draft is None:
            draft = Draft(self._stream(key, record.partition))
        outcome = draft.fresh.get(command_id) or draft.base.outcomes.get(command_id)
        if outcome is not None:
            done.counts["repeated"] += 1
            done.answers.append((key, command_id, headers["ce_time"], outcome))
            return
        try:
            draft.fresh[command_id] = self._outcome(command, draft, headers, key, stream, time, done)
        except (Poison, MemoryError):
            raise
        except Exception as error:
            raise Poison("decide_failed", f"{type(error).__name__}: {error}") from error
        done.drafts[key] = draft

    def _outcome(
        self,
        command: Any,
        draft: Draft,
        headers: Mapping[str, bytes],
        key: bytes,
        stream: str,
        time: datetime,
        done: Decided,
    ) -> Outcome:
        try:
            events = self._decide_command(command, draft.state, time)
            if type(events) is not tuple:
                events = tuple(events)
        except Refused as refused:
            done.counts["refused"] += 1
            done.rows.setdefault(self.rejections, []).append(self._rejection(stream, command, refused, headers, key))
            return draft.version, NO_OFFSET, refused.code, refused.reason
        state, version, rows = draft.state, draft.version, []
        for event in events:
            version += 1
            rows.append(self._event(stream, event, version, headers, key, len(events)))
            state = self._evolve(state, event, time)
        done.counts["accepted"] += 1
        draft.state, draft.version = state, version
        if not rows:
            done.answers.append((key, headers["ce_id"], headers["ce_time"], (version, NO_OFFSET, None, None)))
            return version, NO_OFFSET, None, None
        done.rows.setdefault(self.events, []).extend(rows)
        done.events += len(rows)
        return version, done.events, None, None

    def _event(
        self, stream: str, event: Event, version: int, headers: Mapping[str, bytes], key: bytes, count: int
    ) -> OutRow:
        constant, encode, stream_field = self._ce_types[type(event)]
        if getattr(event, stream_field) != stream:
            raise ValueError(f"{type(event).__name__} is of stream {event.stream!r}, not of its command's")
        number, command_id = b"%d" % version, headers["ce_id"]
        out: Headers = [
            *constant,
            ("ce_id", key + b":" + number),
            ("ce_subject", key),
            ("ce_time", headers["ce_time"]),
            ("ce_sequence", number),
            ("ce_causationid", command_id),
            ("ce_correlationid", headers.get("ce_correlationid") or command_id),
        ]
        if count != 1:
            out.append((DECIDED, b"%d" % count))
        _pass_on(headers, out)
        return key, encode(event), out

    def _rejection(
        self, stream: str, command: Any, refused: Refused, headers: Mapping[str, bytes], key: bytes
    ) -> OutRow:
        fact = CommandRejected(
            subject=stream, command_type=type(command).__name__, code=refused.code, reason=refused.reason
        )
        out = self._answer_headers(CommandRejected, key, headers["ce_id"], headers["ce_time"], b"rejected")
        out.append(("ce_correlationid", headers.get("ce_correlationid") or headers["ce_id"]))
        out.append(self._ce_code)
        _pass_on(headers, out)
        return key, self.codec.encode(fact), out

    def _answer_headers(self, cls: type[Event], key: bytes, command_id: bytes, time: bytes, kind: bytes) -> Headers:
        return [
            SPEC_VERSION,
            ("ce_id", command_id + b":" + kind),
            self._ce_source,
            ("ce_type", cls.__name__.encode()),
            ("ce_subject", key),
            ("ce_time", time),
            ("ce_causationid", command_id),
        ]

    def late(self, done: Decided, placed: Sequence[tuple[int, int]]) -> tuple[list[OutRow], list[OutRow]]:
        """Rows for the outcomes topic and for the changelog, now that the events have their offsets.

        `placed` has (index, offset) of the first event of each part that was appended, in order: the batch's events
        in one part follow one another in the log.
        """
        ends = [*(index for index, _ in placed[1:]), done.events]
        for draft in done.drafts.values():
            fresh = draft.fresh
            for command_id, (version, end, code, reason) in fresh.items():
                if end > 0:
                    index, offset = placed[bisect_left(ends, end)]
                    fresh[command_id] = (version, offset + end - index, code, reason)
        answers = []
        for key, command_id, time, first in done.answers:
            decided = done.drafts.get(key)
            answers.append(self._answer(key, command_id, time, (decided and decided.fresh.get(command_id)) or first))
        return answers, [self.streams.row(key, draft) for key, draft in done.drafts.items()]

    def _answer(self, key: bytes, command_id: bytes, time: bytes, outcome: Outcome) -> OutRow:
        version, offset, code, reason = outcome
        fact = CommandAnswered(subject=key.decode(), version=version, offset=offset, code=code, reason=reason)
        headers = self._answer_headers(CommandAnswered, key, command_id, time, b"answered")
        return key, self.codec.encode(fact), headers

    def commit(self, done: Decided) -> None:
        """Take over what the batch changed: only now that its transaction has been committed."""
        self.streams.commit(done.drafts)

    def _stream(self, key: bytes, partition: int) -> Stream:
        stream = self.streams.known.get(key)
        if type(stream) is Stream and type(stream.state) is not msgspec.Raw:
            return stream
        stream = self.streams.find(key)
        if stream is None:
            # Elsewhere the stream may exist already: it would begin a second time here.
            right = partition_of(key, self.source.partitions)
            if partition != right:
                raise Poison("wrong_partition", f"the key belongs to partition {right}; set the producer to murmur2")
            return Stream(self.decider.initial)
        return stream


def _pass_on(headers: Mapping[str, bytes], out: Headers) -> None:
    for name in PASSED_ON:
        value = headers.get(name)
        if value is not None:
            out.append((name, value))
