"""What every peer has in common: topics and a group of its own for each run, the same watch, the same check."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.harness.meter import watch
from bench.harness.model import Run
from bench.harness.outputs import as_topic, check
from bench.harness.process import Process
from bench.harness.stand import Stand
from processors.trading import DECIDER
from schemas.trading import TRADING

COMMANDS = TRADING.topic("commands")


class Job(NamedTuple):
    """What a peer's program is told."""

    id: str
    """Of its group, and the beginning of the names of what it makes."""
    brokers: str
    registry: str
    commands: str
    events: str
    rejections: str
    folder: str
    """Empty; for local state."""
    code_version: str
    """For the header of that name, so that it is as long as the product's."""


@dataclass(frozen=True)
class Peer:
    """A peer that decides the commands of trading in a process of its own."""

    name: str
    enough_s: float | None = None
    """Stop after so long instead of at the end of the topic."""

    @property
    def what(self) -> str:
        raise NotImplementedError

    def missing(self) -> str | None:
        raise NotImplementedError

    def prepare(self, stand: Stand) -> None:
        raise NotImplementedError

    def argv(self, job: Job) -> list[str]:
        raise NotImplementedError

    def run(self, stand: Stand, number: int) -> Run:
        """Decide the topic once."""
        job_id = f"bench-{self.name}-{number}"
        folder = stand.folder / job_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        events, rejections = (as_topic(TRADING.topic(k), f"{job_id}.{k}") for k in ("events", "rejections"))
        stand.drop_with(job_id)
        stand.fresh((events, rejections), job_id)
        job = Job(
            job_id, stand.settings.kafka, stand.settings.registry, COMMANDS.name, events.name, rejections.name,
            str(folder), DECIDER.version,
        )  # fmt: skip
        with Process(self.argv(job), stand.env(), stand.folder / f"{self.name}.log") as process:
            measured = watch(stand, job_id, COMMANDS, [process.pid], process.check_alive, enough_s=self.enough_s)
        written = check(stand, self.name, events.name, rejections.name, whole=self.enough_s is None)
        stand.drop((), job_id)
        stand.drop_with(job_id)
        shutil.rmtree(folder, ignore_errors=True)
        return Run(measured.figures() | {"events": written})


HERE = Path(__file__).parent
