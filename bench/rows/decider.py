"""The decider against stream processors that do the same work, and against itself with a second process."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version

from bench.harness.meter import watch
from bench.harness.model import Contest, Ready, Run, ratio
from bench.harness.outputs import check
from bench.harness.stand import Stand
from bench.harness.worker import WorkerProcess
from bench.peers.quix import Quix
from bench.peers.raw import RawConsume
from bench.peers.stock_faust import StockFaust
from bench.peers.streams import Streams
from eventlog.provision import provision
from processors.trading import DECIDER
from schemas.trading import TRADING

COMMANDS = TRADING.topic("commands")
CORES = os.cpu_count() or 1
FREE_CORES = CORES - 1
"""Beside the one that the broker takes; two processes and whoever watches want three."""
OUTPUTS = (TRADING.topic("events"), TRADING.topic("rejections"), TRADING.topic("outcomes"), DECIDER.changelog)


@dataclass(frozen=True)
class Onefact(Ready):
    """The product: `onefact worker trading.decider`, so many processes of it."""

    name: str
    processes: int

    @property
    def what(self) -> str:
        count = "one process" if self.processes == 1 else f"{self.processes} processes"
        return f"onefact {version('onefact')}, `onefact worker trading.decider` as shipped, {count}"

    def run(self, stand: Stand, number: int) -> Run:
        return decided(stand, self.name, self.processes)


def decided(stand: Stand, name: str, processes: int, **env: str) -> Run:
    """All commands decided by so many workers of the product."""
    stand.fresh(OUTPUTS, DECIDER.name)
    provision(stand.settings)
    share = COMMANDS.partitions // processes
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                WorkerProcess(stand, f"{name}-{i}", DECIDER.name, profile=stand.profile if i == 0 else None, **env)
            )
            for i in range(processes)
        ]

        def check_alive() -> None:
            for worker in workers:
                worker.check_alive()

        def shared_out() -> bool:
            return all(worker.ready_partitions(DECIDER.name) == share for worker in workers)

        measured = watch(
            stand, DECIDER.name, COMMANDS, [w.pid for w in workers], check_alive,
            ready=shared_out if processes > 1 else lambda: True,
        )  # fmt: skip
    events = check(stand, name, TRADING.topic("events").name, TRADING.topic("rejections").name)
    stand.drop([topic.name for topic in OUTPUTS], DECIDER.name)
    return Run(measured.figures() | {"events": events})


CONTEST = Contest(
    "decider",
    "Commands of trading decided exactly once: Avro in, one state read and written per command, one event out.",
    (
        Onefact("onefact", 1),
        Streams("streams-memory", store="memory"),
        Streams("streams-rocksdb", store="rocksdb"),
        Quix("quix"),
        StockFaust("faust", enough_s=20),
        RawConsume("consume", COMMANDS),
        RawConsume("consume-decode", COMMANDS, decode=True),
        Onefact("onefact-2", 2),
    ),
    (
        ratio("decider-streams", "decider, one process ÷ Kafka Streams EOS v2, one thread, in-memory store",
              "onefact", "streams-memory", at_least=1.0),
        ratio("decider-streams-warm", "the same in the second half of the topic, when Java is warm",
              "onefact", "streams-memory", figure="late_rate"),
        ratio("decider-streams-cpu", "the same per second of processor time that the process used",
              "onefact", "streams-memory", figure="per_cpu_s"),
        ratio("decider-streams-rocksdb", "decider ÷ Kafka Streams with RocksDB", "onefact", "streams-rocksdb"),
        ratio("decider-quix", "decider ÷ Quix Streams, exactly once", "onefact", "quix", at_least=1.5),
        ratio("decider-faust", "decider ÷ stock Faust", "onefact", "faust", at_least=15,
              note="Faust is wrong under faults"),
        ratio("decider-consume", "decider ÷ raw confluent-kafka consume", "onefact", "consume"),
        ratio("decider-consume-decode", "decider ÷ raw consume and fastavro decode", "onefact", "consume-decode"),
        ratio("decider-two-processes", "two processes ÷ one", "onefact-2", "onefact",
              at_least=1.6 if FREE_CORES >= 3 else None,
              note=f"{CORES} cores, which the broker shares: {FREE_CORES} free beside it; the target wants 3 or more"),
    ),
    prepare=lambda stand: stand.fill("trading", COMMANDS),
)  # fmt: skip
