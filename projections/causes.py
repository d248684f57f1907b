"""Where in a processor's output the facts begin that a place in its source led to: found by search, proved by order.

One task writes what it makes of a partition in the order of that partition. So where a fact whose cause lies before the
place is followed by one whose cause does not, all facts before them and after them are on their side, too: a few
thousand records around the place, and as many of the output, prove it. Clocks only say where to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from statistics import median_low
from typing import Any, NamedTuple, Protocol

from confluent_kafka import Message

from eventlog.reader import headers_of
from projections.folding import time_of

NEAR = (2_000, 16_000, 128_000)
"""Offsets on each side that are looked at, one after the other until that is enough."""
FURTHER = 4
"""How much longer each step of a search is than the one before."""

Place = tuple[str, int]


class Log(Protocol):
    """What is needed of a `LogReader`."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]: ...

    def batches(self, ranges: Mapping[Place, tuple[int, int]]) -> Iterator[tuple[Place, list[Message], int]]: ...


class Read(NamedTuple):
    """What is known of a record; `id` is its own of a source's, its cause's of an output's."""

    offset: int
    id: bytes | None
    happened: Any
    appended: int


class Causes(NamedTuple):
    """Records around a place, and the ids of those before it, and of those at it or after it."""

    before: set[bytes]
    after: set[bytes]
    records: list[Read]


class Side(Enum):
    """Where the place is, seen from what was read."""

    EARLIER = 0
    LATER = 1


Clock = Callable[[Read], Any]
CLOCKS: tuple[Clock, ...] = (lambda record: record.happened, lambda record: record.appended)
"""A fact has the time of what led to it. Where times do not follow the log, when it was appended may tell."""


def boundary(log: Log, source: Place, offset: int, output: Place, end: int) -> int | None:
    """Offset of the first fact of the output whose cause lies at `offset` or after it; `end` if there is none before.

    None where nothing near proves it, be it that records are out of order. The source must have each id once: what
    was led to by another record of the same id would be taken for this one's.
    """
    begin, (first, last) = log.bounds(*output)[0], log.bounds(*source)
    guess = begin + (end - begin) * max(0, offset - first) // max(1, last - first)
    for near in NEAR:
        causes = _around(log, source, offset, near)
        if causes.before & causes.after:
            return None
        for clock in CLOCKS:
            search = _Search(log, causes, output, (begin, end), near, clock)
            found, guess = search.run(min(max(guess, begin), end))
            if found is not None:
                return found
            if search.met:
                break  # it was not the clock that led astray
        if near >= max(last - first, end - begin):
            break
    return None


def scanned(log: Log, source: Place, offset: int, output: Place, end: int, *, repeated: bool) -> int:
    """The same from all records there are, in whatever order.

    Where ids are `repeated` the first record is the cause: a command that is sent again leads to nothing.
    """
    before, after = set[bytes | None](), set[bytes | None]()
    for record in _read(log, source, 0 if repeated else offset, 1 << 62, "ce_id"):
        (before if record.offset < offset else after).add(record.id)
    after -= before
    after.discard(None)
    if not after:
        return end
    return next((record.offset for record in _read(log, output, 0, end, "ce_causationid") if record.id in after), end)


class _Search:
    """One way through the output: stretches are looked at, each on the side of the last on which the place must be."""

    def __init__(
        self,
        log: Log,
        causes: Causes,
        output: Place,
        span: tuple[int, int],
        near: int,
        clock: Clock,
    ) -> None:
        self.met = False
        """Whether it came to facts that records near the place led to."""
        self._log, self._causes, self._output, self._near, self._clock = log, causes, output, near, clock
        self._begin, self._end = span
        self._time = _middle(causes.records, clock)

    def run(self, guess: int) -> tuple[int | None, int]:
        """What was found, and where it was looked for last."""
        low, high, at, step = self._begin, self._end, guess, 2 * self._near
        while True:
            begin, end, found = self._look(at)
            if isinstance(found, int):
                if not self._seen_around(found, begin, end) and self._look(found)[2] != found:
                    return None, found
                return found, found
            if found is None:
                return None, at
            low, high = (end, high) if found is Side.LATER else (low, begin)
            if low >= high:
                return None, at
            further = min(step, (high - low) // 2)
            at = low + further if found is Side.LATER else high - further
            step *= FURTHER

    def _seen_around(self, found: int, begin: int, end: int) -> bool:
        """Whether enough was read on both sides to notice records that are out of order."""
        half = self._near // 2
        return (begin == self._begin or found - begin >= half) and (end == self._end or end - found >= half)

    def _look(self, at: int) -> tuple[int, int, int | Side | None]:
        """What was read, and what it tells: the place, its side, or nothing."""
        begin, end = max(self._begin, at - self._near), min(self._end, at + self._near)
        records = list(_read(self._log, self._output, begin, end, "ce_causationid"))
        before = [n for n, record in enumerate(records) if record.id in self._causes.before]
        after = [n for n, record in enumerate(records) if record.id in self._causes.after]
        self.met = self.met or bool(before or after)
        left = before[-1] if before else (-1 if begin == self._begin else None)
        right = after[0] if after else (len(records) if end == self._end else None)
        if left is not None and right is not None:
            if right != left + 1:
                return begin, end, None
            return begin, end, records[right].offset if right < len(records) else self._end
        if before or after:
            return begin, end, Side.LATER if before else Side.EARLIER
        time = _middle(records, self._clock)
        if time is None or self._time is None:
            return begin, end, None
        return begin, end, Side.LATER if time < self._time else Side.EARLIER


def _around(log: Log, source: Place, offset: int, near: int) -> Causes:
    records = list(_read(log, source, max(0, offset - near), offset + near, "ce_id"))
    before = {record.id for record in records if record.id is not None and record.offset < offset}
    after = {record.id for record in records if record.id is not None and record.offset >= offset}
    return Causes(before, after, records)


def _read(log: Log, place: Place, begin: int, end: int, name: str) -> Iterator[Read]:
    for _, messages, _ in log.batches({place: (begin, end)}):
        for message in messages:
            found = dict(headers_of(message)).get(name)
            yield Read(message.offset() or 0, found, time_of(message), message.timestamp()[1])


def _middle(records: list[Read], clock: Clock) -> Any:
    times = [time for record in records if (time := clock(record)) is not None]
    return median_low(times) if times else None
