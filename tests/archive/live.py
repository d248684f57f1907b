"""A role's runtime in the test's own process, over a topic that nobody else uses."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Collection

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from eventlog.runtime.app import RoleApp
from eventlog.runtime.runner import Runner
from eventlog.runtime.task import PartitionTask
from tests.archive.conftest import Archive

WAIT_S = 120


def cut(archive: Archive, before: int, partition: int = 0) -> None:
    """Have Kafka forget what is before an offset; -1 is everything."""
    admin = AdminClient({"bootstrap.servers": archive.settings.kafka, "log_level": 0})
    for future in admin.delete_records([TopicPartition(archive.topic, partition, before)]).values():
        future.result(30)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def live(
    archive: Archive, new_task: Callable[[int], PartitionTask], *, expiring: Collection[str] = ()
) -> AsyncIterator[Runner]:
    """The runner of partition 0, assigned; the role is new to Kafka."""
    name, topics = f"live-{secrets.token_hex(4)}", {archive.topic: 2}
    app = RoleApp(name, topics, lambda _, partition: new_task(partition), archive.settings, expiring)
    await app.start()
    try:
        await until(lambda: len(app.runners) == 2)
        yield next(runner for place, runner in app.runners.items() if place.partition == 0)
    finally:
        await app.drain()
        await app.stop()
