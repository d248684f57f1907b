"""Each planted bug alone until the campaign finds it: `make faults-plants`, `python -m tests.faults.plants [NAME ...]`.

`SEED` repeats a run. What came of it is added to `RUN` (.faults) and told in `RUN`/plants.md, for the report.
Exit code 1 when a bug was not found, or only by an invariant that should not be the first to see it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.backing import start_backing
from tests.faults.__main__ import run_case
from tests.faults.plants._table import PLANTS, POISON, SAGA, Planted, what
from tests.faults.results import note, rows_of, write_report
from tests.faults.stand import Stand

KEPT = "plants.jsonl"
POISON_RECORDS = 2000
ORDERS, KILLS = 60, 10
"""Of a campaign over the saga."""


class Found(NamedTuple):
    """The first violation."""

    violation: str
    number: int
    notes: str = ""

    @property
    def invariant(self) -> str:
        return self.violation.partition(":")[0]


def main() -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    folder = Path(os.environ.get("RUN") or ".faults").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    names = sys.argv[1:] or os.environ.get("PLANTS", "").replace(",", " ").split() or list(PLANTS)
    if unknown := set(names) - PLANTS.keys():
        sys.exit(f"there is no plant {', '.join(sorted(unknown))}; there are {', '.join(PLANTS)}")
    print(f"SEED={seed}", flush=True)
    rows = [search(folder, name, seed) for name in names]
    write_section(folder)
    write_report(folder)
    missed = [row["plant"] for row in rows if not row["ok"]]
    print(f"{len(rows) - len(missed)} of {len(rows)} found{'; NOT FOUND: ' + ', '.join(missed) if missed else ''}")
    return int(bool(missed))


def search(folder: Path, name: str, seed: int) -> dict[str, Any]:
    """Cases until the first violation."""
    planted, started, tried = PLANTS[name], time.monotonic(), 0
    place = folder / "work" / f"plant-{name}-{os.getpid()}"
    found: Found | None = None
    try:
        for tried, found in enumerate(attempts(folder, place, name, planted, seed), 1):  # noqa: B007 - read below
            if found:
                break
    except Exception as error:
        found = Found(f"the campaign itself failed: {type(error).__name__}: {error}", -1)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    row = {
        "plant": name, "seed": seed, "cases": tried, "seconds": round(time.monotonic() - started, 1),
        "kind": planted.kind, "case": found.number if found else None, "at": found.notes if found else "",
        "ok": bool(found and found.invariant in planted.invariants),
        "violation": found.violation.splitlines()[0] if found else "",
    }  # fmt: skip
    verdict = "found" if row["ok"] else "found by surprise" if found else "NOT FOUND"
    print(f"== {name}: {verdict} in {tried} cases, {row['seconds']} s: {row['violation'][:300]}", flush=True)
    note(folder, row, KEPT)
    return row


def attempts(folder: Path, place: Path, name: str, planted: Planted, seed: int) -> Any:
    """What each case found: a violation or None. Services are this plant's own: it spoils what they hold."""
    if planted.kind == POISON:
        for number in planted.numbers:
            yield poison(place / str(number), name, seed + number)
        return
    if planted.kind == SAGA:
        for number in planted.numbers:
            yield saga(place / str(number), name, seed + number)
        return
    place.mkdir(parents=True, exist_ok=True)
    stand = Stand(place, planted.state, name)
    try:
        for number in planted.numbers:
            if run_case(folder, stand, planted.kind, number, seed, whole=True, plant=name):
                yield None
                continue
            kept = folder / "evidence" / f"{name}-{planted.kind}-{number}-{seed}" / "case.json"
            row = json.loads(kept.read_text())
            yield Found(row["violation"], number, str(row["notes"].get("at", "")))
    finally:
        stand.stop()


def poison(place: Path, name: str, seed: int) -> Found | None:
    from eventlog.settings import Settings
    from tests.faults.poison.campaign import run

    backing = start_backing(place / "services")
    try:
        env = backing.env | {"ONEFACT_TEST_PLANT": name, "ONEFACT_TEST_POINTS": str(place)}
        settings = Settings(**backing.settings())
        run(settings, env, place / "logs", random.Random(seed), POISON_RECORDS, module="tests.faults.worker")
    except AssertionError as violation:
        return Found(f"I5: {violation}", seed)
    finally:
        backing.stop()
    return None


def saga(place: Path, name: str, seed: int) -> Found | None:
    from tests.faults.saga.campaign import Run

    backing = start_backing(place / "services")
    try:
        wrong = Run(backing, place / "run", random.Random(seed), ORDERS, KILLS, rough=True, plant=name).go()
    finally:
        backing.stop()
    return Found("; ".join(wrong[:3]), seed) if wrong else None


def write_section(folder: Path) -> None:
    """Every plant's last search, for the report."""
    last = {row["plant"]: row for row in rows_of(folder, KEPT)}
    rows = [last[name] for name in PLANTS if name in last]
    found = [row for row in rows if row["ok"]]
    said = [
        f"## Planted bugs: {len(found)} of {len(PLANTS)} found",
        "",
        "Each alone (`make faults-plants`), with services and workers of its own; the first violation ends it.",
        "",
        "| planted | found by | kind | after cases | seconds | what was seen | seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        by = row["violation"].partition(":")[0] if row["ok"] else "**not found**"
        seen = row["violation"].partition(": ")[2][:160].replace("|", "/")
        said.append(
            f"| {what(row['plant'])} (`{row['plant']}`) | {by} | {row['kind']}{', ' + row['at'] if row['at'] else ''} "
            f"| {row['cases']} | {row['seconds']:.0f} | {seen} | {row['seed']} |"
        )
    said += ["", "Seconds hold the start of services and workers."]
    (folder / "plants.md").write_text("\n".join(said) + "\n")


if __name__ == "__main__":
    sys.exit(main())
