"""`onefact worker` and `onefact lag`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from eventlog.topics import Topic


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("lag")(lag)
    app.command("worker")(worker)


def worker(
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROLE]...", help="Roles, domains, processors, projections or all (the default)."),
    ] = None,
) -> None:
    """Run roles until SIGTERM, which drains and commits: what a process manager starts.

    Example: onefact worker trading.decider trading.enricher
    """
    from deploy.worker import main

    code = main(roles or [])
    sys.stdout.flush()
    sys.stderr.flush()
    # Client threads of native libraries may still be ending; everything of ours has been closed.
    os._exit(code)


def lag(*, as_json: Json = False) -> None:
    """Show how many records each role has still to read, by partition.

    Example: onefact lag --json
    """
    rows = _positions()
    if as_json:
        print_json(rows)
        return
    shown = [(r["role"], r["topic"], r["partition"], r["next"], r["end"], r["lag"]) for r in rows]
    print_table(["role", "topic", "partition", "next", "end", "lag"], shown)


def _positions() -> list[dict[str, Any]]:
    from eventlog.discovery import catalog
    from eventlog.reader import LogReader
    from eventlog.roles import read_by
    from eventlog.settings import Settings
    from projections.stores import left_out, open_store

    settings = Settings().required("kafka")
    found = catalog()
    reached: list[tuple[str, Topic, dict[int, int]]] = []
    for role in found.processors:
        with LogReader(settings, group=role.name) as reader:
            for topic in read_by(role):
                committed = {p: reader.committed(topic.name, p) for p in range(topic.partitions)}
                reached.append((role.name, topic, committed))
    kept = [projection for projection in found.projections if not left_out(projection.model.store, settings)]
    stores = {name: open_store(name, settings) for name in dict.fromkeys(p.model.store for p in kept)}
    try:
        for projection in kept:
            progress = stores[projection.model.store].progress(projection.model)
            for topic in projection.sources:
                applied = {partition: n for (name, partition), n in progress.items() if name == topic.name}
                reached.append((projection.name, topic, applied))
    finally:
        for store in stores.values():
            store.close()
    # The ends last: what is behind may catch up meanwhile, but nothing seems to be ahead of its topic.
    with LogReader(settings) as reader:
        ends = {
            place: end for name in {topic.name for _, topic, _ in reached} for place, end in reader.ends(name).items()
        }
        return [
            {
                "role": role,
                "topic": topic.name,
                "partition": p,
                "next": n,
                "end": end,
                "lag": reader.waiting({(topic.name, p): (n, end)}),
            }
            for role, topic, positions in reached
            for p in range(topic.partitions)
            for n, end in [(positions.get(p, 0), ends.get((topic.name, p), 0))]
        ]
