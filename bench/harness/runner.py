"""Runs a contest: every contestant once a round, the order turned round each time, then the rows."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import pkgutil
import platform
import subprocess
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bench.rows
from bench.harness.model import Contest, Contestant, Row, Run, Runs, Spread, number
from bench.harness.stand import ROOT, BenchError, Stand

Say = Callable[[str], None]


def contests() -> dict[str, Contest]:
    """Every module of `bench.rows`, by name; one without a `CONTEST` is an error."""
    names = sorted(m.name for m in pkgutil.iter_modules(bench.rows.__path__))
    return {name: importlib.import_module(f"bench.rows.{name}").CONTEST for name in names}


@dataclass(frozen=True)
class Result:
    """A contest that was run."""

    contest: Contest
    rounds: tuple[Runs, ...]
    commands: int
    began: datetime
    load_before: float
    failures: dict[str, str]
    """Contestants that did not run, with the reason."""

    def rows(self) -> Iterator[tuple[Row, Spread | None]]:
        """Each row with its spread over the rounds; None where a contestant that it needs did not run."""
        ran = set.intersection(*(set(runs) for runs in self.rounds)) if self.rounds else set()
        for row in self.contest.rows:
            measured = set(row.needs) <= ran
            yield row, Spread(tuple(row.value(runs) for runs in self.rounds)) if measured else None

    def document(self) -> dict[str, Any]:
        """What is kept in results.json."""
        return {
            "contest": self.contest.name,
            "what": self.contest.what,
            "began": self.began.isoformat(timespec="seconds"),
            "commands": self.commands,
            "load": self.contest.load(self.commands),
            "pairs": len(self.rounds),
            "machine": machine() | {"load_before": self.load_before},
            "failures": self.failures,
            "contestants": {
                c.name: {
                    "what": c.what,
                    "runs": [dict(runs[c.name].figures) for runs in self.rounds if c.name in runs],
                    "notes": sorted({note for runs in self.rounds if c.name in runs for note in runs[c.name].notes}),
                }
                for c in self.contest.contestants
            },
            "rows": [_row_document(row, spread) for row, spread in self.rows()],
        }


def _row_document(row: Row, spread: Spread | None) -> dict[str, Any]:
    said = {"name": row.name, "what": row.what, "unit": row.unit, "note": row.note, "needs": list(row.needs)}
    if row.target is not None:
        said |= {"target": str(row.target)}
    if spread is None:
        return said | {"median": None}
    met = None if row.target is None else row.target.met(spread.median)
    return said | {
        "values": list(spread.values), "median": spread.median, "low": spread.low, "high": spread.high, "met": met,
    }  # fmt: skip


def run_contest(
    contest: Contest, stand: Stand, pairs: int, say: Say, *, only: Collection[str] = (), lock: Path | None = None
) -> Result:
    """Run it for so many rounds.

    A contestant that fails is left out of the later rounds and named in `failures`; nothing is made up for it.
    `lock` is held during each round, where several benches share a machine.
    """
    began, load = datetime.now(UTC), os.getloadavg()[0]
    chosen = [c for c in contest.contestants if not only or c.name in only]
    failures: dict[str, str] = {}
    with _locked(lock):
        say(f"{contest.name}: preparing")
        contest.prepare(stand)
        for contestant in chosen:
            _try(contestant, failures, partial(_prepare, contestant, stand), say)
    rounds: list[Runs] = []
    for turn in range(pairs if contest.rounds_max is None else min(pairs, contest.rounds_max)):
        runs: dict[str, Run] = {}
        with _locked(lock):
            # Turned round each time, so that nobody always runs after the same neighbour. The first round
            # begins with the first contestant, whose output the others' is compared with.
            for contestant in chosen if turn % 2 == 0 else reversed(chosen):
                if contestant.name in failures:
                    continue
                made = _try(contestant, failures, partial(contestant.run, stand, turn), say)
                if isinstance(made, Run):
                    runs[contestant.name] = made
                    say(f"{contest.name} {turn + 1}/{pairs} {contestant.name}: {_shown(made)}")
        rounds.append(runs)
    return Result(contest, tuple(rounds), stand.commands, began, load, failures)


def _prepare(contestant: Contestant, stand: Stand) -> None:
    if (reason := contestant.missing()) is not None:
        raise BenchError(reason)
    contestant.prepare(stand)


def _try(contestant: Contestant, failures: dict[str, str], do: Callable[[], Run | None], say: Say) -> Run | None:
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - whatever it was, the others are measured all the same, and it is said
        failures[contestant.name] = f"{type(error).__name__}: {error}"
        say(f"{contestant.name} FAILED: {failures[contestant.name]}")
        return None


def _shown(run: Run) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in run.figures.items())


@contextlib.contextmanager
def _locked(lock: Path | None) -> Iterator[None]:
    if lock is None:
        yield
        return
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "onefact": f"{version('onefact')} ({commit.stdout.strip() or 'no checkout'})",
        "kafka": _maven_version("kafka"),
        "aiokafka": version("aiokafka"),
        "confluent-kafka": version("confluent-kafka"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _maven_version(program: str) -> str:
    from xml.etree import ElementTree as ET

    from deploy.stack.cache import POMS

    found = ET.parse(POMS / program / "pom.xml").getroot().find("{*}version")
    return "unknown" if found is None else str(found.text)
