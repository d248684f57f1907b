"""Keys of read models as people and programs give them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from eventlog.envelope import parse_time
from eventlog.errors import BadInput
from eventlog.models import ColumnType, Graph, Key, Model, Row, Value


def key_of(model: Model, given: Value | Sequence[Value]) -> Key:
    """The key, or the first columns of one, with the types of the model's columns; text is read as its column's type.

    Raises `BadInput` when there are more values than key columns, or one cannot be read.
    """
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    if isinstance(model, Graph) and len(values) == 2 and values[0] in model.nodes:
        values += ("",)  # a node is named by its label and its key
    if len(values) > len(model.key):
        raise BadInput(f"{model.name} has the key {described(model)}; {len(values)} values were given")
    return tuple(_typed(model, column, value) for column, value in zip(model.key, values, strict=False))


def from_words(model: Model, words: Sequence[str]) -> Key:
    """A key from the command line: a word per column, or `A/B` in one word (`A/` for an A that has a slash itself)."""
    if len(words) == 1 and len(model.key) > 1:
        words = [word for word in words[0].rsplit("/", len(model.key) - 1) if word]
    return key_of(model, tuple(words))


def described(model: Model) -> str:
    """The key's columns as a person writes them."""
    return "/".join(model.key)


def row_key(model: Model, row: Row) -> Key:
    """The key of a row."""
    return tuple(row[column] for column in model.key)


def _typed(model: Model, column: str, value: Any) -> Value:
    kind = model.columns[column]
    if kind == "text":
        if not isinstance(value, str):
            raise BadInput(f"{column} of {model.name} is text, not {value!r}")
        return value
    if not isinstance(value, str):
        return value  # type: ignore[no-any-return]
    try:
        return _read(kind, value)
    except (ValueError, InvalidOperation):
        raise BadInput(f"{column} of {model.name} is of type {kind}, not {value[:60]!r}") from None


def _read(kind: ColumnType, text: str) -> Value:
    match kind:
        case "integer":
            return int(text)
        case "decimal":
            return Decimal(text)
        case "time":
            return parse_time(text)
        case "boolean":
            return {"true": True, "false": False}[text] if text in ("true", "false") else bool(int(text))
        case _:
            return text
