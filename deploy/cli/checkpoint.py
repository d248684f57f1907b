"""`onefact checkpoint`: read models kept as they were."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, print_error, print_json, say
from deploy.cli.progress import ProgressBar
from eventlog.errors import OnefactError, ServiceAway

if TYPE_CHECKING:
    from projections.checkpoints import Checkpointed

FAILED, AWAY = 1, 3
"""Exit codes: of one model or more there are none; nothing could be asked."""


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
    fresh: Annotated[bool, typer.Option("--fresh", help="Give up those that there are, and make all anew.")] = False,
    as_json: Json = False,
) -> None:
    """Keep read models as they were in the archive, at intervals: reads as of a point begin at the nearest one.

    Goes on where the last run ended; an archiver runs it every hour. No store is asked. What goes wrong with one model
    is said, and keeps no other from having its own.

    Example: onefact checkpoint portfolio
    """
    from eventlog.settings import Settings
    from projections.folding import HistoryGone

    Settings().required("kafka", "registry", "s3")
    wanted = models or _every_model()
    documents: list[dict[str, Any]] = []
    failed: list[OnefactError] = []
    for model in wanted:
        try:
            result = _made(model, every, fresh=fresh, quiet=as_json)
        except OnefactError as error:
            if models and len(wanted) == 1:
                raise
            if isinstance(error, HistoryGone) and not models:
                if not as_json:
                    say(f"none of {model}: {error}")  # others have a past
                continue
            failed.append(error)
            documents.append({"model": model, "error": str(error)})
            print_error(f"{model}: {error}", as_json=False)
            continue
        documents.append(asdict(result))
        if not as_json:
            say(
                f"{result.model}: {result.made:,} checkpoints made, {result.checkpoints:,} in all, of "
                f"{result.offsets:,} offsets of the log; {result.waiting:,} more wait until they are {result.every:,}"
            )
    if as_json:
        print_json(documents)
    if failed:
        raise typer.Exit(AWAY if all(isinstance(error, ServiceAway) for error in failed) else FAILED)


def _made(model: str, every: int | None, *, fresh: bool, quiet: bool) -> Checkpointed:
    from projections.checkpoints import checkpoint as run

    with ProgressBar(quiet=quiet) as bar:
        return run(model, every=every, fresh=fresh, on_progress=lambda done, total: bar.count("folding", done, total))


def _every_model() -> list[str]:
    from eventlog.discovery import catalog

    return [projection.model.name for projection in catalog().projections]
