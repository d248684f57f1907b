"""`onefact read` and `models`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import Json, cell, print_json, print_table
from eventlog.errors import NotFound

if TYPE_CHECKING:
    from eventlog.models import Model, Row


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("read")(read)
    app.command("models")(models)


def read(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A read model; `onefact models` lists them.")],
    key: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY]...",
            help="A row's key: one word per column, or A/B (A/ for an A with a slash of its own). "
            "The first columns alone give all rows that begin so; none gives every row.",
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|POSITION",
            help="As it was at this RFC 3339 time, at the end of this day (UTC), or before this position: "
            "folded anew from the log.",
        ),
    ] = None,
    at_least: Annotated[
        str | None,
        typer.Option(metavar="POSITION", help="Wait until the model has applied what `send --wait` returned."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="So long --at-least waits.")] = 30.0,
    version: Annotated[
        int | None, typer.Option(min=1, help="A version that is not live; see `replay --until`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show rows of a read model: one for a whole key, else a list. Exit code 1 where there is no such row."""
    from projections.keys import from_words
    from projections.reader import Reader

    with Reader() as reader:
        declared = reader.model(model)
        whole = from_words(declared, key) if key else ()
        found = reader.read(model, whole or None, as_of=as_of, at_least=at_least, timeout_s=timeout, version=version)
    if found is None:
        raise NotFound(f"{model} has no row {'/'.join(key or ())}" + (f" as of {as_of}" if as_of else ""))
    if as_json:
        print_json(found)
    else:
        _print_rows(declared, found)


def models(*, as_json: Json = False) -> None:
    """List the read models: store, key, live version, and how many records each is behind."""
    from projections.overview import overview
    from projections.reader import Reader

    with Reader() as reader:
        found = overview(reader)
    if as_json:
        print_json([asdict(state) for state in found])
        return
    rows = [[s.name, s.store, s.key, str(s.live), ", ".join(map(str, s.versions)), f"{s.lag:,}"] for s in found]
    print_table(["model", "store", "key", "live version", "versions", "lag (records)"], rows)


def _print_rows(model: Model, found: Row | list[Row]) -> None:
    if isinstance(found, list):
        print_table(list(model.columns), [[cell(value) for value in row.values()] for row in found])
    else:
        print_table([model.name, ""], [[name, cell(value)] for name, value in found.items()])
