"""One partition's archive is written exactly once: by retries, by a second archiver, by one that was killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import pytest

from eventlog.archive.objects import Objects
from eventlog.archive.past import Damaged
from eventlog.archive.sink import PartitionSink
from eventlog.archive.table import Table
from eventlog.envelope import Record
from eventlog.errors import Fenced, Hole, OnefactError
from eventlog.settings import Settings
from eventlog.upkeep.verify import verify
from tests.archive.conftest import Archive


def drawn(count: int, seed: int = 1) -> list[Record]:
    """The same records for the same seed; offsets with gaps."""
    draw, offset, made = random.Random(seed), 0, []
    for number in range(count):
        offset += draw.choice((1, 1, 1, 2, 5))
        key = draw.choice((None, b"", draw.randbytes(8)))
        value = draw.choice((None, b"", draw.randbytes(draw.randrange(200))))
        names = ("ce_id", "ce_id", "\udcff\udc80", "é")
        headers = [(draw.choice(names), draw.choice((None, b"", draw.randbytes(4)))) for _ in range(draw.randrange(4))]
        made.append(Record("", 0, offset, 1_700_000_000_000 + number, key, value, headers, number % 2))
    return made


def contents(records: list[Record]) -> list[tuple]:
    """All but the topic; no headers are no headers, whatever the sequence."""
    return [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers)) for r in records]


def of(topic: str, records: list[Record]) -> list[Record]:
    for record in records:
        record.topic = topic
    return records


def test_what_was_archived_is_read_back(archive: Archive) -> None:
    records = of(archive.topic, drawn(500))
    archive.write(records, files=4)
    end = records[-1].offset + 1
    read = archive.read(0, end)
    assert contents(read) == contents(records)
    middle = records[100].offset
    assert [r.offset for r in archive.read(middle, middle + 50)] == [
        r.offset for r in records if middle <= r.offset < middle + 50
    ]
    assert len(archive.segments()) == 4
    assert not verify(archive.objects, None, archive.topic, 0).faults


def test_a_second_archiver_is_refused(archive: Archive) -> None:
    records = of(archive.topic, drawn(40))
    first, second = archive.sink(), archive.sink()
    assert (first.open(lambda: 0), second.open(lambda: 0)) == (0, 0)
    first.add(records[:20])
    first.flush()
    second.add(records[:10])
    with pytest.raises(Fenced):
        second.flush()
    assert second.open(lambda: 0) == records[19].offset + 1
    second.add(records[20:])
    second.flush()
    first.add(records[20:30])
    with pytest.raises(Fenced):
        first.flush()
    assert [r.offset for r in archive.read(0, records[-1].offset + 1)] == [r.offset for r in records]


def test_two_partitions_share_one_handle_of_the_table(archive: Archive) -> None:
    """The handle is brought up to date by one partition's commit: another's fence must not be lost by that."""
    records = of(archive.topic, drawn(40))
    table = archive.table
    mine, other = (PartitionSink(archive.objects, table, p) for p in (0, 1))
    mine.open(lambda: 0)
    other.open(lambda: 0)
    thief = archive.sink()
    thief.open(lambda: 0)
    thief.add(records[:20])
    thief.flush()
    other.add([Record(archive.topic, 1, 5, 0, None, None, [])])
    other.flush()
    mine.add(records[:19])  # were it the same file, it would be taken for its own commit: rightly
    with pytest.raises(Fenced):
        mine.flush()


def test_an_answer_that_was_lost_is_found(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit was made, and its writer did not hear of it."""
    records = of(archive.topic, drawn(40))
    sink = archive.sink()
    sink.open(lambda: 0)
    sink.add(records[:20])
    append = Table.append

    def silent(self: Table, *arguments: object) -> None:
        append(self, *arguments)  # type: ignore[arg-type]
        raise OSError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "append", silent)
        with pytest.raises(OSError, match="lost"):
            sink.flush()
    assert sink.flush() == 20  # tried again as it is
    sink.add(records[20:])
    sink.flush()
    assert [r.offset for r in archive.read(0, records[-1].offset + 1)] == [r.offset for r in records]


def test_killed_anywhere_it_goes_on(archive: Archive) -> None:
    """Before and after each write of a file and each commit; what was written and not committed is no data."""
    environment = os.environ | {"ONEFACT_S3": archive.settings.s3}
    program = [sys.executable, "-m", "tests.archive.killed", archive.topic]
    points = {"before file": 1, "after file": 2, "before commit": 3, "after commit": 5}
    for point, committed in points.items():
        killed = subprocess.run([*program, point, "2"], env=environment, check=False, timeout=120)
        assert killed.returncode == -signal.SIGKILL
        assert len(archive.segments()) == committed, point
    assert subprocess.run([*program, "never", "0"], env=environment, check=False, timeout=120).returncode == 0
    records = drawn(400, seed=7)
    assert contents(archive.read(0, records[-1].offset + 1)) == contents(records)
    assert not verify(archive.objects, None, archive.topic, 0).faults


def test_a_missing_and_an_altered_file_are_named_by_their_offsets(archive: Archive, objects: Objects) -> None:
    records = of(archive.topic, drawn(90))
    archive.write(records, files=3)
    first, second, third = archive.segments()
    data = bytearray(objects.get(second.key))
    data[len(data) // 2] ^= 1
    objects.put(second.key, bytes(data))
    objects.delete(third.key)
    found = verify(objects, None, archive.topic, 0).faults
    assert [(f.begin, f.end) for f in found] == [(second.begin, second.end), (third.begin, third.end)]
    assert "altered" in found[0].what
    assert "missing" in found[1].what
    assert archive.read(0, first.end)
    with pytest.raises(Damaged, match=f"offsets {second.begin} to {second.end - 1}"):
        archive.read(0, third.end)
    with pytest.raises(Hole, match=f"offsets {third.end} to {third.end + 9} "):
        archive.read(third.end, third.end + 10)


def test_records_are_not_taken_twice(archive: Archive) -> None:
    records = of(archive.topic, drawn(20))
    sink = archive.sink()
    sink.open(lambda: 0)
    sink.add(records[:10])
    with pytest.raises(OnefactError, match="taken before"):
        sink.add(records[9:])


def test_schemas_are_archived_before_the_file(archive: Archive) -> None:
    """A file in the table without the schema of its records could not be read in an empty cluster."""
    asked: list[tuple[set[int], int]] = []
    sink = archive.sink(before_commit=lambda ids: asked.append((ids, len(archive.segments()))))
    sink.open(lambda: 0)
    values = [b"\x00\x00\x00\x00\x07abc", b"\x00\x00\x00\x01\x00", b"\x01\x00\x00\x00\x09", b"", None]
    sink.add([Record(archive.topic, 0, n, 0, None, value, []) for n, value in enumerate(values)])
    sink.flush()
    assert asked == [({7, 256}, 0)]


def test_an_address_without_a_bucket_says_what_it_should_be() -> None:
    with pytest.raises(OnefactError, match="HOST"):
        Objects(Settings(s3="http://a:b@host:1/"))
