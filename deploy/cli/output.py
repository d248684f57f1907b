"""How commands print: JSON as one document on stdout, tables for people, errors in one line on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]

WIDE = 10_000


def print_json(value: Any) -> None:
    """Print one document on stdout; money as text, times in UTC."""
    from eventlog.digest import plain

    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_error(message: str, *, as_json: bool) -> None:
    """Print an error on stderr; with `as_json` as a document on stdout too."""
    sys.stderr.write(f"error: {message}\n")
    if as_json:
        sys.stdout.write(json.dumps({"error": message}, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows for people. What clients wrote is text, never markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    # Into a file or a pipe a row is one line, however long.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
