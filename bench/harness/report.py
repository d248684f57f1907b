"""The table for people, results.json for machines, RESULTS.md of the last run of each contest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.harness.model import Spread, number

Document = Mapping[str, Any]
HEAD = """\
# Results of `make bench`

Written by the bench; the figures of each contest are of its last run. [results.json](results.json) has every value.
How a rate is taken, and what the contestants do: [README.md](README.md).
"""


def keep(documents: Iterable[Document], folder: Path) -> None:
    """Bring results.json and RESULTS.md up to date; contests that were not run keep what they had."""
    path = folder / "results.json"
    kept: dict[str, Document] = json.loads(path.read_text()) if path.exists() else {}
    kept |= {document["contest"]: document for document in documents}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(HEAD + "".join(_section(kept[name]) for name in sorted(kept)))


def show(documents: Iterable[Document], console: Console) -> None:
    """Print what came of it."""
    for document in documents:
        title = f"{document['contest']}: {document['load']}, {document['pairs']} pairs"
        table = Table("what", "median", "lowest", "highest", "target", "", title=title, title_justify="left")
        for row in document["rows"]:
            table.add_row(*_cells(row))
        console.print(table)
        for name, reason in document["failures"].items():
            console.print(f"[red]{name} did not run:[/red] {reason}", highlight=False)


def _cells(row: Document) -> tuple[str, str, str, str, str, str]:
    what = row["what"] + (f" ({row['note']})" if row["note"] else "")
    target = row.get("target", "")
    if row["median"] is None:
        return what, "not measured", "", "", target, ""
    met = {True: "met", False: "MISSED", None: "reported"}[row["met"]]
    unit = f" {row['unit']}" if row["unit"] else ""
    return what, number(row["median"]) + unit, number(row["low"]), number(row["high"]), target, met


def _section(document: Document) -> str:
    machine = document["machine"]
    versions = ", ".join(f"{k} {machine[k]}" for k in ("onefact", "kafka", "python", "aiokafka", "confluent-kafka"))
    where = f"{machine['cores']} cores ({machine['processor']}), load before {machine['load_before']:.1f}"
    lines = [
        f"\n## {document['contest']}",
        document["what"],
        "",
        f"{document['began']}; {document['load']}, {document['pairs']} pairs; {where}; {versions}.",
        "",
        "| what | median | lowest | highest | target | |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(_cells(row))} |" for row in document["rows"]),
        "",
        *_contestants(document),
        *(f"- **{name} did not run**: {reason.splitlines()[0]}" for name, reason in document["failures"].items()),
    ]
    return "\n".join(lines) + "\n"


def _contestants(document: Document) -> Iterable[str]:
    for name, contestant in document["contestants"].items():
        runs = contestant["runs"]
        if not runs:
            continue
        names = dict.fromkeys(figure for run in runs for figure in run)
        spreads = {f: Spread(tuple(run[f] for run in runs if f in run)) for f in names}
        shown = "; ".join(f"{figure.replace('_', ' ')} {spread}" for figure, spread in spreads.items())
        notes = "".join(f" {note}" for note in contestant["notes"])
        yield f"- **{name}**: {contestant['what']}.{notes} Measured: {shown}."
