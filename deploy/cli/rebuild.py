"""`onefact replay` and `verify`: read models built anew from the log, and held against it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, cell, print_json, print_table, say
from deploy.cli.progress import ProgressBar
from eventlog.errors import BadInput, OnefactError

if TYPE_CHECKING:
    from projections.compare import Comparison, Difference
    from projections.replay import ReplayResult
    from projections.verify import Verified

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("replay")(replay)
    app.command("verify")(verify)


Model = Annotated[str, typer.Argument(metavar="MODEL", help="A read model; `onefact models` lists them.")]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="TIME|POSITION",
        help="Build a version as of this point beside the live one, for `read --version`; do not switch.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME|POSITION", help="The same of the facts from this point on; those before are left out."
    ),
]
WholeKey = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Fold the live rows of this key anew, in place, and no others; once for each column, or A/B. "
        "With --into: write its rows alone.",
    ),
]
Into = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the rows into a Parquet file, and leave every version alone."),
]
ExpectChange = Annotated[
    bool,
    typer.Option(
        "--expect-change",
        "--accept-differences",
        help="Switch although rows differ: the fold was changed on purpose. The difference is shown before.",
    ),
]


def replay(
    model: Model,
    *,
    until: Until = None,
    since: Since = None,
    key: WholeKey = None,
    into: Into = None,
    expect_change: ExpectChange = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --expect-change: do not ask before the switch.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Make the version live again that was live before the last switch.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Begin anew where an interrupted replay could be gone on with; remove what other hosts have begun.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes that share the partitions; by default the cores.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a read model anew from the log beside the live one, compare the two, and switch if they are equal.

    Exit code 1, and nothing switched, when they differ: the keys that differ are named. The version that was
    live stays until the next replay, for --rollback. Ctrl-C and SIGTERM pause: the same command goes on.
    """
    if rollback and (until or since or fresh or key or into):
        raise BadInput("--rollback brings a version back that is there; it takes no part of the log, and no key")
    if into is not None:
        _write_file(model, into, key, since, until, as_json=as_json)
    elif key is not None and (until or since):
        raise BadInput("live rows stand where their model does: --key takes --from or --until only with --into")
    elif key is not None:
        _mend(model, key, as_json=as_json)
    else:
        options = {"since": since, "until": until, "fresh": fresh, "workers": workers}
        _replay(model, options, expect_change=expect_change, sure=yes, rollback=rollback, as_json=as_json)


def _replay(
    model: str, options: dict[str, Any], *, expect_change: bool, sure: bool, rollback: bool, as_json: bool
) -> None:
    from projections.replay import Paused
    from projections.replay import replay as run
    from projections.rollback import rollback as run_back

    with ProgressBar(quiet=as_json) as bar, _terminated_as_interrupted():
        try:
            if rollback:
                result = run_back(model, accept_differences=expect_change, on_progress=bar.show)
            else:
                result = run(
                    model,
                    accept_differences=expect_change,
                    on_difference=lambda found: bar.hidden(lambda: _confirmed(found, sure=sure, quiet=as_json)),
                    on_progress=bar.show,
                    **options,
                )
        except Paused as paused:
            sys.stderr.write(f"{paused}\n")
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json(asdict(result))
        if result.identical is False and not result.switched:
            raise typer.Exit(1)
    elif rollback:
        _print_rollback(result)
    else:
        _print_result(result)


def verify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Read models; without one all of them.")
    ] = None,
    *,
    passes: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Hold an Nth of the rows in memory at a time, and read the log N times."),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Hold live read models against an independent fold of the log at their own position, while workers go on.

    Exit code 1 when rows differ: what was changed by hand, is missing, or was made by no fact is named. Nothing is
    written. Example: onefact verify portfolio positions
    """
    from projections.verify import verify as run

    found = []
    for model in models or _all_models():
        with ProgressBar(quiet=as_json) as bar:
            found.append(run(model, passes=passes, on_progress=lambda done, total: bar.count("folding", done, total)))
        if not as_json:
            _print_verified(found[-1])
    if as_json:
        print_json([asdict(each) for each in found])
    if not all(each.identical for each in found):
        raise typer.Exit(1)


def _words(model: str, key: list[str]) -> Any:
    from eventlog.discovery import catalog
    from projections.finding import projection_of
    from projections.keys import from_words

    return from_words(projection_of(catalog(), model).model, key)


def _mend(model: str, key: list[str], *, as_json: bool) -> None:
    from projections.mending import mend

    done = mend(model, _words(model, key))
    if as_json:
        print_json(asdict(done))
        return
    where = f"version {done.version}, at {done.position}"
    if not done.mended:
        say(f"{model} {'/'.join(key)} is what {done.records:,} records say: {where}")
        return
    say(f"{len(done.mended):,} rows of {model} written anew from {done.records:,} records: {where}")
    print_differences(done.mended, len(done.mended))


def _write_file(
    model: str, path: Path, key: list[str] | None, since: str | None, until: str | None, *, as_json: bool
) -> None:
    from projections.export import export

    done = export(model, path, key=_words(model, key) if key else (), since=since, until=until)
    if as_json:
        print_json(asdict(done))
    else:
        say(f"{done.rows:,} rows of {model} in {done.path}, {done.seconds:.1f} s")


def _all_models() -> list[str]:
    from projections.reader import Reader
    from projections.stores import left_out

    with Reader() as reader:
        return [model.name for model in reader.models() if not left_out(model.store, reader.settings)]


def _print_verified(found: Verified) -> None:
    folded = f"{found.model}: {found.records:,} records into {found.rows:,} rows in {found.seconds:.1f} s"
    if found.identical:
        say(f"{folded}; version {found.version} is what the log says; digest {found.digest_live[:16]}")
        return
    say(f"{folded}; {_counted(found)} in version {found.version}, as of {found.position}")
    print_differences(found.differences, found.differing)


def _print_result(result: ReplayResult) -> None:
    went_on = f"; went on from {result.began_at}" if result.began_at else ""
    say(
        f"{result.model}: {result.records:,} records into {result.rows:,} rows in {result.seconds:.1f} s "
        f"({result.rate:,} records/s); digest {result.digest_rebuilt[:16]}{went_on}"
    )
    if result.identical is None:
        say(
            f"version {result.version} stands at that point and is not live: read it with --version {result.version}; "
            "the next other replay of this model removes it"
        )
    elif result.identical:
        say(f"identical to the live one; switched from version {result.previous} to {result.version}")
    else:
        named = ", ".join("/".join(map(str, key)) for key in result.differences)
        difference = f"{result.differing} rows differ from version {result.previous}: {named}"
        if not result.switched:
            print_differences(result.sample, result.differing)
            raise OnefactError(
                f"{difference}; nothing was switched. Compare with --version {result.version}, "
                "and switch with --expect-change if the change is meant"
            )
        say(f"{difference}; switched to version {result.version} all the same, --rollback takes it back")


def _print_rollback(result: ReplayResult) -> None:
    say(f"version {result.version} of {result.model} is live again in place of {result.previous}")
    if result.records:
        say(
            f"it stood at {result.began_at}; the {result.records:,} records since then were folded by the code that is "
            f"installed here, up to {result.position}"
        )
    else:
        say(f"it stands where the other one did, at {result.position}")


def _confirmed(found: Comparison, *, sure: bool, quiet: bool) -> bool:
    """Show what differs before anything is switched, and ask where there is somebody to ask."""
    if quiet:
        sample = [asdict(each) for each in found.sample]
        print_json({"differing": found.differing, "counts": found.counts, "sample": sample}, sys.stderr)
        return True
    say(f"{_counted(found)}:")
    print_differences(found.sample, found.differing)
    return sure or not sys.stdin.isatty() or typer.confirm("Switch to the rebuilt version?")


def _counted(found: Any) -> str:
    """How many rows differ, and how."""
    counts = found.counts if hasattr(found, "counts") else asdict(found)
    said = {"changed": "changed", "missing": "missing", "extra": "that no fact made"}
    parts = [f"{counts[kind]:,} {words}" for kind, words in said.items() if counts[kind]]
    return f"{found.differing:,} rows differ ({', '.join(parts)})"


def print_differences(sample: Sequence[Difference], differing: int) -> None:
    """The rows of a sample, live beside folded, with the columns that differ."""
    from eventlog.digest import plain

    rows = []
    for difference in sample:
        key = "/".join(str(plain(part)) for part in difference.key)
        live, folded = difference.live or {}, difference.folded or {}
        columns = difference.columns or [name for name in (live or folded) if (live or folded)[name] is not None]
        for number, column in enumerate(columns):
            values = [cell(side.get(column)) if side else "(no row)" for side in (live, folded)]
            rows.append([key if number == 0 else "", difference.kind if number == 0 else "", column, *values])
    print_table(["key", "", "column", "live", "by the log"], rows)
    if differing > len(sample):
        say(f"and {differing - len(sample):,} more")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
