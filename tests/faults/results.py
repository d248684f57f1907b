"""What came of cases, one line of JSON each, kept beside the runs; the report is written from it and nothing else."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.kinds import KINDS
from tests.runtime.harness import ROOT

REPORT = Path(__file__).with_name("REPORT.md")
RESULTS = "results.jsonl"
SECTIONS = ("saga.md", "poison.md", "plants.md")
"""What the campaigns over orders, of poison and of planted bugs wrote into the folder of the runs, as it is."""
VERSIONS = ("aiokafka", "confluent-kafka", "faust-streaming", "psycopg", "redis")

HEAD = """\
# What was done to it, and what it did

Written by `make faults` from what ran: real workers, real services. After every case these are held against the log
by code that shares none with the product's folds:
I1 no acknowledged command lost · I2 none decided twice, order per stream kept, versions without gaps · I3 every model
equals an independent fold, compared by digest · I4 money sums exactly · I5 input = accepted + refused + deduplicated +
dead-lettered · I6 recovered within 60 s, by itself.
"""
FOOT = """\
A recovery is the time from the end of the fault (a kill, a service that is back, a worker that was stopped or woken)
to the moment in which all that was published had been decided, enriched, and was in every model, the rest of the load
included. `SEED=… KIND=… CASE=n make faults` repeats a case.
"""


def note(folder: Path, row: dict[str, Any], name: str = RESULTS) -> None:
    """Add a case to a file of them; one write, so that campaigns side by side do not mix their lines."""
    line = json.dumps(row | {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "commit": commit()}, default=str) + "\n"
    handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def commit() -> str:
    """Of the product that ran; with a star where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", f":!{REPORT.relative_to(ROOT)}")
    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}{'*' if changed else ''}"


def noted(folder: Path) -> list[dict[str, Any]]:
    """Every case's last result."""
    return _last(rows_of(folder))


def rows_of(folder: Path, name: str = RESULTS) -> list[dict[str, Any]]:
    """What `note` has added, oldest first."""
    try:
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]
    except FileNotFoundError:
        return []


def _case(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["kind"], row["seed"], row["case"]


def _last(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({_case(row): row for row in rows}.values())


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    said = [
        "| fault | cases | commands | facts moved | violations | slowest recovery | seeds | commit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = list(rows)
    for kind, planned in KINDS.items():
        mine = [row for row in found if row["kind"] == kind]
        said.append(_line(planned.what, planned.cases, mine))
    said.append(_line("**all**", sum(planned.cases for planned in KINDS.values()), found))
    return said


def _line(what: str, planned: int, rows: list[dict[str, Any]]) -> str:
    left_out = {row["skipped"] for row in rows if row.get("skipped")}
    rows = [row for row in rows if not row.get("skipped")]
    if not rows and left_out:
        return f"| {what} | skipped: {'; '.join(sorted(left_out))} |" + " |" * 6
    if not rows:
        return f"| {what} | 0 of {planned} |" + " |" * 6
    cases = str(len(rows)) if len(rows) >= planned else f"{len(rows)} of {planned}"
    bad = sum(not row["ok"] for row in rows)
    slowest = max(rows, key=lambda row: float(row["recovery_s"]))
    seeds = ", ".join(sorted({str(row["seed"]) for row in rows}))
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    commands, facts = (sum(row[name] for row in rows) for name in ("commands", "facts"))
    return (
        f"| {what} | {cases} | {commands:,} | {facts:,} | {bad} "
        f"| {slowest['recovery_s']:.1f} s ({slowest['kind']} {slowest['case']}) | {seeds} | {commits} |"
    )


def write_report(folder: Path, target: Path = REPORT) -> None:
    """Everything that is noted, for people; nothing where no case ever ran."""
    if not (ran := rows_of(folder)):
        return
    rows = _last(ran)
    held = {_case(row) for row in rows if row["ok"]}
    dates = sorted({row["date"] for row in rows})
    libraries = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    said = [HEAD, *table(rows), "", FOOT]
    for row in rows:
        if not row["ok"]:
            said.append(f"- **{row['kind']} {row['case']}** (seed {row['seed']}): {row['violation'][:400]}")
    for row in ran:  # one that does not come back has been seen all the same
        if not row["ok"] and _case(row) in held:
            said.append(
                f"- {row['kind']} {row['case']} (seed {row['seed']}, commit {row['commit']}) was violated before, and "
                f"held when it was run again: {row['violation'][:400]}"
            )
    for name in SECTIONS:
        if (folder / name).is_file():
            said += ["", (folder / name).read_text().strip()]
    days = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "never"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    said += ["", f"{days}; {os.cpu_count()} cores, {memory:.0f} GB; Python {platform.python_version()}, {libraries}."]
    target.write_text("\n".join(said) + "\n")
