"""Feeds one partition's records to its task, in order and each once, and opens the task again when it fails."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import structlog

from eventlog.envelope import RawRecord
from eventlog.errors import Fenced, HandlerFailed, Hole, OnefactError, ServiceAway, StateUnusable
from eventlog.runtime import metrics
from eventlog.runtime.task import Pace, PartitionTask

BUFFER_RECORDS_MAX = 20_000
BUFFER_BYTES_MAX = 32 * 1024 * 1024
"""Of one partition, in records and in bytes of their values; above either the partition is not fetched."""
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.1, 5.0
FENCED_PAUSE_S = 1.0
"""After being fenced: long enough to hear that the partition has moved, before fencing back."""

log = structlog.get_logger()


class LogShortened(OnefactError):
    """The log ends before what was committed from it; the partition waits for somebody to decide what is true."""


class OutOfRange(OnefactError):
    """The log does not have what is wanted next: it begins after that, or ends before it."""


class Missed(OnefactError):
    """What was delivered does not follow what was delivered before; it is read again."""


class Feed(Protocol):
    """Where the records come from."""

    async def start_at(self, offset: int) -> None:
        """Deliver from this offset on, forgetting what was delivered or fetched before."""

    def stop(self) -> None:
        """Deliver nothing until `start_at`."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def before_log(self, offset: int) -> AsyncIterator[tuple[list[RawRecord], int]]:
        """Records from the offset on that the log has no longer, out of the archive, and the offset read to.

        Ends where the log begins then, however far that has moved meanwhile. Raises `Hole` where nobody has them.
        """

    async def stable_end(self) -> int:
        """Offset after the last stable record, asked for now."""

    def read_to(self, offset: int) -> int:
        """How far the log was read without a record from the offset on, which follows what was offered."""

    def end(self) -> int | None:
        """Offset after the newest record known, None when it is not known yet."""


class Runner:
    """Owns a task while its partition is assigned."""

    def __init__(self, task: PartitionTask, feed: Feed) -> None:
        self.task = task
        self.ready = False
        self.next = 0
        """Next offset that the task wants."""
        self._feed = feed
        self._records_max: int = getattr(task, "buffer_records_max", BUFFER_RECORDS_MAX)
        self._bytes_max: int = getattr(task, "buffer_bytes_max", BUFFER_BYTES_MAX)
        self._buffer: deque[list[RawRecord]] = deque()
        self._buffered = self._bytes = 0
        self._fetched = 0
        self._wake = asyncio.Event()
        self._held = False
        self._moved = False
        self._out_of_range = False
        self._missed: str | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._pace: Pace = getattr(task, "pace", None) or Pace()
        self._pace.ring = self._wake.set
        self._pace.read_to = self._read_to
        self._log = log.bind(role=task.role, topic=task.topic, partition=task.partition)
        labels = (task.role, str(task.partition))
        self._records = metrics.RECORDS.labels(*labels)
        self._batches = metrics.BATCHES.labels(*labels)
        self._dead = metrics.DEAD_LETTERS.labels(*labels)
        self._failures = metrics.REOPENED.labels(*labels)
        self._lag_records = metrics.LAG_RECORDS.labels(*labels)
        self._lag_seconds = metrics.LAG_SECONDS.labels(*labels)
        self._commit_seconds = metrics.COMMIT_SECONDS.labels(task.role)
        self._loop_task = asyncio.create_task(self._run())

    def offer(self, records: list[RawRecord], after: int) -> None:
        """Take records that follow the ones offered before, which end before offset `after`.

        Offsets have gaps, so nothing else tells that a delivery was lost on its way.
        """
        if after != self._fetched:
            self._missed = f"what follows offset {after} was delivered, and {self._fetched} is wanted next"
            self._wake.set()
            return
        self._buffer.append(records)
        self._buffered += len(records)
        self._bytes += _bytes_of(records)
        self._fetched = records[-1].offset + 1
        self._wake.set()
        if self._full:
            self._feed.pause()

    def out_of_range(self) -> None:
        """Take it that the log does not have what follows the records offered before."""
        self._out_of_range = True
        self._wake.set()

    def _read_to(self) -> int:
        processed = self.ready and self.next == self._fetched
        return self._feed.read_to(self._fetched) if processed else self.next

    async def hold(self) -> None:
        """Finish the batch in hand, if any, and start no other: the partition may be moving."""
        self._held = True
        self._feed.stop()
        await self._idle.wait()

    def release(self) -> None:
        """Go on: the partition has stayed. If another had it meanwhile, the next commit is fenced."""
        self._held = False
        self._moved = True
        self._wake.set()

    async def stop(self) -> None:
        """Finish the batch in hand and let go of the partition."""
        self._stopping = True
        self._feed.stop()
        self._wake.set()
        await self._idle.wait()
        self._loop_task.cancel()
        await asyncio.gather(self._loop_task, return_exceptions=True)
        await self.task.close()

    async def _run(self) -> None:
        backoff = BACKOFF_S_MIN
        while not self._stopping:
            try:
                if not self.ready:
                    await self._open()
                await self._step()
                backoff = BACKOFF_S_MIN
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it was, the store or the log knows the position
                self._failed(error)
                await asyncio.sleep(FENCED_PAUSE_S if isinstance(error, Fenced) else backoff)
                backoff = min(backoff * 2, BACKOFF_S_MAX)
            finally:
                self._idle.set()

    async def _open(self) -> None:
        started = time.monotonic()
        self.next = await self.task.open()
        await self._catch_up()
        if self._out_of_range:
            if self.next > (end := await self._feed.stable_end()):
                raise _shortened(self.next, f"the log ends at {end}")
            self._out_of_range = False
        self._missed = None
        self._buffer.clear()
        self._buffered = self._bytes = 0
        self._fetched = self.next
        self._moved = True
        self.ready = True
        self._log.info("open", next=self.next, seconds=round(time.monotonic() - started, 3))

    async def _catch_up(self) -> None:
        """Take what the log has no longer: of a role that is new, or was away for longer than Kafka keeps records."""
        async for records, following in self._feed.before_log(self.next):
            for start in range(0, len(records), self.task.batch_records_max):
                if self._stopping:
                    return
                self._idle.clear()
                batch = records[start : start + self.task.batch_records_max]
                counts = await self.task.process(batch)
                self.next = batch[-1].offset + 1
                self._count(batch, counts)
                self._idle.set()
            if following > self.next and (skip_to := getattr(self.task, "skip_to", None)) is not None:
                await skip_to(following)
            self.next = following  # no records lie between, and the log may begin after the last one

    async def _step(self) -> None:
        if self._moved and not self._held:
            self._moved = False
            await self._feed.start_at(self._fetched)
        if self._missed:
            raise Missed(self._missed)
        if self._out_of_range and not self._buffer:
            raise OutOfRange(f"the log does not have {self._fetched}, which is wanted next")
        records = await self._take()
        if records is None:
            return
        if records and records[0].offset < self.next:
            # A client whose position is past the end of the log begins anew at its start.
            raise _shortened(self.next, f"the log gives {records[0].offset}")
        started = time.monotonic()
        counts = await self.task.process(records)
        self._commit_seconds.observe(time.monotonic() - started)
        if records:
            self.next = records[-1].offset + 1
        self._count(records, counts)

    @property
    def _full(self) -> bool:
        return self._buffered >= self._records_max or self._bytes >= self._bytes_max

    async def _take(self) -> list[RawRecord] | None:
        """Everything that is waiting, up to the task's limit: the busier, the larger the commits.

        None when there is nothing to do, and no records when the task is due without any.
        """
        wanted = bool(self._buffer) and not self._pace.full
        if self._held or not (wanted or self._pace.due):
            self._idle.set()
            self._wake.clear()
            # A partition that was closed and released while the feed was opening is to be opened again.
            if self._held or not self._moved:
                await self._wake.wait()
            return None
        if self._stopping:
            return None
        self._idle.clear()
        if not wanted:
            return []
        limit = self.task.batch_records_max
        records = self._buffer.popleft()
        if len(records) > limit:
            self._buffer.appendleft(records[limit:])
            records = records[:limit]
        while self._buffer and len(records) + len(self._buffer[0]) <= limit:
            records = records + self._buffer.popleft()
        was_full = self._full
        self._buffered -= len(records)
        self._bytes -= _bytes_of(records)
        if was_full and not self._full:
            self._feed.resume()
        return records

    def _failed(self, error: Exception) -> None:
        self.ready = False
        self._feed.stop()
        self._failures.inc()
        if isinstance(error, Fenced | Missed | OutOfRange | ServiceAway | StateUnusable):
            self._log.warning("reopening", error=f"{type(error).__name__}: {error}")
        elif isinstance(error, LogShortened):
            self._log.error("the log is shorter than before; the partition waits", error=str(error))
        elif isinstance(error, Hole):
            self._log.error("the log has lost what comes next; the partition waits", error=str(error))
        elif isinstance(error, HandlerFailed):
            self._log.error("role failed; the partition waits", error=str(error), exc_info=error.__cause__)
        else:
            self._log.warning("reopening", error=f"{type(error).__name__}: {error}", exc_info=error)

    def _count(self, records: Sequence[RawRecord], counts: Any) -> None:
        self._records.inc(len(records))
        self._batches.inc()
        self._dead.inc(counts.get("dead", 0))
        for outcome, number in counts.items():
            metrics.OUTCOMES.labels(self.task.role, outcome).inc(number)
        self.measure_lag(records[-1].timestamp if records else None)

    def measure_lag(self, timestamp_ms: int | None = None) -> None:
        """Bring the lag gauges up to date; without a timestamp only the number of records."""
        end = self._feed.end()
        behind = max(0, end - self.next) if end is not None else 0
        self._lag_records.set(behind)
        if behind == 0:
            self._lag_seconds.set(0)
        elif timestamp_ms is not None:
            self._lag_seconds.set(max(0.0, time.time() - timestamp_ms / 1000))


def _shortened(wanted: int, found: str) -> LogShortened:
    return LogShortened(
        f"next is {wanted}, but {found}: it has lost what was acknowledged, and nothing is applied twice; "
        "see GUARANTEES.md"
    )


def _bytes_of(records: Sequence[RawRecord]) -> int:
    return sum([len(value) for record in records if (value := record.value) is not None])
