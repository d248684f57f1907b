"""Partition tasks whose output is the archive: records gathered into a file, committed with the position after it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import structlog

from eventlog.archive.meta import Schemas, have_topic
from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink, Share
from eventlog.archive.table import Table
from eventlog.envelope import RawRecord, Record
from eventlog.errors import Fenced
from eventlog.provision import described
from eventlog.quiescence import Pauses
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Archiver
from eventlog.runtime.task import Pace
from eventlog.settings import Settings
from eventlog.topics import Topic
from eventlog.upkeep.quiet import Cutter

LOOK_S = 0.5
"""How often it is asked whether what waits is due."""
RETRY_S = 2.0
CUT_S = 1.0
"""Between two looks whether nothing is under way, at least; more where records wait long to be archived."""
CUT_PAUSED_S = 0.02
"""The same while all processors pause."""
CLOSE_S = 30.0
"""Of a look that is under way when the worker ends: it asks Kafka a few times, each with a limit of its own."""
BATCH_RECORDS_MAX = 4_000
BUFFER_RECORDS_MAX = 1_000
"""Of one partition: it takes records faster than they are fetched, and has hundreds of partitions."""
FETCH_BYTES_MAX = 1024 * 1024
"""Of one partition, for the same reason: so much of each is fetched ahead."""

log = structlog.get_logger()


class Archive:
    """What the tasks of one process share: connections, tables, memory."""

    def __init__(self, role: Archiver, settings: Settings, registry: Registry) -> None:
        self.settings = settings
        self.objects = Objects(settings)
        self.share = Share(bytes_max=settings.archive_memory_mb * 1024 * 1024)
        self.buffer_bytes_max = max(1, self.share.bytes_max // sum(topic.partitions for topic in role.sources))
        """Of one partition's records that are to become rows: the large ones of all together are as many as rows."""
        self.schemas = Schemas(self.objects, registry.lookup)
        self.tables = {topic.name: Table(self.objects, topic.name) for topic in role.sources}
        self._log: LogReader | None = None
        self._log_asked = threading.Lock()
        self._cuts: threading.Thread | None = None
        self._closed = threading.Event()

    def prepare(self, role: Archiver) -> None:
        """Tables there, topics described; raises `AnotherTopic` where a topic was made again."""
        with LogReader(self.settings) as reader:
            for topic in role.sources:
                self.tables[topic.name].create()
                made = described(self.settings, topic.name)
                have_topic(self.objects, topic.name, reader.topic_id(topic.name), made)
        if self._cuts is None:
            partitions = {topic.name: topic.partitions for topic in role.sources}
            cutter = Cutter(self.objects, partitions, role.published)
            self._cuts = threading.Thread(target=self._cut, args=(cutter,), name="cuts", daemon=True)
            self._cuts.start()

    def _cut(self, cutter: Cutter) -> None:
        """Keep finding moments that a cluster can be brought back to."""
        pauses = Pauses.of(self.settings)
        usual = max(CUT_S, self.settings.archive_age_s / 4)
        while not self._closed.wait(
            CUT_PAUSED_S if pauses.left_s and not cutter.found else min(usual, pauses.next_s + CUT_PAUSED_S)
        ):
            try:
                if (cut := cutter.look()) is not None:
                    log.debug("cut", taken_ms=cut.taken_ms)
            except Exception as error:  # noqa: BLE001 - it is looked again; records are archived meanwhile
                log.warning("no cut", error=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """No more cuts. A thread that is in a client's code while the interpreter goes takes the process with it."""
        self._closed.set()
        if self._cuts is not None:
            self._cuts.join(CLOSE_S)
        with self._log_asked:
            if self._log is not None:
                self._log.close()

    def first(self, topic: str, partition: int) -> int:
        """Where the log begins; one client asks for every partition: to open one takes longer than an answer."""
        with self._log_asked:
            self._log = self._log or LogReader(self.settings)
            return self._log.log_bounds(topic, partition)[0]

    def sink(self, topic: str, partition: int) -> PartitionSink:
        return PartitionSink(
            self.objects,
            self.tables[topic],
            partition,
            share=self.share,
            before_commit=self.schemas.have,
            age_s=self.settings.archive_age_s,
        )


class ArchiveTask:
    """Archives one partition of one topic."""

    batch_records_max = BATCH_RECORDS_MAX
    buffer_records_max = BUFFER_RECORDS_MAX

    def __init__(self, archive: Archive, source: Topic, partition: int) -> None:
        self.role = Archiver.name
        self.topic = source.name
        self.partition = partition
        self.pace = Pace()
        self._archive = archive
        self.buffer_bytes_max = archive.buffer_bytes_max
        self._sink = archive.sink(source.name, partition)
        self._lock = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._fenced: Fenced | None = None
        self._log = log.bind(role=self.role, topic=self.topic, partition=partition)

    async def open(self) -> int:
        await self._stop_timer()
        async with self._lock:
            self._fenced, self.pace.due = None, False
            begin: Callable[[], int] = lambda: self._archive.first(self.topic, self.partition)  # noqa: E731
            opened = await asyncio.to_thread(self._sink.open, begin)
        self._timer = asyncio.create_task(self._watch())
        return opened

    async def skip_to(self, offset: int) -> None:
        """Take it that what comes before is gone: a file that has its range would say that there was nothing."""
        async with self._lock:
            await asyncio.to_thread(self._sink.flush)
            self._sink.skip_to(offset)

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        async with self._lock:
            if self._fenced is not None:
                raise self._fenced
            return {"archived": await asyncio.to_thread(self._take, cast("Sequence[Record]", records))}

    def _take(self, records: Sequence[Record]) -> int:
        self._sink.add(records)
        return self._sink.flush() if self._sink.due else 0

    async def _watch(self) -> None:
        """Commit what has waited long enough, be it that nothing follows it."""
        pause = LOOK_S
        while True:
            await asyncio.sleep(pause)
            pause = LOOK_S
            async with self._lock:
                try:
                    self._sink.read_to(self.pace.read_to())
                    if self._sink.due:
                        await asyncio.to_thread(self._sink.flush)
                except Fenced as fenced:
                    self._fenced = fenced
                    self.pace.is_due()  # the runner asks, hears it, and opens again
                    return
                except Exception as error:  # noqa: BLE001 - what waits is kept, and tried again as it is
                    self._log.warning("the archive waits", error=f"{type(error).__name__}: {error}")
                    pause = RETRY_S

    async def _stop_timer(self) -> None:
        if self._timer is not None:
            async with self._lock:  # a commit that is under way goes on in its thread, and nothing may overtake it
                self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
            self._timer = None

    async def close(self) -> None:
        await self._stop_timer()
        async with self._lock:
            # What waits is in the log, and would be read again by the next owner.
            with contextlib.suppress(Exception):
                if self._fenced is None:
                    await asyncio.to_thread(self._sink.flush)
            self._sink.close()
