"""An effect's partition on a real broker: what waits holds up nobody else, and is asked again by whoever takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from eventlog.codec import Codec
from eventlog.envelope import RawRecord, Record, command_headers
from eventlog.partition import partition_of
from eventlog.provision import provision
from eventlog.roles import Call, Effect, Reply
from eventlog.runtime.effect_task import EffectTask
from eventlog.runtime.runner import Runner
from eventlog.settings import Settings
from tests.effects import errands
from tests.effects.errands import CATALOG, ERRANDS, PayAsked, Settle
from tests.effects.test_step import NOW
from tests.runtime.harness import codec_of, read_all

PARTITION = 0
HUNG_S = 60


class Held:
    """Answers at once, but for the keys that are held; counts how often each is asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.held: dict[str, asyncio.Event] = {}

    async def ask(self, call: Call) -> Reply:
        self.asked[call.key] = self.asked.get(call.key, 0) + 1
        if call.key in self.held:
            await self.held[call.key].wait()
        return Reply(201, {"status": "approved", "reference": f"for {call.key}"})


class Feed:
    """Gives what is in the log from where it is told to."""

    def __init__(self, records: list[RawRecord]) -> None:
        self.records = records
        self.runner: Runner | None = None
        self.starts: list[int] = []

    async def start_at(self, offset: int) -> None:
        self.starts.append(offset)
        assert self.runner
        if rest := [record for record in self.records if record.offset >= offset]:
            self.runner.offer(rest, offset)

    def stop(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    async def before_log(self, _: int) -> AsyncIterator[list[RawRecord]]:
        for records in ():
            yield records

    def end(self) -> int | None:
        return None


@pytest.fixture(scope="module")
def codec(settings: Settings) -> Iterator[Codec]:
    provision(settings, CATALOG)
    with codec_of(settings, CATALOG) as made:
        yield made


def accounts(prefix: str, count: int) -> list[str]:
    """Names whose partition is the one that is looked at."""
    named = (f"{prefix}-{number}" for number in range(10_000))
    found = [name for name in named if partition_of(name.encode(), ERRANDS.partitions) == PARTITION]
    return found[:count]


def facts(codec: Codec, first: int, *named: str) -> list[RawRecord]:
    found: list[RawRecord] = []
    for offset, account in enumerate(named, first):
        fact = PayAsked(account=account, number=offset, amount="5")
        headers = command_headers(f"{account}:{offset}", "test", "PayAsked", account, NOW)
        found.append(Record("errands.events", PARTITION, offset, 0, account.encode(), codec.encode(fact), headers))
    return found


def settled(settings: Settings, codec: Codec, prefix: str) -> list[str]:
    """References of what was said of these accounts, in the log's order."""
    topic = ERRANDS.topic("commands")
    records = [r for r in read_all(settings, topic) if (r.key or b"").startswith(prefix.encode())]
    found = [codec.decode(record.value, topic) for record in records]
    return [each.reference for each in found if isinstance(each, Settle)]


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(HUNG_S):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def own(name: str, effect: Effect = errands.EFFECT) -> Effect:
    """The effect as another role, with a changelog of its own: positions of tests do not meet."""

    class Named(Effect):
        @property
        def name(self) -> str:
            return f"errands.{name}"

    return Named(**{field: getattr(effect, field) for field in effect.__dataclass_fields__})


@pytest.fixture
def effect(settings: Settings, request: pytest.FixtureRequest) -> Effect:
    made = own(request.node.name)
    from eventlog.provision import ensure_topics

    ensure_topics(settings, [made.changelog])
    return made


def test_a_call_that_waits_holds_up_its_own_stream_alone(settings: Settings, codec: Codec, effect: Effect) -> None:
    slow, *others = accounts("slow", 4)
    records = facts(codec, 0, slow, others[0], slow, *others)

    async def run() -> None:
        outside = Held()
        outside.held[f"{slow}:0"] = release = asyncio.Event()
        task = EffectTask(effect, PARTITION, settings, codec, outside)
        feed = Feed(records)
        feed.runner = runner = Runner(task, feed)
        await until(lambda: not task._calls.keys() - {slow.encode()} and runner.next == len(records))
        said = await asyncio.to_thread(settled, settings, codec, "slow")
        assert sorted(said) == sorted(f"for {o}:{n}" for n, o in ((1, others[0]), *enumerate(others, 3)))
        assert f"{slow}:2" not in outside.asked, "the stream's next call waits for the one before"
        # The worker dies; whoever takes over asks again under the same key, and reads on where it had come to.
        await task.close()
        runner._loop_task.cancel()
        del outside.held[f"{slow}:0"]
        release.set()
        task = EffectTask(effect, PARTITION, settings, codec, outside)
        feed = Feed(records)
        feed.runner = runner = Runner(task, feed)
        await until(lambda: runner.ready and not task._calls)
        assert feed.starts == [len(records)]
        assert outside.asked[f"{slow}:0"] == 2
        assert set(outside.asked.values()) == {1, 2}
        await runner.stop()

    asyncio.run(run())
    said = settled(settings, codec, slow)
    assert said == [f"for {slow}:0", f"for {slow}:2"]


def test_too_many_waiting_calls_stop_the_taking_of_facts_until_there_is_room(
    settings: Settings, codec: Codec, effect: Effect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlog.runtime.effect_task.WAITING_MAX", 3)
    named = accounts("full", 8)
    records = facts(codec, 0, *named)

    async def run() -> None:
        outside = Held()
        release = asyncio.Event()
        outside.held = {f"{account}:{offset}": release for offset, account in enumerate(named)}
        task = EffectTask(effect, PARTITION, settings, codec, outside)
        task.batch_records_max = 2
        feed = Feed(records)
        feed.runner = runner = Runner(task, feed)
        await until(lambda: runner.next == 4)
        await asyncio.sleep(0.3)
        assert runner.next == 4, "two batches of two"
        release.set()
        await until(lambda: runner.next == 8 and not task._calls)
        await runner.stop()

    asyncio.run(run())
    assert len(settled(settings, codec, "full")) == 8


def test_a_call_that_cannot_be_made_is_said(settings: Settings, codec: Codec, effect: Effect) -> None:
    (account,) = accounts("broken", 1)

    class Broken(Held):
        async def ask(self, call: Call) -> Reply:
            if not self.asked:
                self.asked[call.key] = 1
                raise TypeError("a bug")
            return await super().ask(call)

    async def run() -> None:
        outside = Broken()
        task = EffectTask(effect, PARTITION, settings, codec, outside)
        feed = Feed(facts(codec, 0, account))
        feed.runner = runner = Runner(task, feed)
        await until(lambda: len(feed.starts) == 2 and not task._calls)
        await runner.stop()
        assert outside.asked == {f"{account}:0": 2}

    asyncio.run(run())
    assert settled(settings, codec, "broken") == [f"for {account}:0"]
