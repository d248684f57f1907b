"""Takes the end of a partition's archive out of the table again: what was archived after the newest cut.

Only what processors work out again is taken out, and nothing is thrown away: the files are put aside first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from eventlog.archive import rows
from eventlog.archive.cuts import newest_cut
from eventlog.archive.objects import Objects
from eventlog.archive.past import fetch
from eventlog.archive.table import NoTable, Segment, Table
from eventlog.upkeep.compact import NotTheSame
from eventlog.upkeep.tiers import Move, digest_over

ASIDE = "archive/aside"


def rewind(objects: Objects, table: Table, partition: int, offset: int) -> int:
    """Have the partition's archive end before `offset`; the number of records that were put aside.

    Raises `NotTheSame` where what was put aside does not come back; then nothing has changed.
    """
    segments = [each for each in table.segments() if each.partition == partition and each.end > offset]
    position = table.next_offset(partition)
    if position is None or position <= offset:
        return 0
    kept: list[Segment] = []
    for segment in segments:
        data, aside = fetch(objects, segment), f"{ASIDE}/{table.topic}/{segment.path}"
        objects.put(aside, data)
        if rows.digest_of(objects.get(aside)) != segment.digest:
            raise NotTheSame(f"{segment.span}: the store gives back something else than was put to {aside}")
        if segment.begin < offset:
            kept.append(_head(objects, segment, data, offset))
    table.rewind(partition, segments, kept, position, offset)
    return sum(each.records for each in segments) - sum(each.records for each in kept)


def _head(objects: Objects, segment: Segment, data: bytes, offset: int) -> Segment:
    """The part of a file before the offset, as a file of its own that was written and read back."""
    import pyarrow.compute as pc

    table = rows.from_file(data)
    table = table.filter(pc.less(table.column("offset"), offset))
    made = rows.to_file(table, segment.topic, segment.partition, segment.begin, offset)
    head = Segment(
        segment.topic,
        segment.partition,
        segment.begin,
        offset,
        segment.tier,
        rows.digest_of(made),
        len(made),
        table.num_rows,
        int(time.time() * 1000),
    )
    objects.put(head.key, made)
    fetch(objects, head)
    return head


def moves_aside(objects: Objects, topics: Iterable[str]) -> Iterator[Move]:
    """What was put aside to go back to the newest cut: to be told once there is a log again."""
    if (cut := newest_cut(objects)) is None:
        return
    for topic in topics:
        try:
            found = Table(objects, topic).rewound(cut.taken_ms)
        except NoTable:
            continue
        for segments, offset in found:
            size = sum(segment.size for segment in segments)
            first, last = segments[0], segments[-1]
            yield Move(
                topic, first.partition, first.tier, "aside", offset, last.end, len(segments), size, size, 0.0, 0.0,
                "after the newest cut", digest_over(segments),
            )  # fmt: skip
