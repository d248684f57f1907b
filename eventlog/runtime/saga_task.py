"""Partition tasks of sagas: the relay that fills an inbox, the saga that empties it, and the alarm of its deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import structlog
from aiokafka.structs import TopicPartition

from eventlog.codec import Codec
from eventlog.deadlines import allowed
from eventlog.envelope import RawRecord, command_headers, time_text
from eventlog.message import Tick
from eventlog.rows import OutRow
from eventlog.runtime.kafka_task import KafkaTask, Step
from eventlog.runtime.task import with_schemas
from eventlog.sagas import Relay, Saga
from eventlog.settings import Settings
from eventlog.steps import RelayStep, SagaStep
from eventlog.topics import Topic

TICK_PAUSE_S = 1.0
"""Between two ticks of a partition, at least: deadlines that pass meanwhile share the next one."""
GRACE_S = 5.0
"""After the start the first tick waits so long: what came meanwhile is to be in the inbox before it."""
AGAIN_S = 5.0
"""After this a tick is sent again that did not come back."""

Append = Callable[[str, int, Sequence[OutRow]], Awaitable[None]]

log = structlog.get_logger()


class RelayTask(KafkaTask):
    """Brings what is for a saga from one partition of one source to its inbox."""

    _step: RelayStep

    def __init__(self, relay: Relay, source: Topic, partition: int, settings: Settings, codec: Codec) -> None:
        super().__init__(relay, source, partition, settings, codec)
        self._relay = relay
        self._source = source
        self._inbox = relay.saga.source
        self._changelog_partition = relay.place(source.name, partition)

    def _outputs(self) -> Iterable[TopicPartition]:
        own = [(self._source.dead.name, self.partition), (self._changelog, self._changelog_partition)]
        return [TopicPartition(*place) for place in own] + _all_of(self._inbox)

    def _new_step(self) -> Step:
        return _Nothing()

    async def open(self) -> int:
        self._step = RelayStep(self._relay, self._source, self._codec)
        return await super().open()

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        done = await with_schemas(self._codec, lambda: self._step.run(records), records)
        await self._begin_with(done, {self._inbox.name: self._inbox})
        await self._commit([], done.next_offset)
        return done.counts


class SagaTask(KafkaTask):
    """Reacts to one partition of a saga's inbox.

    When a deadline is due it puts a `Tick` into that partition, and reacts to it like to anything else once it comes
    back: what the saga does depends on the inbox alone, and a tick that is lost or comes twice does no harm.
    """

    _step: SagaStep

    def __init__(self, saga: Saga, partition: int, settings: Settings, codec: Codec, append: Append) -> None:
        super().__init__(saga, saga.source, partition, settings, codec)
        self._saga = saga
        self._allowed = allowed(saga, settings.deadlines)
        self._append_plain = append
        self._commands = {t.name: t for domain in saga.targets for t in (domain.topic("commands"),)}
        self._alarm: asyncio.Task[None] | None = None
        self._rang = 0.0

    def _outputs(self) -> Iterable[TopicPartition]:
        written = (self._saga.domain.topic("events").name, self._saga.source.dead.name, self._changelog)
        own = [TopicPartition(name, self.partition) for name in written]
        return own + [place for topic in self._commands.values() for place in _all_of(topic)]

    def _new_step(self) -> Step:
        self._step = SagaStep(self._saga, self._codec, self._allowed, self._settings.code_version)
        return self._step

    async def open(self) -> int:
        position = await super().open()
        self._rang = time.monotonic() + GRACE_S - TICK_PAUSE_S
        self._set_alarm()
        return position

    async def close(self) -> None:
        self._unset_alarm()
        await super().close()

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        step = self._step
        done = await with_schemas(self._codec, lambda: step.run(records), records)
        await self._begin_with(done, self._commands)
        await self._commit(step.changelog(done), done.next_offset)
        step.commit(done)  # only now: an aborted batch leaves no trace
        self._set_alarm()
        return done.counts

    def _set_alarm(self) -> None:
        self._unset_alarm()
        due = self._step.next_due()
        if due is not None:
            self._alarm = asyncio.create_task(self._ring(due))

    def _unset_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _ring(self, due: datetime) -> None:
        """Put a tick into the inbox at `due`, and again until something came back: `process` sets the next alarm."""
        pause = max(due.timestamp() - time.time(), self._rang + TICK_PAUSE_S - time.monotonic(), 0.0)
        while True:
            await asyncio.sleep(pause)
            self._rang = time.monotonic()
            try:
                await self._append_plain(self.topic, self.partition, [self._tick()])
            except Exception as error:  # noqa: BLE001 - whatever the client raises, the next attempt may do
                log.warning("no tick", role=self.role, partition=self.partition, error=str(error))
            pause = AGAIN_S

    def _tick(self) -> OutRow:
        now, saga = datetime.now(UTC), self._saga.name
        tick_id = f"{saga}/{self.partition}/{time_text(now)}"
        value = self._codec.encode(Tick(saga=saga, at=now))
        return saga.encode(), value, command_headers(tick_id, f"onefact/{saga}", Tick.__name__, saga, now)


class _Nothing:
    """What a relay restores from its changelog."""

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        del rows


def _all_of(topic: Topic) -> list[TopicPartition]:
    return [TopicPartition(topic.name, partition) for partition in range(topic.partitions)]
