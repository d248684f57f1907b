"""`onefact sagas`: where each order's fulfilment stands, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, cell, print_json, print_table

if TYPE_CHECKING:
    from eventlog.models import Row

LATE = timedelta(seconds=10)
"""After its deadline a saga that has not moved on is stuck: its clock does not reach it."""
COLUMNS = ("order_id", "step", "waits_for", "since", "due", "attempt", "reason", "problem")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("sagas")(sagas)


def sagas(
    order: Annotated[str | None, typer.Argument(metavar="[ORDER]", help="Of this order only.")] = None,
    *,
    stuck: Annotated[
        bool,
        typer.Option("--stuck", help="Only those that are past their deadline, or ask for something again."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the sagas that lead orders to their end: the step, what it waits for since when, and why.

    Those that wait come first, the longest wait first. A saga that asks again has had no answer in time to what has
    to be done; it goes on asking, ever more seldom. Exit code 1 where the order has none.

    Example: onefact sagas --stuck
    """
    from eventlog.errors import NotFound
    from projections.reader import Reader

    with Reader() as reader:
        found: Any = reader.read("sagas", order)
    if found is None:
        raise NotFound(f"there is no saga of an order {order!r}")
    rows: list[Row] = sorted([found] if isinstance(found, dict) else found, key=_place)
    if stuck:
        now = datetime.now(UTC)
        rows = [row for row in rows if _is_stuck(row, now)]
    if as_json:
        print_json(rows)
    else:
        print_table(COLUMNS, [[cell(row[name]) for name in COLUMNS] for row in rows])


def _place(row: Row) -> tuple[bool, datetime]:
    return not row["waits_for"], row["since"]


def _is_stuck(row: Row, now: datetime) -> bool:
    if not row["waits_for"]:
        return False
    due = row["due"]
    return row["attempt"] > 1 or (due is not None and due + LATE < now)
