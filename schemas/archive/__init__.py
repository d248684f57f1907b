"""The archive's vocabulary: what was moved from where to where, each move a fact of its own."""

from __future__ import annotations

from typing import ClassVar

from eventlog.message import Event
from eventlog.topics import Domain, Topic


class RecordsMoved(Event, frozen=True, kw_only=True):
    """A range of a partition's records lies elsewhere now, or in other files.

    Told before the source is given up, at least once: a tool that was killed in between tells it again under the same
    `ce_id`. Readers drop what they have under a `ce_id` already.
    """

    stream_field: ClassVar[str] = "place"
    namespace: ClassVar[str] = "onefact.archive"

    place: str
    """Topic and partition, as in `trading.events:3`."""
    source: str
    """`kafka`, or a tier of the archive: `warm`, `cold`, `frozen`."""
    target: str
    """A tier; `archive`, where Kafka's own copy was given up; `aside`, where a cluster was brought back to before them;
    `deleted`."""
    first_offset: int
    next_offset: int
    bytes_before: int
    bytes_after: int
    digest: str
    """SHA-256 of the file that holds them now; of what was deleted, the file that held them. Where those are several,
    SHA-256 over their digests in the order of offsets, each in hexadecimal and a line."""
    why: str


MOVES = Topic("archive.moves", (RecordsMoved,))
"""Written by `onefact archive tier`."""

ARCHIVE = Domain("archive", facts=(MOVES,))
