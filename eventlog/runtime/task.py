"""What the runtime asks of a partition task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from eventlog.codec import Codec
from eventlog.envelope import RawRecord
from eventlog.errors import UnknownSchema

T = TypeVar("T")


class Pace:
    """What a task with work of its own says to its runner; a task that has one is its `pace`."""

    __slots__ = ("due", "full", "read_to", "ring")

    def __init__(self) -> None:
        self.due = False
        """`process` is wanted, if need be without a record."""
        self.full = False
        """No records are wanted until this is over."""
        self.ring: Callable[[], None] = _nobody
        """Wakes the runner."""
        self.read_to: Callable[[], int] = int
        """How far the log was read: every record before it has been processed."""

    def is_due(self) -> None:
        """Ask for `process`."""
        self.due = True
        self.ring()


def _nobody() -> None: ...


class PartitionTask(Protocol):
    """Owns one partition of one topic for one role; rows and position are committed in one step."""

    role: str
    topic: str
    partition: int
    batch_records_max: int
    """Records that one commit takes at the most."""

    async def open(self) -> int:
        """Fence the previous owner, recover; the next offset wanted. May be called again after any failure."""

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        """Commit what the records lead to, and the position after them; counts by outcome.

        No records come only to a task that said it was due.

        On any exception nothing is known of the commit: the caller opens the task again and asks.
        """

    async def close(self) -> None:
        """Let go of the partition; never raises."""


async def with_schemas(codec: Codec, run: Callable[[], T], records: Sequence[RawRecord]) -> T:
    """Run a step over records, asking the registry (off the event loop) for schema ids met for the first time."""
    while True:
        try:
            return run()
        except UnknownSchema:
            await asyncio.to_thread(codec.learn_all, [record.value for record in records])
