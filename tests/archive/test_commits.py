"""Commits of a table: what they say is read as far back as it is wanted, and old ones are needed by nobody."""

from __future__ import annotations

from typing import Any

import pytest

from eventlog.archive import table as module
from eventlog.envelope import Record
from eventlog.upkeep.compact import sweep, to_sweep
from eventlog.upkeep.verify import verify
from tests.archive.conftest import Archive
from tests.archive.test_compact import check, compacted, whole
from tests.archive.test_sink import contents, drawn, of


def test_commits_are_numbered_right_where_one_comes_meanwhile(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltalake import DeltaTable

    whole(archive)
    table, history = archive.table, DeltaTable.history
    before = table.version()
    compacted(archive)
    more = iter([400])

    def late(self: DeltaTable, limit: int | None = None) -> list[Any]:
        if (count := next(more, None)) is not None:
            archive.write(of(archive.topic, drawn(count)))
        return history(self, limit)

    monkeypatch.setattr(DeltaTable, "history", late)
    assert [len(sources) for sources, _ in table.replaced(before)] == [5], "what comes next after the version"
    assert table.version() == before + 2


def delta_log(archive: Archive, kind: str = ".json") -> int:
    return sum(key.endswith(kind) for key, _ in archive.objects.keys(f"archive/log/{archive.topic}/_delta_log/"))


def test_commits_that_a_checkpoint_stands_for_are_dropped(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody goes on, also who has opened the table at one of them."""
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(module, "COMMITS_KEPT", "interval 0 seconds")
    whole(archive, count=100, files=3)
    early, late = archive.table, archive.sink(1)
    assert (len(early.segments()), late.open(lambda: 7)) == (3, 7)
    whole(archive, count=400, files=10)
    compacted(archive)
    records = whole(archive, count=600, files=8)
    commits = early.version() + 1
    assert delta_log(archive) == commits
    told: list[int] = []
    assert len(sweep(archive.objects, archive.table, before=lambda sources, _: told.append(len(sources)))) == 13
    assert told == [13], "before the commit that says so is dropped"
    assert delta_log(archive) <= 5 < commits
    assert delta_log(archive, ".checkpoint.parquet") == 1
    check(archive, records, files=9)
    assert early.segments() == archive.segments()
    assert early.next_offset(0) == records[-1].offset + 1
    late.add([Record(archive.topic, 1, 7, 0, b"k", None, [])])
    late.flush()
    assert archive.table.look(1).begin == 7
    assert not to_sweep(archive.objects, archive.table)
    archive.objects.delete(f"archive/log/{archive.topic}/_swept.json")
    assert to_sweep(archive.objects, archive.table)
    assert not sweep(archive.objects, archive.table)
    more = of(archive.topic, drawn(700))
    archive.write(more, files=6)
    compacted(archive)
    assert len(sweep(archive.objects, early)) == 14, "what was replaced since"
    assert contents(archive.read(0, more[-1].offset + 1)) == contents(more)
    for partition in (0, 1):
        assert not verify(archive.objects, None, archive.topic, partition).faults


def test_young_commits_and_those_without_a_checkpoint_stay(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 5)
    whole(archive, files=12)
    sweep(archive.objects, archive.table)
    assert delta_log(archive) == archive.table.version() + 1, "they are young"
    other = Archive(archive.objects, archive.settings, f"{archive.topic}.other")
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 50)
    monkeypatch.setattr(module, "COMMITS_KEPT", "interval 0 seconds")
    records = whole(other, files=7)
    sweep(other.objects, other.table)
    assert delta_log(other) == other.table.version() + 1
    check(other, records, files=7)
