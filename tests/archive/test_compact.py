"""Compaction changes no record, whatever is done to it on its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlog.archive.objects import Objects
from eventlog.archive.past import Damaged
from eventlog.archive.table import Table
from eventlog.errors import Fenced
from eventlog.upkeep.compact import NotTheSame, compact, runs, sweep
from eventlog.upkeep.verify import verify
from tests.archive.conftest import Archive
from tests.archive.test_sink import contents, drawn, of


def whole(archive: Archive, count: int = 200, files: int = 5) -> list:
    records = of(archive.topic, drawn(count))
    archive.write(records, files)
    return records


def compacted(archive: Archive) -> None:
    for run in runs(archive.segments()):
        compact(archive.objects, archive.table, run)


def check(archive: Archive, records: list, files: int) -> None:
    assert contents(archive.read(0, records[-1].offset + 1)) == contents(records)
    assert not verify(archive.objects, None, archive.topic, 0).faults
    assert len(archive.segments()) == files


def test_the_same_records_in_one_file(archive: Archive) -> None:
    records = whole(archive)
    reading = archive.past.batches(archive.topic, 0, 0, records[-1].offset + 1)
    first, _ = next(reading)  # a reader that has begun on the small files
    compacted(archive)
    check(archive, records, files=1)
    assert len(sweep(archive.objects, archive.table)) == 5
    check(archive, records, files=1)
    rest = [message for messages, _ in reading for message in messages]
    assert [m.offset() for m in (*first, *rest)] == [r.offset for r in records]
    sink = archive.sink()
    assert sink.open(lambda: 0) == records[-1].offset + 1, "the position stays"


def test_runs_end_where_a_file_is_full_or_cold(archive: Archive) -> None:
    whole(archive, files=6)
    segments = archive.segments()
    sizes = [segment.size for segment in segments]
    assert [len(run) for run in runs(segments, 2 * max(sizes))] == [2, 2, 2]
    assert [len(run) for run in runs(segments)] == [6]
    assert [len(run) for run in runs([*segments[:2], *segments[3:]])] == [2, 3]


def test_two_at_once_make_one(archive: Archive) -> None:
    records = whole(archive)
    (run,) = runs(archive.segments())
    compact(archive.objects, archive.table, run)
    with pytest.raises(Fenced):
        compact(archive.objects, archive.table, run)
    check(archive, records, files=1)


@pytest.mark.parametrize("planted", ["lost tail", "other bytes", "wrong read back", "altered source"])
def test_what_differs_replaces_nothing(archive: Archive, monkeypatch: pytest.MonkeyPatch, planted: str) -> None:
    from eventlog.upkeep import compact as module

    records = whole(archive)
    (run,) = runs(archive.segments())
    error: type[Exception] = NotTheSame
    with monkeypatch.context() as patch:
        if planted == "lost tail":
            write = module._write
            patch.setattr(module, "_write", lambda objects, sources, path, *_: write(objects, sources[:-1], path))
        elif planted == "other bytes":
            write = module._write
            other = Archive(archive.objects, archive.settings, archive.topic + "b")
            other.write(of(other.topic, drawn(200, seed=2)), files=5)
            patch.setattr(module, "_write", lambda objects, _, path, *__: write(objects, other.segments(), path))
        elif planted == "wrong read back":
            get = Objects.get_file

            def wrong(self: Objects, key: str, path: Path) -> None:
                get(self, key, path)
                path.write_bytes(path.read_bytes()[:-1] + b"?")

            patch.setattr(Objects, "get_file", wrong)
        else:
            archive.objects.put(run[1].key, b"?")
            error = Damaged
        with pytest.raises(error):
            compact(archive.objects, archive.table, run)
    assert archive.segments() == list(run)
    if planted != "altered source":
        check(archive, records, files=5)


def test_killed_before_and_after_the_commit(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run that ended left behind is no data; the next one does it, and the sweep clears up after both."""
    records = whole(archive)
    replace = Table.replace

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Table, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            compacted(archive)
    check(archive, records, files=5)
    assert not sweep(archive.objects, archive.table), "a new file that nobody committed may be somebody's at work"
    with monkeypatch.context() as patch:
        patch.setattr(Table, "replace", lambda *given, **named: (replace(*given, **named), die()))
        with pytest.raises(KeyboardInterrupt):
            compacted(archive)
    check(archive, records, files=1)
    assert len(sweep(archive.objects, archive.table)) == 5
    check(archive, records, files=1)
