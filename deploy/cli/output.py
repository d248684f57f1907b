"""How commands print: JSON as one document on stdout, tables for people, errors in one line on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TextIO

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]

WIDE = 10_000
LINE_END = "\n"


def visible(text: str, keep: str = "") -> str:
    """Text as a terminal may have it: what cannot be printed, or turns what follows around, is written as its escape.

    Clients wrote it: a control character would be an instruction to the terminal, a right-to-left mark a lie.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def say(line: str) -> None:
    """Print a line for people."""
    print(visible(line, LINE_END))


def document(value: Any) -> str:
    """JSON on one line, readable in any language; what cannot be printed as its escape, which means the same."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def print_json(value: Any, file: TextIO | None = None) -> None:
    """Print one document, on stdout where nothing else is given; money as text, times in UTC."""
    from eventlog.digest import plain

    file = file or sys.stdout
    file.write(document(plain(value)) + "\n")
    file.flush()


def print_note(message: str) -> None:
    """Print on stderr what is to be known of what stdout has."""
    sys.stderr.write(f"note: {visible(message, LINE_END)}\n")


def print_error(message: str, *, as_json: bool) -> None:
    """Print an error on stderr; with `as_json` as a document on stdout too."""
    sys.stderr.write(f"error: {visible(message, LINE_END)}\n")
    if as_json:
        sys.stdout.write(document({"error": message}) + "\n")


def cell(value: Any) -> str:
    """A value of a read model's column, as people see it in a table."""
    from eventlog.digest import plain

    match value := plain(value):
        case None:
            return ""
        case dict():
            return ", ".join(f"{name} {each}" for name, each in value.items())
        case _:
            return str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows for people. What clients wrote is text, never markup and no control character."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else visible(str(value))) for value in row))
    # Into a file or a pipe a row is one line, however long.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
