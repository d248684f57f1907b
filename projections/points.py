"""Points in the history of a log: a time, or a position."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from eventlog.envelope import parse_time
from eventlog.errors import BadInput
from eventlog.position import Position

Point = datetime | Position
"""Up to and including a time, or everything before a position."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_point(given: str | datetime | date | Position) -> Point:
    """A point as it is given: an RFC 3339 time with its zone, a date (its end, in UTC), or a position.

    Raises `BadInput` for anything else, and for a time without a zone.
    """
    match given:
        case Position():
            return given
        case datetime():
            if given.tzinfo is None:
                raise BadInput(f"the time {given.isoformat()} has no zone")
            return given.astimezone(UTC)
        case date():
            return datetime.combine(given, time.max, UTC)
    try:
        if _DATE.fullmatch(given):
            return datetime.combine(date.fromisoformat(given), time.max, UTC)
        if _DATE.match(given):
            return parse_time(given)
    except ValueError as error:
        raise BadInput(f"not a time: {error}") from None
    try:
        return Position.parse(given)
    except BadInput:
        raise BadInput(
            f"neither a time nor a position: {given[:80]!r}; write a time as 2006-01-31T16:00:00Z, "
            "a whole day as 2006-01-31, or give a position that `send --wait` returned"
        ) from None
