"""`onefact up`, `down` and `status`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from deploy.stack import Progress, Status


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)


def up(
    *,
    stack: Annotated[
        Literal["embedded", "compose", "external"] | None,
        typer.Option(help="How the services run; $ONEFACT_STACK or embedded by default."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE", help="Leave out neo4j, and with it the graphs, or s3, and with it the archive."
        ),
    ] = None,
    workers: Annotated[bool, typer.Option(help="Start the workers too.")] = True,
    as_json: Json = False,
) -> None:
    """Have services, topics, schemas and workers running; starts only what is missing.

    State is in $ONEFACT_HOME (./.onefact), ports are counted from $ONEFACT_PORT_BASE (17000).

    Example: onefact up --stack embedded
    """
    from deploy.stack import up as start
    from deploy.stack.health import OPTIONAL
    from eventlog.errors import BadInput
    from eventlog.settings import Settings

    for name in without or ():
        if name not in OPTIONAL:
            raise BadInput(f"{name} cannot be left out; {', '.join(sorted(OPTIONAL))} can")

    print_status(
        start(Settings(), kind=stack, without=without or (), workers=workers, on_progress=_reporter()), as_json=as_json
    )


def down(*, as_json: Json = False) -> None:
    """Stop what `up` started, workers first; data stays.

    Example: onefact down
    """
    from deploy.stack import down as stop
    from deploy.stack import status as ask
    from eventlog.settings import Settings

    stop(Settings(), on_progress=_reporter())
    if as_json:
        print_json(ask(Settings()))


def status(*, as_json: Json = False) -> None:
    """Show what runs, as the services themselves answer. Exit code 3 when a service does not.

    A worker that is being started again is shown as not ready, and is no failure.

    Example: onefact status --json
    """
    from deploy.stack import status as ask
    from eventlog.settings import Settings

    found = ask(Settings())
    print_status(found, as_json=as_json)
    if not all(service["healthy"] for service in found["services"].values()):
        raise typer.Exit(3)


def print_status(found: Status, *, as_json: bool) -> None:
    """Print a status as a table, or as it is."""
    if as_json:
        print_json(found)
        return
    if not found["services"]:
        print(f"nothing runs (stack {found['stack']}); start it with `onefact up`")
        return
    rows = [
        (name, "healthy" if s["healthy"] else "not healthy", s["pid"], s["url"])
        for name, s in found["services"].items()
    ]
    rows += [
        (w["name"], "ready" if w["ready"] else "not ready", w["pid"], " ".join(w["roles"])) for w in found["workers"]
    ]
    print_table([f"stack {found['stack']}", "state", "pid", "address / roles"], rows)


def _reporter() -> Progress:
    """Tells each step on stderr, with the time it happened; on a terminal in place."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    status_line = console.status("") if console.is_terminal else None
    under_way: dict[str, str] = {}

    def report(step: str, state: str) -> None:
        finished = state in ("ready", "healthy", "stopped")
        if finished:
            under_way.pop(step, None)
            console.print(f"{time.monotonic() - started:6.1f} s  {step} {state}", markup=False)
        else:
            under_way[step] = state
        if status_line is None:
            return
        if under_way:
            status_line.update(", ".join(f"{name} {doing}" for name, doing in under_way.items()))
            status_line.start()
        else:
            status_line.stop()
        sys.stderr.flush()

    return report
