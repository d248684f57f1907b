"""Recovery of the trading decider: a changelog of so many streams, read by a new owner; rate and memory per stream.

By hand, where `ONEFACT_HOME` or the environment say where Kafka and the registry are:

    python -m bench.rows.state fill 1000000         # once: rows as the decider writes them, one per stream
    python -m bench.rows.state measure memory       # or rocksdb; JSON on standard output
"""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
from confluent_kafka import Producer

from bench.harness.model import Contest, Ready, Run, Target, figure
from bench.harness.stand import ROOT, BenchError, Stand
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


def recover(kind: str, env: Mapping[str, str] | None = None) -> dict[str, float]:
    """Recover every partition, as a worker's threads do; rows/s, seconds, bytes of memory per stream.

    In a process of its own, because memory is counted as the growth of the process.
    """
    argv = [sys.executable, "-m", "bench.rows.state", "child", kind]
    out = subprocess.run(argv, stdout=subprocess.PIPE, check=True, env=env, cwd=ROOT).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def _child(settings: Settings) -> dict[str, float]:
    role = decider()
    with Registry(settings.registry) as registry:
        codec = Codec(registry, catalog().message_types)
        tasks = [DecideTask(role, p, settings, codec) for p in range(role.source.partitions)]
        gc.collect()
        before, started, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(len(tasks)) as pool:
            positions = list(pool.map(lambda task: task._recover(), tasks))  # noqa: SLF001
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        gc.collect()
        after = psutil.Process().memory_info().rss
    rows = sum(positions)
    return {
        "rows": rows,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "rate": round(rows / seconds),
        "bytes_per_stream": round((after - before) / max(1, rows)),
    }


@dataclass(frozen=True)
class Recovery(Ready):
    """A new owner of every partition, with its state in memory, on an empty disk, or on the disk it had before."""

    name: str
    kind: str
    keep: bool = False

    @property
    def what(self) -> str:
        disk = ", its state on disk from before" if self.keep else ""
        return f"onefact's decider of trading, state_store {self.kind}{disk}, all partitions in one process"

    def run(self, stand: Stand, number: int) -> Run:
        env = stand.env()
        state = Path(env["ONEFACT_HOME"]) / "state"
        shutil.rmtree(state, ignore_errors=True)
        if self.keep:
            recover(self.kind, env)
        found = recover(self.kind, env)
        shutil.rmtree(state, ignore_errors=True)
        if found["rows"] != stand.commands:
            raise BenchError(f"recovered {found['rows']} streams of {stand.commands}")
        # What is on disk already is not read: a step's growth may be nothing.
        return Run({name: max(value, 0.001) for name, value in found.items()})


def _prepare(stand: Stand) -> None:
    stand.fresh([decider().changelog])
    fill(stand.settings, stand.commands)


CONTEST = Contest(
    "state",
    "A decider of trading with as many streams as there are commands, one changelog row each, read by a new owner.",
    (Recovery("memory", "memory"), Recovery("rocksdb", "rocksdb"), Recovery("rocksdb-tail", "rocksdb", keep=True)),
    (
        figure("state-memory", "rows of the changelog, state in memory", "memory", "rate", "rows/s",
               target=Target(200_000)),
        figure("state-memory-bytes", "memory per stream, state in memory", "memory", "bytes_per_stream", "B"),
        figure("state-rocksdb", "rows of the changelog, state on an empty disk", "rocksdb", "rate", "rows/s"),
        figure("state-rocksdb-bytes", "memory per stream, state on disk", "rocksdb", "bytes_per_stream", "B"),
        figure("state-tail", "a restart with the state on disk", "rocksdb-tail", "seconds", "s"),
    ),
    prepare=_prepare,
)  # fmt: skip

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", count]:
            fill(Settings(), int(count))
        case ["measure", kind]:
            print(json.dumps(recover(kind)))
        case ["child", kind]:
            print(json.dumps(_child(Settings(state_store=kind))))
