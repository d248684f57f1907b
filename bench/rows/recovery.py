"""How fast a decider comes back: a worker with nothing in memory reads its changelog, a stream per command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import psutil

from bench.harness.meter import watch
from bench.harness.model import Contest, Ready, Run, Target, figure
from bench.harness.stand import BenchError, Stand, until
from bench.harness.worker import WorkerProcess
from bench.rows.decider import COMMANDS, OUTPUTS
from eventlog.provision import provision
from eventlog.reader import LogReader
from processors.trading import DECIDER

RECOVERY_TIMEOUT_S = 300.0


def prepare(stand: Stand) -> None:
    """Decide a topic of commands, each of which opens a portfolio; then the changelog has as many streams."""
    stand.fill("portfolios", COMMANDS)
    stand.fresh(OUTPUTS, DECIDER.name)
    provision(stand.settings)
    with WorkerProcess(stand, "recovery-before", DECIDER.name) as worker:
        watch(stand, DECIDER.name, COMMANDS, [worker.pid], worker.check_alive)


@dataclass(frozen=True)
class Recovery(Ready):
    """A worker that is started with an empty memory, and killed when it is ready."""

    name: str = "recovery"

    @property
    def what(self) -> str:
        return (
            f"onefact {version('onefact')}, `onefact worker trading.decider`, state in memory: from the beginning of "
            "the first partition's recovery to the end of the last one's, all partitions at once, as its log says"
        )

    def run(self, stand: Stand, number: int) -> Run:
        with LogReader(stand.settings) as reader:
            ends = reader.ends(DECIDER.changelog.name)
            rows = reader.waiting({place: (0, end) for place, end in ends.items()})
        with WorkerProcess(stand, self.name, DECIDER.name) as worker:

            def ready() -> bool:
                worker.check_alive()
                return worker.ready_partitions(DECIDER.name) == COMMANDS.partitions

            until(ready, "the decider recovered", RECOVERY_TIMEOUT_S)
            full = psutil.Process(worker.pid).memory_info().rss
        opened = list(_opened(worker.log_text()))
        if len(opened) != COMMANDS.partitions:
            raise BenchError(f"{len(opened)} partitions were opened instead of {COMMANDS.partitions}")
        seconds = max(end for _, end in opened) - min(begin for begin, _ in opened)
        return Run(
            {
                "rows_per_s": rows / seconds,
                "rows": rows,
                "seconds": seconds,
                "worker_bytes": full,
                "bytes_per_stream": full / stand.commands,
            }
        )


def _opened(log: str) -> Iterator[tuple[float, float]]:
    """Beginning and end of each partition's opening, in seconds of the clock."""
    for line in log.splitlines():
        if not line.startswith("{"):
            continue
        said: dict[str, Any] = json.loads(line)
        if said.get("event") == "open":
            end = datetime.fromisoformat(said["timestamp"]).timestamp()
            yield end - said["seconds"], end


CONTEST = Contest(
    "recovery",
    "A decider with a stream per command is started with nothing in memory.",
    (Recovery(),),
    (
        figure(
            "recovery-rows", "recovery of a decider, changelog rows", "recovery", "rows_per_s", "rows/s",
            target=Target(200_000),
        ),
        figure(
            "recovery-memory", "resident memory of the recovered worker ÷ streams", "recovery", "bytes_per_stream",
            "bytes", note="the program itself included",
        ),
    ),
    prepare=prepare,
)  # fmt: skip
