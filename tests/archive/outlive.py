"""`make outlive`: a demo's Kafka, registry and stores are deleted, and come back from its archive as they were.

Every record of every topic that is archived, every row of every read model, now, as of a time and as of a position, and
the history of streams are compared; then a command that was decided before is answered as it was, and one more is
decided.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy import demo as story
from deploy.cli.facts import facts_of
from eventlog.digest import plain
from eventlog.discovery import catalog
from eventlog.envelope import Record
from eventlog.position import Position
from eventlog.reader import LogReader, to_record
from eventlog.settings import Settings
from producers import declared_domains
from producers.trading import sample
from projections import Reader
from projections.folding import HistoryGone
from projections.stores import left_out

COMMANDS = int(os.environ.get("COMMANDS") or 2_000)
LOST = ("kafka", "registry", "postgres", "redis", "neo4j")
WAIT_S = 120.0
Ends = dict[str, dict[tuple[str, int], int]]
KEYS = 3
"""Of each model, about, whose row as of a point is read; what happened to the first of them is compared, too."""


def onefact(*words: str) -> Any:
    program = Path(sys.executable).with_name("onefact")
    done = subprocess.run([program, *words, "--json"], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"onefact {' '.join(words)}: {done.stderr}")
    return json.loads(done.stdout or "null")


def caught_up() -> bool:
    return not any(row["lag"] for row in onefact("lag"))


def until_caught_up() -> None:
    deadline = time.monotonic() + WAIT_S
    while not caught_up():
        if time.monotonic() > deadline:
            behind = [row for row in onefact("lag") if row["lag"]]
            raise SystemExit(f"not after {WAIT_S:.0f} s: {behind}")
        time.sleep(0.5)


def log_ends(settings: Settings) -> Ends:
    """Where each topic that is archived ends, by partition."""
    with LogReader(settings) as log:
        return {topic.name: log.ends(topic.name) for topic in catalog().archiver.sources}


def logged(ends: Ends, settings: Settings) -> dict[str, Any]:
    """Every record up to there, byte for byte: whoever asks for a history is told nothing else."""
    found: dict[str, Any] = {}
    with LogReader(settings) as log:
        for topic, its in ends.items():
            ranges = {place: (0, end) for place, end in its.items()}
            records = (to_record(message) for _, messages, _ in log.batches(ranges) for message in messages)
            lines = ((r.partition, r.offset, hashlib.sha256(repr(contents(r)).encode()).hexdigest()) for r in records)
            found[f"records of {topic}"] = sorted(lines)
    return found


def contents(record: Record) -> tuple[Any, ...]:
    return record.timestamp, record.timestamp_type, record.key, record.value, list(record.headers)


def everything(point: datetime, ends: Ends) -> dict[str, Any]:
    """What can be read: every record, every model whole, now and as of points; of some keys the row, and the history.

    Points are a time and, of each source, where half of each partition was read.
    """
    settings = Settings()
    found = logged(ends, settings)
    with Reader(settings) as reader:
        shown = [each for each in catalog().projections if not left_out(each.model.store, settings)]
        for projection in shown:
            model = projection.model
            halves = {place: end // 2 for source in projection.sources for place, end in ends[source.name].items()}
            try:
                found[f"{model.name} as of {halves}"] = texts(reader.read(model.name, as_of=Position(halves)))
            except HistoryGone as gone:  # of prices, whose topic Kafka compacts: it is not known before, nor after
                found[f"{model.name} as of {halves}"] = str(gone)
            rows = list(reader.store(model.name).scan(model))
            found[model.name] = texts(rows)
            if not rows:
                raise SystemExit(f"{model.name} has no rows: the demo does not show it")
            found[f"{model.name} as of {point}"] = texts(reader.read(model.name, as_of=point))
            keys = sorted({tuple(row[column] for column in model.key) for row in rows}, key=str)
            for key in keys[:: max(1, len(keys) // KEYS)]:
                found[f"{model.name} {key} as of {point}"] = texts([reader.read(model.name, key, as_of=point)])
                if key == keys[0] and isinstance(stream := key[0], str) and f"history {stream}" not in found:
                    history = facts_of(stream, declared_domains(), settings, everything=True)
                    found[f"history {stream}"] = texts(history)
    return found


def texts(rows: Iterable[Any]) -> list[str]:
    return sorted(json.dumps(plain(row), sort_keys=True) for row in rows)


def main() -> int:
    console = Console(highlight=False)
    home = Path(os.environ.setdefault("ONEFACT_HOME", tempfile.mkdtemp(prefix="onefact-outlive-")))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sample.jsonl"
        file.write_text("".join(json.dumps(command) + "\n" for command in sample(COMMANDS, 7)))
        story.COMMANDS = COMMANDS
        try:
            story.tell(story.Demo(console), file)
            return lose_and_bring_back(console, home, file)
        finally:
            onefact("down")


def lose_and_bring_back(console: Console, home: Path, file: Path) -> int:
    """Exit code: 0 where every read is the same."""
    answered = onefact("publish", "trading", str(file), "--wait")
    until_caught_up()
    point, ends = datetime.now(UTC), log_ends(Settings())
    onefact_run("archive", "run", "--until-now")
    before = everything(point, ends)
    onefact("down")
    for service in LOST:
        shutil.rmtree(home / "data" / service)
    shutil.rmtree(home / "state", ignore_errors=True)
    onefact("up", "--no-workers")
    began = time.monotonic()
    onefact_run("bootstrap", "--from-archive")
    console.print(f"brought back in {time.monotonic() - began:.1f} s")
    onefact("up")
    until_caught_up()
    after = everything(point, ends)
    for name in before:
        if before[name] != after[name]:
            console.print(f"[bold]{name} differs[/bold]:", str(before[name])[:400], str(after[name])[:400])
    again = onefact("publish", "trading", str(file), "--wait")
    once = {**answered, "seconds": 0} == {**again, "seconds": 0} and everything(point, ends) == after
    owner = json.dumps({"portfolio_id": f"after-{int(began)}", "owner": "ada", "currency": "USD"})
    onefact("send", "trading", "OpenPortfolio", owner, "--wait")
    until_caught_up()
    with Reader(Settings()) as reader:
        goes_on = reader.read("portfolio", (f"after-{int(began)}",)) is not None
    same = before == after
    console.print(f"{len(before)} reads {'are the same' if same else 'DIFFER'}")
    console.print(f"what was decided before is {'not decided' if once else 'DECIDED'} again: {again}")
    console.print(f"one more is {'decided' if goes_on else 'NOT DECIDED'}, and shown")
    return int(not (same and once and goes_on))


def onefact_run(*words: str) -> None:
    """A command whose output is for the reader."""
    subprocess.run([Path(sys.executable).with_name("onefact"), *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
