"""Values as Postgres reads them: COPY lines, array literals, and text that holds what a text column cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eventlog.envelope import time_text
from eventlog.models import ColumnType

# Postgres text cannot hold U+0000. It is kept as the symbol for it, U+2400, and that symbol (and the one that marks it,
# U+241B) behind a U+241B. So text is never lost, two different keys never become one, and a person sees what was there.
_NUL, _NUL_SHOWN, _MARK = "\x00", "\u2400", "\u241b"
_HIDDEN = re.compile(f"[{_NUL}{_NUL_SHOWN}{_MARK}]")
_SHOWN = re.compile(f"{_MARK}([{_NUL_SHOWN}{_MARK}])|{_NUL_SHOWN}")

_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_COPY_SPECIAL = ("\\", "\t", "\n", "\r", _NUL, _NUL_SHOWN, _MARK)
_COPY_NULL = "\\N"


def storable(text: str) -> str:
    """Text as a text column can hold it; `original` is its inverse."""
    if _HIDDEN.search(text) is None:
        return text
    return _HIDDEN.sub(lambda found: _NUL_SHOWN if found[0] == _NUL else _MARK + found[0], text)


def original(text: str) -> str:
    """Text as it was before `storable`."""
    if _NUL_SHOWN not in text and _MARK not in text:
        return text
    return _SHOWN.sub(lambda found: found[1] or _NUL, text)


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
