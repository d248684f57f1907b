"""A partition's records, before and after the log's begin, for its runner."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import structlog
from faust.types import TP

from eventlog.envelope import RawRecord
from eventlog.errors import Hole
from eventlog.reader import LogReader, to_record

if TYPE_CHECKING:
    from eventlog.runtime.app import RoleApp

log = structlog.get_logger()


class PartitionFeed:
    """A runner's side of the consumer."""

    def __init__(self, app: RoleApp, tp: TP) -> None:
        self._app = app
        self._tp = tp

    async def start_at(self, offset: int) -> None:
        await self._app.batches.start_at(self._tp, offset)

    def stop(self) -> None:
        self._app.batches.close_gate(self._tp)

    def pause(self) -> None:
        self._app.batches.set_full(self._tp, True)

    def resume(self) -> None:
        self._app.batches.set_full(self._tp, False)

    async def before_log(self, offset: int) -> AsyncIterator[tuple[list[RawRecord], int]]:
        place = (self._tp.topic, self._tp.partition)
        # Records of a topic that keeps them for a time may be gone, between what is archived and the log, too.
        going_on = contextlib.suppress(Hole) if self._tp.topic in self._app.expiring else contextlib.nullcontext()
        while offset < (begin := await self._begin()):
            with await asyncio.to_thread(LogReader, self._app.settings) as reader, going_on:
                if (kept := await asyncio.to_thread(reader.kept_from, *place, offset)) > offset:
                    if offset > 0:  # a role that is new begins with what there is
                        self._gone(offset, kept)
                    offset = kept
                    yield [], offset
                batches = reader.batches({place: (offset, begin)})
                while (found := await asyncio.to_thread(next, batches, None)) is not None:
                    offset = found[2]
                    yield [to_record(message) for message in found[1]], offset

    def _gone(self, offset: int, kept: int) -> None:
        hole = Hole.of(self._tp.topic, self._tp.partition, offset, kept)
        if self._tp.topic not in self._app.expiring:
            raise hole
        log.warning("expired", role=self._app.conf.id, topic=self._tp.topic, partition=self._tp.partition,
                    what=str(hole))  # fmt: skip

    async def _begin(self) -> int:
        return await self._app.batches.begin_of(self._tp)

    async def stable_end(self) -> int:
        ends = await self._app.batches.highwaters(self._tp)
        return int(ends[self._tp])

    def read_to(self, offset: int) -> int:
        return self._app.batches.read_to(self._tp, offset)

    def end(self) -> int | None:
        try:
            return self._app.batches.highwater(self._tp) or None
        except Exception:  # noqa: BLE001 - not assigned any more: there is no end to be known
            return None
