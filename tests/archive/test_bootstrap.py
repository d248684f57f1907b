"""An empty cluster is brought to where another one was: every record at its offset, every reader none the wiser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from eventlog.archive.cuts import Cut, write_cut
from eventlog.archive.meta import have_topic
from eventlog.bootstrap import refill
from eventlog.bootstrap.refill import NotAsExpected, Refill
from eventlog.bootstrap.schemas import IdsTaken, place_schemas
from eventlog.bootstrap.whole import NotEmpty, begin, bootstrap, finish, wanted_topics
from eventlog.envelope import Record
from eventlog.errors import Hole
from eventlog.provision import described, ensure_topics
from eventlog.reader import LogReader
from eventlog.settings import Settings
from eventlog.topics import Topic
from eventlog.upkeep.quiet import Quiet
from tests.archive.conftest import Archive, archived, delete_topic
from tests.archive.test_one_reader import read
from tests.archive.test_sink import contents


def ends(archive: Archive, partitions: int = 2) -> Cut:
    found = Quiet(archive.settings, {archive.topic: partitions}).ends()
    assert found is not None
    cut = write_cut(archive.objects, found)
    assert cut is not None
    return cut


def test_every_record_is_where_it_was(own: Settings, name: str) -> None:
    archive = archived(own, name)
    archive.publish(60, size=7)
    archive.publish(10, partition=1, transactions=False)
    records = [archive.log(partition) for partition in (0, 1)]
    for partition in (0, 1):
        archive.write(records[partition], files=3, partition=partition)
    cut = ends(archive)
    delete_topic(own, name)
    (done,) = bootstrap(own, wanted_topics(own))
    assert (done.records, done.left_out) == (sum(map(len, records)), 0)
    for partition in (0, 1):
        assert contents(archive.log(partition)) == contents(records[partition])
        with LogReader(own) as log:
            low, high = log.log_bounds(name, partition)
        assert low == 0
        assert cut.ends[name, partition] <= high <= cut.ends[name, partition] + 1
    assert bootstrap(own, wanted_topics(own)) == [], "it is done once"
    # The archive goes on with the new topic as with the old one.
    archive.publish(20, size=5)
    more = archive.log()
    archive.write(more, files=1)
    with LogReader(own) as log:
        assert have_same_id(archive, log)
    assert contents(read(archive, 0, more[-1].offset + 1)) == contents(more)


def have_same_id(archive: Archive, log: LogReader) -> bool:
    have_topic(archive.objects, archive.topic, log.topic_id(archive.topic), described(archive.settings, archive.topic))
    return archive.past.topic_id(archive.topic) == log.topic_id(archive.topic)


def test_a_log_that_began_late_begins_where_it_did(own: Settings, name: str) -> None:
    archive = archived(own, name, partitions=1)
    archive.publish(40, size=7)
    records = [record for record in archive.log() if record.offset >= 25]
    sink = archive.sink()
    sink.open(lambda: 25)
    sink.add(records)
    sink.flush()
    ends(archive, 1)
    delete_topic(own, name)
    bootstrap(own, wanted_topics(own))
    assert contents(archive.log()) == contents(records)
    with LogReader(own) as log:
        assert log.log_bounds(name, 0)[0] == records[0].offset


@pytest.mark.parametrize("retention", [timedelta(days=1), None])
def test_what_expired_before_it_was_archived(own: Settings, name: str, retention: timedelta | None) -> None:
    """Of what is kept for a time only the rest is brought back; of facts nothing may be missing."""
    archive = archived(own, name, partitions=1, retention=retention)
    archive.publish(120, size=7)
    records = archive.log()
    archive.write(records[:20])
    sink = archive.sink()
    sink.open(lambda: 0)
    sink.skip_to(records[40].offset)
    sink.add(records[40:])
    sink.flush()
    ends(archive, 1)
    delete_topic(own, name)
    if retention is None:
        with pytest.raises(Hole, match=f"offsets {records[19].offset + 1} to {records[40].offset - 1} "):
            bootstrap(own, wanted_topics(own))
    else:
        bootstrap(own, wanted_topics(own))
        assert contents(archive.log()) == contents(records[:20] + records[40:])


@pytest.mark.parametrize("compacted", [True, False])
def test_names_that_nobody_can_write(own: Settings, name: str, *, compacted: bool) -> None:
    """The archive may hold headers that a client cannot send; where Kafka compacts it takes no record without a key."""
    archive = archived(own, name, compacted=compacted, partitions=1)
    records = [
        Record(name, 0, offset, 1_700_000_000_000 + offset, b"k%d" % (offset % 3), b"v", headers)
        for offset, headers in enumerate([[], [("é", b"1")], [("\udcff", b"")], [("a", None)]] * 3)
    ]
    records = [record for record in records if record.offset not in (0, 5)]
    archive.write(records, files=2)
    write_cut(archive.objects, {(name, 0): 12})
    delete_topic(own, name)
    (done,) = bootstrap(own, wanted_topics(own))
    assert done.left_out == 3
    assert contents(archive.log()) == contents([r for r in records if r.offset not in (2, 6, 10)])


def test_what_is_there_is_not_overwritten_and_an_empty_topic_is_made_again(own: Settings, name: str) -> None:
    """Whoever had the services up before has made it: it has another id, and nothing else."""
    archive = archived(own, name)
    archive.publish(20, size=7)
    records = archive.log()
    archive.write(records)
    ends(archive)
    delete_topic(own, name)
    ensure_topics(own, [Topic(name, (), 2, dead_letters=False)])
    archive.publish(1, partition=1, transactions=False)
    with pytest.raises(NotEmpty, match=name):
        bootstrap(own, wanted_topics(own))
    assert len(archive.log(1)) == 1
    delete_topic(own, name)
    ensure_topics(own, [Topic(name, (), 2, dead_letters=False)])
    bootstrap(own, wanted_topics(own))
    assert contents(archive.log()) == contents(records)


def test_killed_on_its_way_it_is_done_again(own: Settings, name: str) -> None:
    """In the middle of a partition, and between a topic that is whole and the note of it."""
    archive = archived(own, name)
    archive.publish(60, size=3)
    records = archive.log()
    archive.write(records, files=2)
    ends(archive)
    delete_topic(own, name)
    program = [sys.executable, "-m", "tests.archive.killed_bootstrap"]
    environment = os.environ | {f"ONEFACT_{key.upper()}": getattr(own, key) for key in ("kafka", "registry", "s3")}
    for point, number in (("filled", 5), ("noted", 1)):
        killed = subprocess.run([*program, point, str(number)], env=environment, check=False, timeout=120)
        assert killed.returncode == -signal.SIGKILL, point
    bootstrap(own, wanted_topics(own))
    assert contents(archive.log()) == contents(records)


@pytest.mark.parametrize(
    ("closed_from", "age_s", "at_once"),
    [(5, 600.0, 50_000), (10_000, 0.0, 50_000), (10_000, 0.0, 3)],
    ids=["a marker for each long gap", "every transaction too old", "too old within the gap"],
)
def test_gaps_of_any_length_keep_every_offset(
    own: Settings, name: str, monkeypatch: pytest.MonkeyPatch, closed_from: int, age_s: float, at_once: int
) -> None:
    """A gap of one, of a few, and of many, whenever the fillers' transactions end."""
    monkeypatch.setattr(refill, "CLOSED_FROM", closed_from)
    monkeypatch.setattr(refill, "TRANSACTION_AGE_S", age_s)
    monkeypatch.setattr(refill, "FILLERS_AT_ONCE", at_once)
    archive = archived(own, name, partitions=1)
    offsets = [3, 4, 6, 7, 9, 12, 30, 31, 60, 62, 65, 66]
    archive.write([Record(name, 0, offset, 1_700_000_000_000, b"k", b"v", []) for offset in offsets], files=2)
    write_cut(archive.objects, {(name, 0): 80})
    delete_topic(own, name)
    (done,) = bootstrap(own, wanted_topics(own))
    assert [record.offset for record in archive.log()] == offsets
    assert (done.records, done.fillers) == (len(offsets), 80 - len(offsets))
    with LogReader(own) as log:
        assert log.log_bounds(name, 0) == (3, 80)


def test_what_follows_the_topics_is_not_forgotten_by_a_run_that_was_ended(own: Settings, name: str) -> None:
    archive = archived(own, name, partitions=1)
    archive.publish(10, size=5)
    archive.write(archive.log())
    ends(archive, 1)
    delete_topic(own, name)
    wanted = wanted_topics(own)
    assert begin(own, wanted) == [name]
    bootstrap(own, wanted)
    assert begin(own, wanted_topics(own)) == [name], "there is no topic left to bring back, and more to do"
    finish(own)
    assert begin(own, wanted_topics(own)) == []


def test_somebody_who_writes_meanwhile_is_noticed(own: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archived(own, name, partitions=1)
    archive.publish(20, size=5)
    archive.write(archive.log())
    ends(archive, 1)
    delete_topic(own, name)
    fill = Refill._fill

    def joined(self: Refill, *arguments: object, **named: object) -> None:
        archive.publish(1, transactions=False)
        fill(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Refill, "_fill", joined)
    with pytest.raises(NotAsExpected, match="somebody else writes"):
        bootstrap(own, wanted_topics(own))


class Counting:
    """A registry that counts its ids up."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def lookup(self, schema_id: int) -> str | None:
        return self.texts[schema_id - 1] if schema_id <= len(self.texts) else None

    def place(self, subject: str, text: str) -> int:
        assert subject
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def schema(name: str) -> str:
    return json.dumps({"type": "record", "name": name, "namespace": "a", "fields": []})


def test_schemas_get_the_ids_that_values_name() -> None:
    registry, wanted = Counting(), {2: schema("Two"), 3: schema("Three"), 7: schema("Seven")}
    assert place_schemas(registry, wanted) == 3  # type: ignore[arg-type]
    assert {number: registry.lookup(number) for number in wanted} == wanted
    assert place_schemas(registry, wanted) == 0, "again"  # type: ignore[arg-type]
    more = wanted | {9: schema("Nine")}
    assert place_schemas(registry, more) == 1  # type: ignore[arg-type]
    assert {number: registry.lookup(number) for number in more} == more


def test_a_registry_with_other_schemas_is_refused() -> None:
    taken = Counting()
    taken.texts = [schema("Other")]
    with pytest.raises(IdsTaken, match="under the id 1"):
        place_schemas(taken, {1: schema("One")})  # type: ignore[arg-type]
    taken.texts = [schema("Other"), schema("One")]
    with pytest.raises(IdsTaken, match="is needed"):
        place_schemas(taken, {5: schema("One")})  # type: ignore[arg-type]
