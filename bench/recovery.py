"""Recovery of the trading decider: a changelog of so many streams, read by a new owner; rate and memory per stream.

    python -m bench.recovery fill 1000000            # once: rows as the decider writes them, one per stream
    python -m bench.recovery measure memory          # or rocksdb; JSON on standard output

Needs Kafka and the registry, where `ONEFACT_HOME` or the environment say they are.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import psutil
from confluent_kafka import Producer

from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import Record, command_headers
from eventlog.message import Message
from eventlog.partition import partition_of
from eventlog.provision import provision
from eventlog.registry import Registry
from eventlog.roles import Decider
from eventlog.runtime.kafka_task import POSITION_KEY, DecideTask
from eventlog.settings import Settings
from eventlog.steps import DecideStep
from eventlog.steps.streams import ChangelogEntry
from schemas.trading import BuyStock, DepositCash, OpenPortfolio

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def decider() -> Decider:
    return next(d for d in catalog().deciders if d.name == "trading.decider")


def template(codec: Codec) -> ChangelogEntry:
    """The entry of a portfolio that was opened, funded and bought two stocks, in one batch."""
    step, key = DecideStep(decider(), codec), b"p"
    commands: list[Message] = [
        OpenPortfolio(portfolio_id="p", owner="ada", currency="USD"),
        DepositCash(portfolio_id="p", amount="100000"),
        BuyStock(portfolio_id="p", symbol="AAPL", quantity="10", price="175.25"),
        BuyStock(portfolio_id="p", symbol="NVDA", quantity="5", price="950.5"),
    ]
    source = step.source
    records = [
        Record(source.name, partition_of(key, source.partitions), n, 0, key, codec.encode(command),
               command_headers("c", "bench", type(command).__name__, "p", NOON) if n == 3 else
               command_headers(f"c{n}", "bench", type(command).__name__, "p", NOON))
        for n, command in enumerate(commands)
    ]  # fmt: skip
    done = step.run(records)
    ((_, value, _),) = step.late(done, [(0, 0)])[1]
    return msgspec.msgpack.decode(value or b"", type=ChangelogEntry)


def fill(settings: Settings, streams: int) -> None:
    """Write the changelog of `streams` portfolios, each in its partition, and the positions after it."""
    provision(settings)
    role = decider()
    with Registry(settings.registry) as registry:
        codec = Codec(registry, catalog().message_types)
        for schema_id in range(1, 200):
            codec.learn(schema_id)
        entry = template(codec)
    producer = Producer({
        "bootstrap.servers": settings.kafka, "linger.ms": 20, "batch.size": 1 << 20, "enable.idempotence": True,
        "queue.buffering.max.messages": 1_000_000, "partitioner": "murmur2_random", "log_level": 0,
    })  # fmt: skip
    encode = msgspec.msgpack.Encoder().encode
    last = entry.outcomes[-1]
    counts = [0] * role.source.partitions
    for number in range(streams):
        key = b"portfolio-%08d" % number
        partition = partition_of(key, role.source.partitions)
        counts[partition] += 1
        # The newest command of the batch, under an id as clients give them: 36 characters.
        command_id = b"%08d-0000-4000-8000-%012d" % (number, number)
        value = encode(ChangelogEntry(1, entry.version, entry.state, [(command_id, *last[1:])]))
        producer.produce(role.changelog.name, key=key + b"\x00\x01", value=value, partition=partition)
        if number % 10_000 == 0:
            while len(producer) > 500_000:
                producer.poll(0.05)
            producer.poll(0)
    for partition, count in enumerate(counts):
        producer.produce(role.changelog.name, key=POSITION_KEY, value=b"%d" % count, partition=partition)
    assert producer.flush(120) == 0


def recover(kind: str, partitions: int | None = None) -> dict[str, Any]:
    """Recover every partition, as a worker's threads do; rows/s, seconds, bytes of memory per stream.

    In a process of its own, because memory is counted as the growth of the process.
    """
    out = subprocess.run(
        [sys.executable, "-m", "bench.recovery", "child", kind, str(partitions or 0)],
        stdout=subprocess.PIPE, check=True, env=None,
    ).stdout  # fmt: skip
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def _child(settings: Settings, kind: str, partitions: int) -> dict[str, Any]:
    role = decider()
    with Registry(settings.registry) as registry:
        codec = Codec(registry, catalog().message_types)
        tasks = [DecideTask(role, p, settings, codec) for p in range(partitions or role.source.partitions)]
        gc.collect()
        before, started, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(len(tasks)) as pool:
            positions = list(pool.map(lambda task: task._recover(), tasks))  # noqa: SLF001
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        gc.collect()
        after = psutil.Process().memory_info().rss
    rows = sum(positions)
    return {
        "store": kind,
        "rows": rows,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "rows_per_s": round(rows / seconds),
        "bytes_per_stream": round((after - before) / max(1, rows)),
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", count]:
            fill(Settings(), int(count))
        case ["measure", kind]:
            print(json.dumps(recover(kind)))
        case ["child", kind, partitions]:
            print(json.dumps(_child(Settings(state_store=kind), kind, int(partitions))))
