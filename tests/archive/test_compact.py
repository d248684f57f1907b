"""Compaction changes no record, whatever is done to it on its way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventlog.archive.frozen import RangeFrozen
from eventlog.archive.objects import Objects
from eventlog.archive.past import Damaged
from eventlog.archive.table import Table
from eventlog.errors import Fenced
from eventlog.upkeep.compact import NotTheSame, compact, runs, sweep, to_sweep
from eventlog.upkeep.freeze import freeze
from eventlog.upkeep.policy import Policy, TopicPolicy
from eventlog.upkeep.rewind import rewind
from eventlog.upkeep.tiers import compactions
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


DAY_MS = 24 * 3600 * 1000


def test_a_file_holds_a_day_that_is_over_or_is_full(archive: Archive) -> None:
    whole(archive, files=6)
    days = [
        replace(each, written_ms=day * DAY_MS + 7)
        for each, day in zip(archive.segments(), (3, 3, 4, 5, 5, 5), strict=True)
    ]
    assert [len(run) for run in runs(days)] == [2, 3], "none goes beyond a day"
    assert [len(run) for run in runs(days, today=5)] == [2, 1, 3], "of a day that is over one alone, too"
    assert [len(run) for run in runs(days, today=5, waiting={5})] == [2, 1]
    full = days[3].size + days[4].size
    assert [len(run) for run in runs(days, full, today=5, waiting={5})] == [2, 1, 2]
    noon = 6 * DAY_MS - DAY_MS // 2
    policy = Policy(default=TopicPolicy(compact_after="6h"))
    assert [len(run) for run in compactions(days, policy, noon)] == [2, 1]
    assert [len(run) for run in compactions(days, policy, noon + DAY_MS)] == [2, 1, 3]
    half = [*days[:3], *(replace(each, written_ms=noon + n) for n, each in enumerate(days[3:]))]
    day_old = Policy(default=TopicPolicy(compact_after="1d"))
    assert [len(run) for run in compactions(half, day_old, noon + DAY_MS + 1)] == [2, 1], "some of the day are young"
    assert [len(run) for run in compactions(half, day_old, noon + DAY_MS + 2)] == [2, 1, 3]
    at_once = Policy(default=TopicPolicy(compact_after="0h"))
    assert [len(run) for run in compactions(half, at_once, noon + 2)] == [2, 1, 3]


def test_a_file_of_a_day_alone_becomes_cold(archive: Archive) -> None:
    records = whole(archive, files=1)
    made = compact(archive.objects, archive.table, archive.segments()).made
    assert (made.tier, made.records) == ("cold", len(records))
    check(archive, records, files=1)


def test_what_another_one_has_replaced_is_not_missing(archive: Archive) -> None:
    records = whole(archive)
    (run,) = runs(archive.segments())
    compact(archive.objects, archive.table, run)
    sweep(archive.objects, archive.table)
    with pytest.raises(Fenced, match="replaced by another one"):
        compact(archive.objects, archive.table, run)
    check(archive, records, files=1)


def test_only_what_is_new_is_swept(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(archive, files=3)
    assert to_sweep(archive.objects, archive.table), "nobody has looked yet"
    assert not sweep(archive.objects, archive.table)
    assert not to_sweep(archive.objects, archive.table)
    compacted(archive)
    assert to_sweep(archive.objects, archive.table)
    assert len(sweep(archive.objects, archive.table)) == 3
    records = of(archive.topic, drawn(400))
    archive.write(records, files=2)
    read: list[int] = []
    history = Table._history

    def counted(self: Table, wanted: Any) -> list[Any]:
        found = history(self, wanted)
        read.append(len(found))
        return found

    monkeypatch.setattr(Table, "_history", counted)
    assert not to_sweep(archive.objects, archive.table), "files came, and none was replaced"
    assert not to_sweep(archive.objects, archive.table)
    assert read == [2], "what was read before is not read again"
    archive.objects.delete(f"archive/log/{archive.topic}/_swept.json")
    assert to_sweep(archive.objects, archive.table)
    assert not sweep(archive.objects, archive.table)
    check(archive, records, files=3)


def test_history_is_read_as_far_as_it_is_wanted(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    from eventlog.archive import table as module

    monkeypatch.setattr(module, "HISTORY_READ", 1)
    whole(archive, files=6)
    table = archive.table
    before = table.version()
    for at in (0, 3):
        compact(archive.objects, table, archive.segments()[at and 1 :][:3])
    assert [len(sources) for sources, _ in table.replaced()] == [3, 3]
    assert [made.begin > 0 for _, made in table.replaced(before + 1)] == [True]
    assert table.replaced(table.version()) == []


def test_a_sweep_lists_no_commits(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are many more of them than of files."""
    whole(archive)
    compacted(archive)
    ages, listed = Objects.ages, set[str]()

    def noted(self: Objects, prefix: str) -> list[tuple[str, float]]:
        found = list(ages(self, prefix))
        listed.update(key for key, _ in found)
        return found

    monkeypatch.setattr(Objects, "ages", noted)
    assert len(sweep(archive.objects, archive.table)) == 5
    assert len(listed) == 6


def test_state_is_not_compacted_over_what_is_frozen_unasked(archive: Archive) -> None:
    whole(archive, files=4)
    first = compact(archive.objects, archive.table, archive.segments()[:2]).made
    freeze(archive.objects, archive.table, first, "SIMULATED")
    before = archive.segments()
    with pytest.raises(RangeFrozen, match="onefact archive restore"):
        compact(archive.objects, archive.table, before, latest=True)
    assert archive.segments() == before
    patient = archive.settings.model_copy(update={"archive_restore": "Expedited", "archive_look_s": 0.1})
    compact(Objects(patient), archive.table, before, latest=True)
    assert len(archive.segments()) == 1


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
    put_in_place = Table.replace

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Table, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            compacted(archive)
    check(archive, records, files=5)
    assert not sweep(archive.objects, archive.table), "a new file that nobody committed may be somebody's at work"
    with monkeypatch.context() as patch:
        patch.setattr(Table, "replace", lambda *given, **named: (put_in_place(*given, **named), die()))
        with pytest.raises(KeyboardInterrupt):
            compacted(archive)
    check(archive, records, files=1)
    assert len(sweep(archive.objects, archive.table)) == 5
    check(archive, records, files=1)


def test_what_was_left_behind_and_is_made_again_meanwhile_stays(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = whole(archive)
    with monkeypatch.context() as patch:
        patch.setattr(Table, "replace", lambda *_, **__: None)
        compacted(archive)
    ages, replaced = Objects.ages, Table.replaced

    def long_ago(self: Objects, prefix: str) -> list[tuple[str, float]]:
        return [(key, age_s + (1e6 if prefix.endswith("/") else 0)) for key, age_s in ages(self, prefix)]

    def meanwhile(self: Table, since: int | None) -> list:
        found = list(replaced(self, since))
        compacted(archive)
        return found

    monkeypatch.setattr(Objects, "ages", long_ago)
    monkeypatch.setattr(Table, "replaced", meanwhile)
    assert not sweep(archive.objects, archive.table)
    check(archive, records, files=1)


def test_what_is_put_aside_is_read_back_before_it_goes(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    records = whole(archive, files=3)
    before, put = archive.segments(), Objects.put

    def other(self: Objects, key: str, data: bytes, *more: Any) -> None:
        put(self, key, data[:-1] + b"?" if key.startswith("archive/aside/") else data, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "put", other)
        with pytest.raises(NotTheSame, match="archive/aside"):
            rewind(archive.objects, archive.table, 0, before[1].begin + 5)
    check(archive, records, files=3)
    assert rewind(archive.objects, archive.table, 0, before[1].begin + 5) > 0
    assert archive.table.next_offset(0) == before[1].begin + 5
    ((gone, _),) = archive.table.rewound(0)
    assert gone == before[1:]
