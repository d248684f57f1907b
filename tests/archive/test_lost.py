"""An archive that is gone, in part or whole, is found: nothing to look at is no proof."""

from __future__ import annotations

import secrets

import pytest

from eventlog.archive import actions
from eventlog.archive.cuts import write_cut
from eventlog.archive.objects import Objects
from eventlog.archive.table import Segment, Table
from eventlog.reader import LogReader
from eventlog.upkeep.rewind import rewind
from eventlog.upkeep.verify import COMMITTED, NEITHER, verify, verify_all
from tests.archive.conftest import Archive
from tests.archive.test_one_reader import cut
from tests.archive.test_sink import drawn, of

GONE = "the archive of the topic is gone"


def found(archive: Archive, *, log: bool = True, objects: Objects | None = None) -> list[tuple[int, int, int, str]]:
    wanted = {archive.topic: False}
    with LogReader(archive.settings) as reader:
        proofs = list(verify_all(objects or archive.objects, reader if log else None, wanted))
    return [(each.partition, each.begin, each.end, each.what) for proof in proofs for each in proof.faults]


def lose(archive: Archive) -> None:
    for key, _ in list(archive.objects.keys(f"archive/log/{archive.topic}/")):
        archive.objects.delete(key)


def test_what_kafka_has_forgotten_and_the_archive_has_lost_is_named(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40, transactions=False)
    archive.write(archive.log())
    assert found(archive) == found(archive, log=False) == []
    lose(archive)
    assert found(archive) == [(0, 0, 40, GONE)], "Kafka has it yet, and nothing holds it after that"
    cut(archive, 30)
    assert found(archive) == [(0, 0, 30, NEITHER)]
    place = archive.settings.s3.rpartition("/")[0]
    empty = archive.settings.model_copy(update={"s3": f"{place}/empty-{secrets.token_hex(4)}"})
    assert found(archive, objects=Objects(empty)) == [(0, 0, 30, NEITHER)], "the bucket is gone, too"


def test_without_the_log_the_newest_cut_says_how_far_it_went(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40, transactions=False)
    archive.write(archive.log())
    lose(archive)
    assert (0, 0, 0, GONE) in found(archive, log=False)
    write_cut(archive.objects, {(archive.topic, 0): 40, (archive.topic, 1): 0})
    try:
        assert found(archive, log=False) == [(0, 0, 40, GONE)]
    finally:
        for key, _ in list(archive.objects.keys("archive/meta/cuts/")):
            archive.objects.delete(key)


def test_a_partition_that_the_archive_never_had_is_looked_at(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40, transactions=False)
    archive.publish(40, partition=1, transactions=False)
    archive.write(archive.log(1), partition=1)
    assert found(archive) == [], "the log has what the archive has not yet"
    cut(archive, 10)
    assert found(archive) == [(0, 0, 10, NEITHER)]


def drop(archive: Archive, gone: list[Segment]) -> None:
    """Take files out of the table as a tool does that knows nothing of where a partition begins."""
    from deltalake import CommitProperties

    table = archive.table
    removed = [actions.remove(segment, 0, data_change=True) for segment in gone]
    table._commit(table._refreshed(), removed, CommitProperties())


def missing(archive: Archive) -> list[tuple[int, int, str]]:
    proof = verify(archive.objects, None, archive.topic, 0)
    return [(each.begin, each.end, each.what) for each in proof.faults]


def test_the_oldest_files_are_missed_and_what_was_given_up_is_not(archive: Archive) -> None:
    archive.write(of(archive.topic, drawn(100)), files=5)
    first, second, third, fourth, fifth = archive.segments()
    assert missing(archive) == []
    drop(archive, [first])
    assert missing(archive) == [(0, first.end, COMMITTED)]
    archive.table.remove([second], "delete_after: 0h")
    assert missing(archive) == [], "what is older than what is given up is given up"
    drop(archive, [third])
    assert missing(archive) == [(third.begin, third.end, COMMITTED)]
    archive.table.remove([fourth], "delete_after: 0h")
    assert missing(archive) == []
    drop(archive, [fifth])
    assert missing(archive) == [(fifth.begin, fifth.end, COMMITTED)]


def test_an_archive_that_was_put_aside_whole_begins_anew(archive: Archive) -> None:
    records = of(archive.topic, drawn(40))
    sink = archive.sink()
    sink.open(lambda: records[10].offset)
    sink.add(records[10:])
    sink.flush()
    rewind(archive.objects, archive.table, 0, records[20].offset)
    drop(archive, archive.segments())
    assert missing(archive) == [(records[10].offset, records[20].offset, COMMITTED)]
    rewind(archive.objects, archive.table, 0, records[5].offset)
    assert missing(archive) == []
    archive.write(records, files=2)
    assert archive.segments()[0].begin == records[5].offset
    assert missing(archive) == []


def test_of_a_table_from_before_nothing_is_said(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not know where its partitions began."""
    with monkeypatch.context() as patch:
        patch.setattr(Table, "_begin_app", lambda _, partition: f"unknown:{partition}")
        archive.write(of(archive.topic, drawn(100)), files=4)
    first, second, third, _ = archive.segments()
    drop(archive, [first])
    assert missing(archive) == []
    archive.table.remove([second], "delete_after: 0h")
    drop(archive, [third])
    assert missing(archive) == [(third.begin, third.end, COMMITTED)], "from then on it does"
