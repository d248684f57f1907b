"""`onefact checkpoint`: read models kept as they were."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from deploy.cli.output import Json, print_json, say
from deploy.cli.progress import ProgressBar


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("checkpoint")(checkpoint)


def checkpoint(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Read models; without one all that can have any.")
    ] = None,
    *,
    every: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="OFFSETS",
            help="Of the log between two checkpoints; 100,000 by default.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove those that there are, and make them anew.")] = False,
    as_json: Json = False,
) -> None:
    """Keep read models as they were in the archive, at intervals: reads as of a point begin at the nearest one.

    Goes on where the last run ended; an archiver runs it every hour. No store is asked.

    Example: onefact checkpoint portfolio
    """
    from projections.checkpoints import checkpoint as run
    from projections.folding import HistoryGone

    found = []
    for model in models or _every_model():
        try:
            with ProgressBar(quiet=as_json) as bar:
                result = run(
                    model,
                    every=every,
                    fresh=fresh,
                    on_progress=lambda done, total: bar.count("folding", done, total),
                )
        except HistoryGone as gone:
            if models:
                raise
            if not as_json:
                say(f"none of {model}: {gone}")  # others have a past
            continue
        found.append(result)
        if not as_json:
            say(
                f"{result.model}: {result.made:,} checkpoints made, {result.checkpoints:,} in all; the newest stands "
                f"behind {result.offsets:,} offsets"
            )
    if as_json:
        print_json([asdict(each) for each in found])


def _every_model() -> list[str]:
    from eventlog.discovery import catalog

    return [projection.model.name for projection in catalog().projections]
