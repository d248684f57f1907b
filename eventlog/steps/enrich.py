"""Facts into enriched facts: what a batch of events means, against the streams of one partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from eventlog.codec import Codec
from eventlog.envelope import (
    PASSED_ON,
    SPEC_VERSION,
    Headers,
    Meta,
    RawRecord,
    code_version,
    header_map,
    metas_of,
    read_meta,
)
from eventlog.errors import HandlerFailed, Poison, Superseded
from eventlog.message import Event
from eventlog.roles import Enricher, References
from eventlog.rows import FLUSH_RECORDS, Flush, Outputs, OutRow
from eventlog.state import Recent, StateStore

StreamState = tuple[int, Any]
"""Version of the stream of enriched facts, and the enricher's state."""


class Enriched(Outputs):
    """What a batch led to."""

    __slots__ = ("changed", "counts", "last", "next_offset")

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[bytes, StreamState] = {}
        self.last: dict[str, dict[bytes, tuple[Event, str, Headers]]] = {}
        self.counts = {"enriched": 0, "dead": 0}
        self.next_offset = 0


class EnrichStep:
    """The enricher of one partition: its state by stream, and what a batch of events adds."""

    def __init__(
        self,
        enricher: Enricher,
        codec: Codec,
        references: References,
        build: str = "",
        store: StateStore | None = None,
    ) -> None:
        self.enricher = enricher
        self.codec = codec
        self.references = references
        self.streams: dict[bytes, StreamState | bytes] = {}
        """By key; bytes are the changelog row of a stream that was not used since it was restored."""
        self._store = store
        self._recent = Recent(self.streams, store.cache_bytes) if store else None
        self._absent: set[bytes] = set()
        self.source = enricher.source
        self._enriched = enricher.domain.topic("enriched").name
        self._ce_source = ("ce_source", f"onefact/{enricher.name}".encode())
        self._ce_code = code_version(enricher.version, build)
        self._also = {cls: topic.name for topic in enricher.also for cls in topic.types}
        self._decode = codec.decoder(self.source)
        self._decode_state = msgspec.msgpack.Decoder(enricher.state | None).decode
        self._decode_entry = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw]).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take changelog rows, oldest first. For a step without a store, whose state they all are."""
        streams = self.streams
        for key, value in rows:
            if value is not None:
                streams[key] = value

    def recall(self, keys: Iterable[bytes]) -> None:
        """Read streams from the store ahead of a batch, for instance in another thread; without a store, nothing."""
        if self._store is None:
            return
        assert self._recent
        for key in keys:
            if key in self.streams or key in self._absent:
                continue
            values = self._store.read(key)
            if values:
                self.streams[key] = values[0]
                self._recent.use(key, _bytes_of(len(values[0])))
            else:
                self._absent.add(key)

    def run(self, records: Sequence[RawRecord], flush: Flush | None = None) -> Enriched:
        """Enrich the records, which follow one another; nothing is changed until `commit`.

        Rows go to `flush` while they are made, otherwise they are in what is returned; `keyed` ones always are.
        Raises `UnknownSchema`, and `HandlerFailed` when the domain's function raises.
        """
        done = Enriched()
        for begin in range(0, len(records), FLUSH_RECORDS):
            for record in records[begin : begin + FLUSH_RECORDS]:
                self._take(record, done)
            if flush is not None:
                flush(done.rows)
        self._encode_last(done)
        done.next_offset = records[-1].offset + 1
        return done

    def _take(self, record: RawRecord, done: Enriched) -> None:
        superseded: Sequence[Any] | None = None
        try:
            meta = read_meta(record)
            event: Any = self._decode(record.value)
        except Superseded as old:
            superseded = old.messages
        except Poison as poison:
            done.counts["dead"] += 1
            done.dead(record, self.source, self.enricher.name, poison)
            return
        try:
            if superseded is None:
                self._enrich(event, meta, record, done)
            else:
                for part, part_meta in metas_of(meta, superseded):
                    self._enrich(part, part_meta, record, done)
        except Exception as error:
            raise HandlerFailed(self.enricher.name, record.topic, record.partition, record.offset, error) from error

    def _enrich(self, event: Any, meta: Meta, record: RawRecord, done: Enriched) -> None:
        key = record.key or b""
        version, state = done.changed.get(key) or self._stream(key)
        facts, state = self.enricher.enrich(event, state, self.references, meta.time)
        because = _because(record)
        for fact in facts:
            topic = self._also.get(type(fact))
            if topic is not None:
                # Of several with one key only the last is kept, so only that one is worth encoding.
                done.last.setdefault(topic, {})[fact.stream.encode()] = (fact, meta.id, because)
                continue
            version += 1
            number = b"%d" % version
            headers = self._headers(fact, key, key + b":" + number, because)
            headers.append(("ce_sequence", number))
            rows: list[OutRow] = done.rows.setdefault(self._enriched, [])
            rows.append((key, self.codec.encode(fact), headers))
            done.counts["enriched"] += 1
        done.changed[key] = (version, state)

    def _headers(self, fact: Event, key: bytes, fact_id: bytes, because: Headers) -> Headers:
        return [
            SPEC_VERSION,
            ("ce_id", fact_id),
            self._ce_source,
            self._ce_code,
            ("ce_type", type(fact).__name__.encode()),
            ("ce_subject", key),
            *because,
        ]

    def _encode_last(self, done: Enriched) -> None:
        for topic, facts in done.last.items():
            rows = done.keyed.setdefault(topic, {})
            for key, (fact, cause, because) in facts.items():
                headers = self._headers(fact, key, key + b":" + cause.encode(), because)
                rows[key] = (key, self.codec.encode(fact), headers)

    def changelog(self, done: Enriched) -> list[OutRow]:
        """Rows that bring a new owner to where this batch led."""
        return [(key, self._encode(entry), []) for key, entry in done.changed.items()]

    def commit(self, done: Enriched) -> None:
        """Take over what the batch changed: only now that its transaction has been committed."""
        self.streams.update(done.changed)
        if self._recent is not None:
            for key, entry in done.changed.items():
                self._recent.use(key, _bytes_of(len(self._encode(entry))))
            self._recent.forget()
            self._absent.clear()

    def _stream(self, key: bytes) -> StreamState:
        found = self.streams.get(key)
        if found is None and self._store is not None:
            self.recall((key,))
            found = self.streams.get(key)
        if found is None:
            return 0, self.enricher.initial
        if isinstance(found, bytes):
            version, state = self._decode_entry(found)
            found = self.streams[key] = (version, self._decode_state(state))
        return found


def _bytes_of(row_bytes: int) -> int:
    """About what a stream takes in memory: objects are some four times as large as what they were read from."""
    return 300 + 4 * row_bytes


_TAKEN_OVER = ("ce_time", "ce_correlationid", *PASSED_ON)


def _because(record: RawRecord) -> Headers:
    """What a fact takes over from the one that led to it: when, and because of what."""
    headers = header_map(record)
    taken: Headers = [("ce_causationid", headers["ce_id"])]
    for name in _TAKEN_OVER:
        value = headers.get(name)
        if value is not None:
            taken.append((name, value))
    return taken
