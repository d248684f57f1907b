"""Where a read model's rows are in Redis, and how their values are written.

`onefact:MODEL:live` is the live version's number, `:previous` that of the one before, `:versions` the set of those that
exist, `:last` the highest number ever given, `:notes` (a hash) what was noted of those that never were live. Under
`onefact:MODEL:vN:` are `progress` (a hash: `topic:partition` to `next fence`), `declared` (what the columns mean) and
the rows: for a `Hash` one hash `row:KEY` each, with the key's own column too, so that a row without others exists; for
a `Timeline` one sorted set `row:KEY` each, of microseconds since 1970; for a `Feed` one list `row:KEY` each, of `[ms
since 1970, {column: value}]` in JSON, newest first, which expires a while after all of its entries have; for a
`SortedSet` the sorted set `scores` and the hash `exact` with each score's exact text (empty where a row has no score).
Values of hashes are text: plain digits, UTC times, `true` and `false`; a column that is None has no field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from eventlog import decimals
from eventlog.envelope import parse_time, time_text
from eventlog.errors import BadInput
from eventlog.memory import entry, feed_row, shaped, shown_since
from eventlog.models import ColumnType, Feed, Hash, Key, Model, Row, SortedSet, Timeline
from eventlog.operations import Newest, Push, stamp_of

Writer = tuple[Callable[[Any], str], bool]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

EXPIRY_SLACK = timedelta(minutes=1)
"""Between the last entry's expiry and that of its list: readers leave out what has expired by their own clock."""
WRITERS_MAX = 10_000
"""Columns are few, but entries of maps may be any number."""


class Layout:
    """Names of one model's keys."""

    def __init__(self, model: Model) -> None:
        if not isinstance(model, Hash | SortedSet | Feed):
            raise BadInput(f"read model {model.name} is not a Hash, a SortedSet or a Feed; Redis keeps only those")
        if len(model.key) != 1:
            raise BadInput(f"read model {model.name}: a key in Redis is one column, not {', '.join(model.key)}")
        if isinstance(model, SortedSet):
            _check_sorted_set(model)
        self.model = model
        self.key_column = model.key[0]
        self.key_kind = model.columns[self.key_column]
        self.base = f"onefact:{model.name}"
        self.live = f"{self.base}:live"
        self.writers: dict[str, Writer] = {}
        self._decode_element = _element_decoder(model) if isinstance(model, Feed) else None

    def declared(self) -> list[str]:
        """What rows of the model mean, name and meaning in turn: rows written under another meaning are not its."""
        kinds: dict[str, str] = dict(self.model.columns)
        if isinstance(self.model, Hash):
            kinds |= {name: f"map of {kind}" for name, kind in self.model.maps.items()}
        kinds["the model"] = f"{type(self.model).__name__} by {self.key_column}"
        if isinstance(self.model, Feed):
            kinds |= {f"entries.{name}": kind for name, kind in self.model.entry.items()}
            kinds["what is kept"] = f"{self.model.limit} entries, each for {self.model.expires or 'ever'}"
        return [part for named in kinds.items() for part in named]

    def prefix(self, version: int) -> str:
        return f"{self.base}:v{version}:"

    def member(self, key: Key) -> str:
        """The key's value as text: the end of a row's name, or a member of the sorted set."""
        (value,) = key
        if value is None:
            raise BadInput(f"read model {self.model.name}: the key {self.key_column} is None")
        return SHOWN[self.key_kind](value)

    def kind(self, column: str) -> tuple[ColumnType, bool]:
        """Type of a column, or of an entry of a map (`column.entry`), and whether it is such an entry."""
        kind = self.model.columns.get(column)
        if kind is not None:
            return kind, False
        name, dot, _ = column.partition(".")
        if dot and isinstance(self.model, Hash) and name in self.model.maps:
            return self.model.maps[name], True
        raise KeyError(f"model {self.model.name} has no column {column}; it has {', '.join(self.model.columns)}")

    def writer(self, column: str) -> Writer:
        """How a column's values are written, and whether it is a map's entry; remembered in `writers` for a while."""
        kind, entry = self.kind(column)
        if len(self.writers) >= WRITERS_MAX:
            self.writers = {}
        writer = self.writers[column] = (SHOWN[kind], entry)
        return writer

    def row(self, fields: dict[str, str]) -> Row:
        """A row from a hash's fields; those that the model does not have (any more) are left out."""
        columns: dict[str, Any] = {}
        for field, text in fields.items():
            try:
                kind, _ = self.kind(field)
            except KeyError:
                continue
            columns[field] = read(kind, text)
        return shaped(self.model, columns)

    def element(self, push: Push) -> str:
        """An entry as an element of a feed's list."""
        assert isinstance(self.model, Feed)
        values = entry(self.model, push)
        for name, kind in self.model.entry.items():
            if values[name] is not None:
                values[name] = _IN_JSON[kind](values[name])
        return msgspec.json.encode((milliseconds(push.at), values)).decode()

    def feed(self, member: str, elements: Sequence[str], now: datetime) -> Row | None:
        """A feed's row of its list's elements; None where they have all expired."""
        model, decode = self.model, self._decode_element
        assert isinstance(model, Feed)
        assert decode is not None
        begun = shown_since(model, now)
        found = map(decode, elements)
        if begun is not None:
            least = milliseconds(begun)
            found = filter(lambda each: each[0] > least, found)  # type: ignore[assignment]
        asdict = msgspec.structs.asdict
        entries = [asdict(values) for _, values in found]
        return feed_row(model, read(self.key_kind, member), entries)

    def expires_ms(self, pushes: Sequence[Push]) -> int:
        """When the list of these entries may go, in ms since 1970; 0 for never."""
        model = self.model
        assert isinstance(model, Feed)
        if model.expires is None:
            return 0
        return max(milliseconds(push.at) for push in pushes) + (model.expires + EXPIRY_SLACK) // timedelta(
            milliseconds=1
        )

    def stamp(self, newest: Newest) -> str:
        """What says how new a row is, so that the greater text is the newer: in hex, whatever the server's locale."""
        values = zip(newest.by, stamp_of(newest), strict=True)
        return b"".join(_sortable(self.model.columns[name], value) for name, value in values).hex()

    def timeline(self, member: str, found: Sequence[str]) -> Row | None:
        """A row of a sorted set's members, each followed by its score; None where there are none."""
        model = self.model
        assert isinstance(model, Timeline)
        if not found:
            return None
        times = {f"{model.times}.{name}": _time(at) for name, at in zip(found[::2], found[1::2], strict=True)}
        return shaped(model, {self.key_column: read(self.key_kind, member), **times})

    def scored(self, member: str, exact: str | None, place: str | None) -> Row | None:
        """A row of a sorted set: its exact score, beside the number that it is ranked by; None where it has no row.

        Where somebody changed the one and not the other, what readers see is the place in the ranking.
        """
        assert isinstance(self.model, SortedSet)
        score = Decimal(exact) if exact else None
        if place is None and (exact is None or score is not None):
            return None
        if place is not None and (score is None or float(score) != float(place)):
            score = Decimal(repr(float(place)))
        return shaped(self.model, {self.key_column: read(self.key_kind, member), self.model.score: score})


def _time(score: str) -> datetime:
    micros = int(float(score))
    # Scores are doubles: the first and the last time that there are may come back a little outside.
    return _EPOCH + timedelta(microseconds=min(max(micros, microseconds(_FIRST)), microseconds(_LAST)))


def _check_sorted_set(model: SortedSet) -> None:
    if model.columns.get(model.score) != "decimal":
        raise BadInput(f"read model {model.name}: its score {model.score!r} must be a decimal column")
    others = [name for name in model.columns if name not in (*model.key, model.score)]
    if others:
        raise BadInput(
            f"read model {model.name}: a sorted set has no other columns; use a Hash for {', '.join(others)}"
        )


def _element_decoder(model: Feed) -> Callable[[str], tuple[int, msgspec.Struct]]:
    """From an element to its time and its columns; one that is missing is None, one that is not known is left out."""
    columns = [(name, _PYTHON[kind] | None, None) for name, kind in model.entry.items()]
    shape = msgspec.defstruct("Entry", columns, gc=False)
    return msgspec.json.Decoder(tuple[int, shape]).decode  # type: ignore[valid-type]


def microseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def milliseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def _sortable(kind: ColumnType, value: Any) -> bytes:
    """Bytes in the order of the values, none of which is the beginning of another."""
    match kind:
        case "time":
            micros: int = (value - _EPOCH) // timedelta(microseconds=1)
            return (micros + (1 << 63)).to_bytes(8, "big")
        case "integer":
            return (int(value) + (1 << 63)).to_bytes(8, "big")
        case "text":
            return text(value).encode() + b"\0"  # which no text has that is storable
        case _:
            raise TypeError(f"a {kind} cannot say which fact is the newer one; use times, integers or text")


def text(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"want text, got {value!r}")
    return value


def decimal_text(value: Decimal | int) -> str:
    return decimals.text(value if isinstance(value, Decimal) else Decimal(value))


def integer_text(value: int) -> str:
    return str(int(value))


def boolean_text(value: bool) -> str:
    return "true" if value else "false"


SHOWN: dict[ColumnType, Callable[[Any], str]] = {
    "text": text,
    "decimal": decimal_text,
    "integer": integer_text,
    "boolean": boolean_text,
    "time": time_text,
}
"""A value as Redis keeps it."""


_IN_JSON = SHOWN | {"integer": int, "boolean": bool}
"""A value as an element of a list has it."""
_PYTHON: dict[ColumnType, Any] = {"text": str, "decimal": Decimal, "integer": int, "boolean": bool, "time": datetime}


def read(kind: ColumnType, text: str) -> str | int | bool | Decimal | datetime:
    """The value that was written by `SHOWN`."""
    match kind:
        case "text":
            return text
        case "decimal":
            return Decimal(text)
        case "integer":
            return int(text)
        case "boolean":
            return text == "true"
        case "time":
            return parse_time(text)


def score(number: Decimal) -> str:
    """The sorted set's own number, the nearest double; Redis must not refuse it halfway through a script."""
    nearest = float(number)
    if math.isnan(nearest):
        raise BadInput(f"a score cannot be {number}")
    return repr(nearest)
