"""The partition task of an effect: calls wait in the changelog, and leave it with the commands that they led to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from aiokafka.structs import TopicPartition

from eventlog.codec import Codec
from eventlog.envelope import RawRecord
from eventlog.roles import Effect
from eventlog.runtime.kafka_task import KafkaTask, Step
from eventlog.runtime.outside import Asks
from eventlog.runtime.task import Pace, with_schemas
from eventlog.settings import Settings
from eventlog.steps import EffectStep
from eventlog.steps.effect import Answer, Asked

WAITING_MAX = 10_000
"""Calls of a partition that wait at a time; with more, no further facts are taken."""
BATCH_RECORDS_MAX = 1000


class EffectTask(KafkaTask):
    """Has calls made for one partition of a domain's events.

    A fact's call is kept in the changelog in the transaction that takes the fact, and made after it; the commands that
    its reply means are in the transaction that strikes it out. So the position never waits for a call, a restart
    makes those again that were not struck out, and each reply leads to its commands once.
    """

    batch_records_max = BATCH_RECORDS_MAX
    _step: EffectStep

    def __init__(self, effect: Effect, partition: int, settings: Settings, codec: Codec, outside: Asks) -> None:
        super().__init__(effect, effect.source, partition, settings, codec)
        self.pace = Pace()
        self._effect = effect
        self._outside = outside
        self._calls: dict[bytes, asyncio.Task[None]] = {}
        self._answers: list[Answer] = []
        self._broken: Exception | None = None
        self._next = 0

    def _outputs(self) -> Iterable[TopicPartition]:
        written = (self._effect.domain.topic("commands").name, self._effect.source.dead.name, self._changelog)
        return [TopicPartition(name, self.partition) for name in written]

    def _new_step(self) -> Step:
        self._step = EffectStep(self._effect, self._codec, self.partition, self._settings.code_version)
        return self._step

    async def open(self) -> int:
        self._next = await super().open()
        step = self._step
        await with_schemas(self._codec, step.resume, list(step.kept()))
        self._go_on()
        return self._next

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        if self._broken is not None:
            raise self._broken
        step, answers = self._step, list(self._answers)
        now_ms = int(time.time() * 1000)
        done = await with_schemas(self._codec, lambda: step.run(records, answers, now_ms), records)
        next_offset = done.next_offset or self._next
        await self._begin_with(done, {})
        await self._commit(step.changelog(done), next_offset)
        step.commit(done)  # only now: an aborted batch leaves no trace
        self._next = next_offset
        for key, _, _ in answers:
            del self._calls[key]
        del self._answers[: len(answers)]
        self._go_on()
        return done.counts

    async def close(self) -> None:
        calls, self._calls, self._answers, self._broken = self._calls, {}, [], None
        for call in calls.values():
            call.cancel()
        await asyncio.gather(*calls.values(), return_exceptions=True)
        await super().close()

    def _go_on(self) -> None:
        """Have the first waiting call of every stream made, if it is not already."""
        for key, waiting in self._step.waiting.items():
            if key not in self._calls:
                self._calls[key] = asyncio.create_task(self._call(key, waiting[0]))
        self.pace.due = bool(self._answers)
        self.pace.full = self._step.count >= WAITING_MAX

    async def _call(self, key: bytes, asked: Asked) -> None:
        try:
            reply = await self._outside.ask(asked.call)
        except Exception as error:  # noqa: BLE001 - a call that cannot even be made is told by `process`
            self._broken = error
        else:
            self._answers.append((key, asked, reply))
        self.pace.is_due()
