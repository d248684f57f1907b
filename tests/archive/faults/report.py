"""What a campaign did, from the rows that it has written: REPORT.md."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.archive.faults.checks import MEANINGS

Row = dict[str, Any]

GROUPS = {
    "archiving": ("archive", "two", "swept", "rewind"),
    "compaction": ("compact", "keyed"),
    "moves between tiers, reads from them": ("freeze", "forget", "delete", "read"),
    "bootstrap": ("bootstrap",),
    "rebuilds": ("replay", "replay_apart", "replay_again", "rollback"),
    "checkpoints": ("checkpoint",),
}


def last_of(rows: Iterable[Row], seed: int) -> dict[int, Row]:
    """The last one of each case of a seed."""
    return {row["number"]: row for row in rows if row["seed"] == seed}


def write(path: Path, rows: Sequence[Row], planted: Iterable[Row], seed: int) -> None:
    """From the rows of cases and those of planted bugs, the last one of each."""
    last = last_of(rows, seed)
    before = [row for row in rows if row["seed"] == seed and row["violation"] and row is not last[row["number"]]]
    found = sorted(last.values(), key=lambda row: row["number"])
    kinds = Counter[str]()
    for row in found:
        kinds.update(row["injected"])
    hit = [row for row in found if row["injected"]]
    failed = [row for row in found if row["violation"]]
    lines = [
        "# What was done to the archive, and what it did",
        "",
        "Written by `make faults-archive` from what ran, against real Kafka, registry, Postgres, Redis and object",
        "store. Each case has a topic, a bucket and models of its own, and one operation; in the middle of it is a",
        "kill at a named point, or a store that misbehaves. After the fault, and after the operation was done again:",
        " · ".join(f"{name} {meaning}" for name, meaning in MEANINGS.items()) + ".",
        "",
        f"SEED={seed}: {len(found)} cases, {len(hit)} of them with a fault, {sum(kinds.values()):,} faults in all: "
        + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        + f". Violations: {len(failed)}.",
        "",
        "| what was under way | fault | cases | with a fault | violations | recovery: median, slowest |",
        "|---|---|---|---|---|---|",
    ]
    for name, operations in GROUPS.items():
        mine = [row for row in found if row["operation"] in operations]
        lines += [_line(name, "kill -9 at named points", [row for row in mine if row["kill"]])]
        lines += [_line(name, "object store", [row for row in mine if not row["kill"]])]
    lines += [
        _line("**all**", "", found),
        "",
        "A recovery is the time that the operation took when it was done again, to its end, with nothing in its way.",
        f"Commits: {', '.join(sorted({row['commit'] for row in found}))}.",
        f"`SEED={seed} FIRST=n CASES=1 make faults-archive` repeats a case.",
    ]
    points = Counter(row["kill"] for row in hit if row["kill"])
    lines += ["", "Killed " + ", ".join(f"{point} ({count})" for point, count in sorted(points.items())) + "."]
    lines += ["", *map(_violated, failed)]
    if before:
        lines += ["", "Violated at first, and run again on a later commit:", "", *map(_violated, before)]
    lines += ["", *_planted({row["name"]: row for row in planted}.values())]
    path.write_text("\n".join(lines).rstrip() + "\n")


def _violated(row: Row) -> str:
    return f"- {row['number']} {row['operation']}, {row['fault']} ({row['commit']}): {_said(row['violation'])}"


def _said(found: str | None) -> str:
    """In one line: of a trace what it ends with."""
    head, trace, lines = (found or "").partition("Traceback (most recent call last):")
    return head + lines.strip().splitlines()[-1] if trace else " ".join(head.split())


def _planted(rows: Iterable[Row]) -> list[str]:
    """Bugs that were planted, and by which of the checks each was found."""
    lines = [
        f"| {row['what']} (`{row['name']}`) | {_said(row['found']) or '**not found**'} | {row['commit']} |"
        for row in sorted(rows, key=lambda row: row["name"])
    ]
    found = sum("not found" not in line for line in lines)
    head = ["## Planted bugs", "", f"`make faults-archive PLANTS=all`: {found} of {len(lines)} found.", ""]
    return [*head, "| bug | found by | commit |", "|---|---|---|", *lines]


def _line(name: str, fault: str, rows: Sequence[Row]) -> str:
    took = [row["recovered_s"] for row in rows if row["recovered_s"] is not None]
    slowest = max(rows, key=lambda row: row["recovered_s"] or 0, default=None)
    said = f"{statistics.median(took):.1f} s, {max(took):.1f} s (case {slowest['number']})" if slowest and took else ""
    hit = sum(bool(row["injected"]) for row in rows)
    violated = sum(bool(row["violation"]) for row in rows)
    return f"| {name} | {fault} | {len(rows)} | {hit} | {violated} | {said} |"
