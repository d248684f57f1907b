"""The streams of a decider: what it remembers of each, how a changelog row says it, how it comes back from there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from eventlog.envelope import Headers
from eventlog.rows import OutRow
from eventlog.state import Recent, StateStore

WINDOW = 1000
"""Commands of a stream, at least, within which a repeated one is answered with its first outcome."""

Outcome = tuple[int, int, str | None, str | None]
"""Version after the command, offset after its last event (-1 for none), code and reason of a refusal."""


NO_HEADERS: Headers = []


class ChangelogEntry(msgspec.Struct, array_like=True, gc=False):
    """What one batch did to one stream. Kept under stream key + slot, so that the last `WINDOW` batches stay."""

    touch: int
    version: int
    state: msgspec.Raw
    outcomes: list[tuple[bytes, int, int, str | None, str | None]]


class Stream:
    """A stream as it was committed."""

    __slots__ = ("outcomes", "state", "touch", "version")

    def __init__(self, state: Any) -> None:
        self.touch = 0
        self.version = 0
        self.state = state
        self.outcomes: dict[bytes, Outcome] = {}


class Draft:
    """A stream within a batch that is not committed yet; `fresh` outcomes count events of the batch, not offsets."""

    __slots__ = ("base", "fresh", "state", "version")

    def __init__(self, base: Stream) -> None:
        self.base = base
        self.version = base.version
        self.state = base.state
        self.fresh: dict[bytes, Outcome] = {}


class Streams:
    """The committed streams of one partition: all of them, or those used last of what a store holds."""

    def __init__(self, state: Any, store: StateStore | None = None) -> None:
        self.known: dict[bytes, Stream | bytes] = {}
        """By key; bytes are the only changelog row of a stream that was not used since it was restored."""
        self._store = store
        self._recent = Recent(self.known, store.cache_bytes) if store else None
        self._absent: set[bytes] = set()
        self._decode_state = msgspec.msgpack.Decoder(state | None).decode
        self._decode_entry = msgspec.msgpack.Decoder(ChangelogEntry).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take changelog rows, oldest first; where there is no store they are all there is."""
        known = self.known
        for slotted, value in rows:
            if value is None:
                continue
            key = slotted[:-2]
            stream = known.get(key)
            if stream is None:
                known[key] = value  # as it is until it is used, which for most streams is not soon
                continue
            if isinstance(stream, bytes):
                stream = known[key] = self._stream_of((stream,))
            self._take(stream, self._decode_entry(value))

    def recall(self, keys: Iterable[bytes]) -> None:
        """Read streams from the store ahead of a batch, for instance in another thread; without a store, nothing."""
        if self._store is None:
            return
        assert self._recent
        for key in keys:
            if key in self.known or key in self._absent:
                continue
            values = self._store.read(key)
            if values:
                stream = self.known[key] = self._stream_of(values)
                self._recent.use(key, _bytes_of(stream, len(bytes(stream.state))))
            else:
                self._absent.add(key)

    def find(self, key: bytes) -> Stream | None:
        """The stream as it was committed last; None for one that is new."""
        stream = self.known.get(key)
        if stream is None and self._store is not None:
            self.recall((key,))
            stream = self.known.get(key)
        if isinstance(stream, bytes):
            stream = self.known[key] = self._stream_of((stream,))
        if stream is not None and type(stream.state) is msgspec.Raw:
            stream.state = self._decode_state(stream.state)
        return stream

    def row(self, key: bytes, draft: Draft) -> OutRow:
        """The changelog's record of what a batch did to the stream."""
        touch = draft.base.touch + 1
        outcomes = [(command_id, *outcome) for command_id, outcome in draft.fresh.items()]
        # The fields of a `ChangelogEntry`, in their order, written in one go.
        value = self._encode((touch, draft.version, draft.state, outcomes))
        return key + (touch % WINDOW).to_bytes(2, "big"), value, NO_HEADERS

    def commit(self, drafts: dict[bytes, Draft]) -> None:
        """Take over what a batch changed: only now that its transaction has been committed."""
        known = self.known
        for key, draft in drafts.items():
            stream = known[key] = draft.base
            stream.touch += 1
            stream.version = draft.version
            stream.state = draft.state
            stream.outcomes.update(draft.fresh)
            _forget_oldest(stream.outcomes)
        if self._recent is not None:
            for key, draft in drafts.items():
                self._recent.use(key, _bytes_of(draft.base, len(self._encode(draft.state))))
            self._recent.forget()
            self._absent.clear()

    def _stream_of(self, values: Iterable[bytes]) -> Stream:
        """A stream from its changelog rows, in any order."""
        stream = Stream(None)
        for entry in sorted(map(self._decode_entry, values), key=_touch):
            self._take(stream, entry)
        return stream

    @staticmethod
    def _take(stream: Stream, entry: ChangelogEntry) -> None:
        stream.touch, stream.version, stream.state = entry.touch, entry.version, entry.state
        for command_id, version, offset, code, reason in entry.outcomes:
            stream.outcomes[command_id] = (version, offset, code, reason)
        _forget_oldest(stream.outcomes)


def _touch(entry: ChangelogEntry) -> int:
    return entry.touch


def _bytes_of(stream: Stream, state_bytes: int) -> int:
    """About what it takes in memory: objects are some four times as large as what they were read from."""
    return 500 + 4 * state_bytes + 250 * len(stream.outcomes)


def _forget_oldest(outcomes: dict[bytes, Any]) -> None:
    # A quarter over the window, so that forgetting costs nothing most of the time.
    if len(outcomes) > WINDOW + WINDOW // 4:
        for command_id in list(outcomes)[: len(outcomes) - WINDOW]:
            del outcomes[command_id]
