"""Workers as processes, commands in bulk, topics read whole: what the runtime's tests are made of."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from eventlog.codec import Codec
from eventlog.envelope import Record, command_headers
from eventlog.message import Command
from eventlog.reader import NO_LEADER, LogReader, to_record
from eventlog.registry import Registry
from eventlog.roles import Catalog
from eventlog.settings import Settings
from eventlog.topics import Topic
from tests.backing import free_port_base

ROOT = Path(__file__).parents[2]


@dataclass
class Workers:
    """Named worker processes that can be killed, stopped, woken and started again."""

    env: dict[str, str]
    folder: Path
    module: str = "tests.runtime.worker"
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def start(self, name: str, *roles: str) -> None:
        self.ports.setdefault(name, free_port_base())
        self.roles[name] = roles or self.roles.get(name, ())
        env = os.environ | self.env | {"ONEFACT_WORKER_NAME": name, "ONEFACT_WORKER_PORT": str(self.ports[name])}
        with (self.folder / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.roles[name]], env=env, cwd=ROOT, stdout=out, stderr=out
            )

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait()

    def is_ready(self, name: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[name]}/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def metrics(self, name: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self.ports[name]}/metrics", timeout=30).text

    def wait_ready(self, *names: str, timeout_s: float = 100) -> None:
        wait_until(
            lambda: all(self.is_ready(n) for n in names or self.processes), timeout_s, "workers ready", self.logs
        )

    def logs(self) -> str:
        return "\n".join(f"== {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in self.folder.glob("*.log"))

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(
    check: Callable[[], bool], timeout_s: float, what: str, explain: Callable[[], str] = lambda: ""
) -> float:
    """Seconds it took; fails, saying for what, when it takes longer than `timeout_s`."""
    started = time.monotonic()
    while not check():
        if time.monotonic() - started > timeout_s:
            raise AssertionError(f"not within {timeout_s} s: {what}\n{explain()}")
        time.sleep(0.1)
    return time.monotonic() - started


def publish(settings: Settings, codec: Codec, topic: Topic, commands: Iterable[tuple[str, Command]]) -> None:
    """Append commands under their ids and wait until they are kept."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "enable.idempotence": True,
            "log_level": 0,
        }
    )
    now = datetime.now(UTC)
    for number, (command_id, command) in enumerate(commands):
        headers = command_headers(command_id, "test", type(command).__name__, command.stream, now)
        producer.produce(topic.name, key=command.stream, value=codec.encode(command), headers=headers)  # type: ignore[arg-type]
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0


def none_open(settings: Settings, *topics: str) -> bool:
    """Whether what was in the topics when they were asked for is committed or aborted, as readers see it, too.

    Whoever ends a transaction is answered before its end is written into the partitions, where it is hidden until then.
    """
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    there = admin.list_topics(timeout=30).topics
    places = [TopicPartition(name, number) for name in topics if name in there for number in there[name].partitions]

    def ends(level: IsolationLevel) -> list[int]:
        wanted = {place: OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
        found = admin.list_offsets(wanted, isolation_level=level, request_timeout=30)
        return [found[place].result().offset for place in places]

    try:
        written = ends(IsolationLevel.READ_UNCOMMITTED)
        return all(stable >= end for stable, end in zip(ends(IsolationLevel.READ_COMMITTED), written, strict=True))
    except KafkaException as error:
        if error.args[0].code() not in (*NO_LEADER, KafkaError.UNKNOWN_TOPIC_OR_PART):
            raise
        return False  # a topic that was only just made


def wait_none_open(settings: Settings, *topics: str) -> None:
    wait_until(lambda: none_open(settings, *topics), 120, f"transactions in {', '.join(topics)} have ended")


def read_all(settings: Settings, topic: Topic) -> list[Record]:
    """Every committed record of the topic, each partition in order, with what was about to be committed."""
    wait_none_open(settings, topic.name)
    with LogReader(settings) as reader:
        ranges = {key: (0, end) for key, end in reader.ends(topic.name).items()}
        return [to_record(m) for _, messages, _ in reader.batches(ranges) for m in messages]


def header(record: Record, name: str) -> str:
    found = dict(record.headers).get(name)
    assert found is not None, f"{name} is missing in {record}"
    return found.decode()


@contextlib.contextmanager
def codec_of(settings: Settings, catalog: Catalog) -> Iterator[Codec]:
    with Registry(settings.registry) as registry:
        yield Codec(registry, catalog.message_types)


def consumed(settings: Settings, group: str, topic: Topic) -> bool:
    """Whether the group has committed up to the end of the topic (transaction markers may follow the last record)."""
    if not none_open(settings, topic.name):
        return False  # what is about to be committed there is to be read, too
    with LogReader(settings, group=group) as reader:
        for partition in range(topic.partitions):
            low, end = reader.bounds(topic.name, partition)
            position = max(low, reader.committed(topic.name, partition))
            rest = [
                m for _, messages, _ in reader.batches({(topic.name, partition): (position, end)}) for m in messages
            ]
            if rest:
                return False
    return True


def seeded(seed: int | None = None) -> random.Random:
    """A random generator whose seed is printed; `SEED` in the environment repeats a run."""
    chosen = seed if seed is not None else int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SEED={chosen}")
    return random.Random(chosen)


def plain(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}
