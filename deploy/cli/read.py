"""`onefact read`, `replay` and `models`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, print_json, print_table, say
from eventlog.errors import NotFound, OnefactError

if TYPE_CHECKING:
    from eventlog.models import Model, Row
    from projections.replay import ReplayProgress, ReplayResult


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("read")(read)
    app.command("replay")(replay)
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


def replay(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A read model; `onefact models` lists them.")],
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|POSITION",
            help="Build a version as of this point beside the live one, for `read --version`; do not switch.",
        ),
    ] = None,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences",
            "--expect-change",
            help="Switch although rows differ: the fold was changed on purpose.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a read model anew from the log beside the live one, compare the two, and switch if they are equal.

    Exit code 1, and nothing switched, when they differ: the keys that differ are named. The version that was
    live stays until the next replay, and so does one that was built --until a point.
    """
    from rich.console import Console

    from projections.replay import replay as run

    with _progress_bar(Console(stderr=True), quiet=as_json) as on_progress:
        result = run(model, until=until, accept_differences=accept_differences, on_progress=on_progress)
    if as_json:
        print_json(asdict(result))
        if result.identical is False and not result.switched:
            raise typer.Exit(1)
    else:
        _print_result(result)


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
    from eventlog.digest import plain

    if isinstance(found, list):
        print_table(list(model.columns), [[_shown(plain(value)) for value in row.values()] for row in found])
    else:
        print_table([model.name, ""], [[name, _shown(plain(value))] for name, value in found.items()])


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case dict():
            return ", ".join(f"{name} {each}" for name, each in value.items())
        case _:
            return str(value)


def _print_result(result: ReplayResult) -> None:
    say(
        f"{result.model}: {result.records:,} records into {result.rows:,} rows in {result.seconds:.1f} s "
        f"({result.rate:,} records/s); digest {result.digest_rebuilt[:16]}"
    )
    if result.identical is None:
        say(
            f"version {result.version} stands at that point and is not live: read it with --version {result.version}; "
            "the next replay of this model removes it"
        )
    elif result.identical:
        say(f"identical to the live one; switched from version {result.previous} to {result.version}")
    else:
        named = ", ".join("/".join(map(str, key)) for key in result.differences)
        difference = f"{result.differing} rows differ from version {result.previous}: {named}"
        if not result.switched:
            raise OnefactError(
                f"{difference}; nothing was switched. Compare with --version {result.version}, "
                "and switch with --accept-differences if the change is meant"
            )
        say(f"{difference}; switched to version {result.version} all the same")


class _progress_bar:  # noqa: N801 - used as a function
    """Shows a replay on a terminal: records, rate, time left."""

    def __init__(self, console: Any, *, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
        )
        self._bar = Progress(*columns, console=console, disable=quiet, transient=False)
        self._task = self._bar.add_task("building", total=None, speed="")

    def __enter__(self) -> Any:
        self._bar.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: ReplayProgress) -> None:
        speed = f"{progress.rate:,.0f}/s, {progress.seconds_left:.0f} s left" if progress.phase == "building" else ""
        self._bar.update(
            self._task, description=progress.phase, completed=progress.done, total=progress.total, speed=speed
        )
