"""Faust made fast and right: whole fetches instead of records, positions from the tasks, gates per partition.

A stock Faust consumer hands over one record at a time and commits what agents have acknowledged. Here it
hands over what one fetch brought, and commits nothing: each task commits its position with its output.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import aiokafka
import faust
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from eventlog.envelope import RawRecord
from eventlog.runtime import fetch
from eventlog.runtime.feed import PartitionFeed
from eventlog.runtime.runner import Runner
from eventlog.runtime.task import PartitionTask
from eventlog.settings import Settings

FETCH_RECORDS_MAX = 4000
FETCH_BYTES_MAX = 4 * 1024 * 1024
FETCH_WAIT_S = 0.2
"""How long one fetch waits for records before it looks again which partitions are wanted."""
SESSION_TIMEOUT_S = 10
HEARTBEAT_S = 2

for _name in ("faust", "mode", "asyncio"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # debug records are built even when nobody shows them
logging.getLogger("aiokafka").setLevel(logging.ERROR)


class Batch(NamedTuple):
    """One fetch of one partition; `epoch` tells it from fetches that were made before a seek."""

    records: list[RawRecord]
    """Empty where the log does not have what was asked for."""
    epoch: int
    after: int
    """Offset after the last record that was fetched before, or where the partition was opened."""


class NotKept(dict[TP, int | None]):
    """In place of the offsets that Faust has handed over last, below which it drops what it is given.

    One that was on its way at a seek is noted after it, and what is read again up to there would be left out. What is
    stale is known by its epoch.
    """

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None: ...


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with the client set up for transactional topics."""

    positions: Mapping[TP, int] = {}
    """How far each partition of the last fetch was read: markers and aborted records behind its records are, too."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        fetch.install()
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # Faust sets it in its own exactly-once mode only
        consumer._fetch_max_wait_ms = int(FETCH_WAIT_S * 1000)  # a fetch in flight delays the one after a seek
        return consumer

    async def _fetch_records(
        self, consumer: aiokafka.AIOKafkaConsumer, active_partitions: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self.positions = {}  # a fetch that fails has read nothing, and others may have been opened anew since the last
        records = await super()._fetch_records(consumer, active_partitions, *args, **kwargs)
        subscriptions = consumer._subscription
        states = {
            tp: subscriptions.subscription.assignment.state_value(tp)
            for tp in active_partitions
            if subscriptions.is_assigned(tp)
        }
        self.positions = {tp: state.position for tp, state in states.items() if state.has_valid_position}
        return records


class Consumer(driver.Consumer):
    """One Faust message per partition and fetch, of the partitions whose gate is open."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NotKept()
        self._epochs: dict[TP, int] = {}
        self._open: set[TP] = set()
        self._full: set[TP] = set()
        self._read: dict[TP, tuple[int, int]] = {}
        """Offset after the last record that was handed over, and how far the log was read."""
        self._changed = asyncio.Event()
        self._fetching = asyncio.Lock()
        """Held by a fetch and by a seek: one that began before a seek may end after it, having taken what follows."""
        self._begins_wanted: set[TP] = set()
        self._begins_next: asyncio.Task[Mapping[TP, int]] | None = None
        self._begins_asked = asyncio.Lock()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def start_at(self, tp: TP, offset: int) -> None:
        """Open the partition's gate at an offset."""
        self.close_gate(tp)
        if tp not in self.assignment():
            return  # it has moved; the one who has it now positions itself
        epoch = self._epochs[tp]
        async with self._fetching:
            await self._thread.seek_wait({tp: offset})
            if self._epochs[tp] != epoch:
                return  # it was closed again meanwhile
            self._read[tp] = offset, offset
            self._full.discard(tp)
            self._open.add(tp)
            self._changed.set()

    async def begin_of(self, tp: TP) -> int:
        """First offset that the log has.

        An answer comes behind the fetch that is under way, which may wait for records: where hundreds of partitions
        are opened, those that are asked for meanwhile are in one request.
        """
        self._begins_wanted.add(tp)
        if self._begins_next is None:
            self._begins_next = asyncio.create_task(self._ask_begins())
            # Whoever asks may be gone by then: a partition that has moved opens nothing.
            self._begins_next.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            begins = await asyncio.shield(self._begins_next)
        except KafkaError:
            begins = await self.earliest_offsets(tp)  # one that has no leader fails all that are asked for with it
        return int(begins.get(tp, 0))

    async def _ask_begins(self) -> Mapping[TP, int]:
        async with self._begins_asked:
            wanted, self._begins_wanted = self._begins_wanted, set()
            self._begins_next = None
            begins: Mapping[TP, int] = await self.earliest_offsets(*wanted)
            return begins

    def close_gate(self, tp: TP) -> None:
        """Deliver nothing more of the partition; what is on its way becomes stale."""
        self._epochs[tp] = self._epochs.get(tp, 0) + 1
        self._open.discard(tp)

    def read_to(self, tp: TP, offset: int) -> int:
        """How far the log was read without a record from the offset on."""
        after, reached = self._read.get(tp, (0, 0))
        return max(offset, reached) if tp in self._open and after == offset else offset

    def is_current(self, tp: TP, batch: Batch) -> bool:
        return tp in self._open and self._epochs.get(tp) == batch.epoch

    def set_full(self, tp: TP, full: bool) -> None:
        if full:
            self._full.add(tp)
        else:
            self._full.discard(tp)
            self._changed.set()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        if self.should_stop or not self._open - self._full:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), FETCH_WAIT_S)
            return
        async with self._fetching:
            wanted = {tp: self._epochs[tp] for tp in self._open - self._full}
            records, out_of_range = await self._fetched(set(wanted)) if wanted else ({}, {})
            before = {tp: self._read[tp][0] for tp in wanted}
            for tp, reached in self._thread.positions.items() if wanted else ():
                after = records[tp][-1].offset + 1 if records.get(tp) else before[tp]
                self._read[tp] = after, reached
        generation = self.app.consumer_generation_id
        for tp, found in records.items():
            if self.should_stop or not found or tp not in wanted:
                continue
            last = found[-1]
            value = Batch(found, wanted[tp], before[tp])
            yield tp, self._as_message(tp, last.offset, last.timestamp / 1000, value, generation)
        for tp, offset in out_of_range.items():
            if not self.should_stop and tp in wanted:
                # In order behind what was fetched before, which is still good.
                yield tp, self._as_message(tp, offset, 0, Batch([], wanted[tp], before[tp]), generation)

    async def _fetched(self, wanted: set[TP]) -> tuple[Mapping[TP, list[RawRecord]], dict[TP, int]]:
        """What one fetch brought; offsets that the log does not have, which are not asked for again."""
        try:
            return await self._getmany(wanted, FETCH_WAIT_S) or {}, {}
        except OffsetOutOfRangeError as error:
            out_of_range = {TP(*place): offset for place, offset in error.args[0].items()}
            self._full |= out_of_range.keys()
            return {}, out_of_range

    @staticmethod
    def _as_message(tp: TP, offset: int, seconds: float, value: Any, generation: int) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic, tp.partition, offset, seconds, 0, None, None, value, None, 0, 0, tp,
            generation_id=generation,
        )  # fmt: skip

    async def perform_seek(self) -> None:
        """Nothing: every runner positions its own partition."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: the position is committed with the output, and Faust would commit an older one over it."""
        return False

    def ack(self, message: Any) -> bool:
        """Only forget the message: the lists Faust keeps for its commits would grow for ever."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def verify_all_partitions_active(self) -> None:
        """Nothing: it looks at Faust's own commits, and would call every partition stuck."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing, for the same reason."""


class Transport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = Consumer


class PassThrough(faust.Schema[Any, Any]):
    """Hands a whole fetch to the agent, undecoded."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


class RoleApp(faust.App):
    """One role as a Faust app: its consumer group is the role's name, `new_task(topic, partition)` makes its tasks."""

    def __init__(
        self,
        role: str,
        topics: dict[str, int],
        new_task: Callable[[str, int], PartitionTask],
        settings: Settings,
        expiring: Collection[str] = (),
        *,
        fetch_bytes_max: int = FETCH_BYTES_MAX,
    ) -> None:
        """`expiring` are those of the topics that keep their records for a time only; bytes are of one partition."""
        self._new_task = new_task
        self.settings = settings
        self.expiring = expiring
        self.runners: dict[TP, Runner] = {}
        self.assigned_once = False
        named = "worker_name" in settings.model_fields_set
        datadir = settings.home / "faust" / settings.worker_name  # Faust wants one, and keeps nothing in it here
        datadir.mkdir(parents=True, exist_ok=True)
        super().__init__(
            role,
            broker=[f"kafka://{server}" for server in settings.kafka.split(",")],
            store="memory://",
            datadir=str(datadir),
            topic_disable_leader=True,
            topic_allow_declare=False,  # topics are provisioned, and checked, before
            web_enabled=False,
            stream_wait_empty=False,
            stream_buffer_maxsize=16,
            consumer_auto_offset_reset="none",  # what the log has no longer is not jumped over
            consumer_max_fetch_size=fetch_bytes_max,
            # A worker that is started again under its name takes up its partitions without a rebalance.
            consumer_group_instance_id=f"{role}-{settings.worker_name}" if named else None,
            broker_max_poll_records=FETCH_RECORDS_MAX,
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=HEARTBEAT_S,
            broker_request_timeout=20,
            broker_check_crcs=True,
        )
        for topic, partitions in topics.items():
            source = self.topic(topic, schema=PassThrough(), partitions=partitions)
            self.agent(source, name=f"{role}.{topic}")(self._feed)
        self.on_partitions_revoked.connect(self._revoked)  # type: ignore[arg-type]  # Faust sends what is declared here
        self.on_partitions_assigned.connect(self._assigned)  # type: ignore[arg-type]

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    @property
    def batches(self) -> Consumer:
        assert isinstance(self.consumer, Consumer)
        return self.consumer

    @property
    def ready(self) -> bool:
        """Every assigned partition is open and recovered."""
        return self.assigned_once and not self.rebalancing and all(r.ready for r in self.runners.values())

    async def _feed(self, stream: Any) -> None:
        async for event in stream.events():
            tp = event.message.tp
            runner = self.runners.get(tp)
            if runner is None or not self.batches.is_current(tp, event.value):
                continue
            if event.value.records:
                runner.offer(event.value.records, event.value.after)
            else:
                runner.out_of_range()

    async def _revoked(self, _app: Any, revoked: Iterable[TP], **_: Any) -> None:
        # Before every rebalance everything is revoked, and most of it comes back: tasks are kept until it is
        # known. That is safe, because an owner in between would have fenced them.
        await asyncio.gather(*(self.runners[tp].hold() for tp in set(revoked) & self.runners.keys()))

    async def _assigned(self, _app: Any, assigned: Iterable[TP], **_: Any) -> None:
        now = set(assigned)
        await asyncio.gather(*(self.runners.pop(tp).stop() for tp in self.runners.keys() - now))
        for runner in self.runners.values():
            runner.release()
        for tp in now - self.runners.keys():
            self.runners[tp] = Runner(self._new_task(tp.topic, tp.partition), PartitionFeed(self, tp))
        self.assigned_once = True

    async def drain(self) -> None:
        """Commit what is in hand and let go of every partition."""
        runners, self.runners = self.runners, {}
        await asyncio.gather(*(runner.stop() for runner in runners.values()))
