"""Values as Postgres reads them: COPY lines, array literals, and text that holds what a text column cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eventlog.envelope import time_text
from eventlog.models import ColumnType
from eventlog.storable import MARK, NUL, NUL_SHOWN, storable

_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_COPY_SPECIAL = ("\\", "\t", "\n", "\r", NUL, NUL_SHOWN, MARK)
_COPY_NULL = "\\N"


def _boolean(value: bool) -> str:
    return "t" if value else "f"


_SHOWN_AS: dict[ColumnType, Callable[[Any], str]] = {
    "integer": str,
    "decimal": str,
    "boolean": _boolean,
    "time": time_text,
}


def parameter(value: Any) -> Any:
    """A value as a bound parameter."""
    return storable(value) if isinstance(value, str) else value


def copy_lines(columns: Sequence[Sequence[Any]], types: Sequence[ColumnType]) -> bytes:
    """Columns of equal length as lines of COPY's text format."""
    shown = [_copy_column(column, kind) for column, kind in zip(columns, types, strict=True)]
    return ("\n".join(map("\t".join, zip(*shown, strict=True))) + "\n").encode()


def _copy_column(column: Sequence[Any], kind: ColumnType) -> Sequence[str]:
    if kind == "text":
        # One look at the whole column is far cheaper than one at each value; hardly any column needs more.
        present: Sequence[str] = [value for value in column if value is not None] if None in column else column
        joined = "".join(present)
        if not any(special in joined for special in _COPY_SPECIAL):
            return column if present is column else [_COPY_NULL if value is None else value for value in column]
        return [_COPY_NULL if v is None else storable(v).translate(_COPY_ESCAPES) for v in column]
    show = _SHOWN_AS[kind]
    return [_COPY_NULL if value is None else show(value) for value in column]


def array(column: Iterable[Any], kind: ColumnType) -> str:
    """A column as an array literal."""
    if kind == "text":
        return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in column]) + "}"
    show = _SHOWN_AS[kind]
    return "{" + ",".join(["NULL" if value is None else show(value) for value in column]) + "}"


def _quoted(text: str) -> str:
    return '"' + storable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
