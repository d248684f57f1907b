"""Archive then log: whoever reads a range does not see where the one ends and the other begins."""

from __future__ import annotations

import pytest

from eventlog.archive.meta import AnotherTopic, have_topic
from eventlog.archive.past import Past
from eventlog.envelope import Record
from eventlog.errors import Hole
from eventlog.provision import ensure_topics
from eventlog.reader import LogReader, to_record
from eventlog.topics import Topic
from eventlog.upkeep.verify import verify
from projections.log import Tail
from tests.archive.conftest import Archive
from tests.archive.live import cut


def test_the_log_may_be_cut_anywhere(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(160)
    records = archive.log()
    archive.write(records[:80], files=3)
    proof = verify(archive.objects, None, archive.topic, 0)
    archived = proof.end
    with LogReader(archive.settings) as reader:
        assert not verify(archive.objects, reader, archive.topic, 0).faults
        end = reader.bounds(archive.topic, 0)[1]
    for before in (1, records[30].offset, archived):
        cut(archive, before)
        with LogReader(archive.settings) as reader:
            assert reader.log_bounds(archive.topic, 0)[0] == before
            assert reader.bounds(archive.topic, 0) == (0, end)
            proof = verify(archive.objects, reader, archive.topic, 0)
            assert not proof.faults
            assert proof.compared == len([r for r in records[:80] if r.offset >= before])
        for begin, until in ((0, end), (5, archived - 3), (before, end), (archived, end)):
            assert read(archive, begin, until) == [r for r in records if begin <= r.offset < until]
    lost = records[80].offset  # a record that nobody archived, not a marker
    cut(archive, lost + 1)
    with pytest.raises(Hole, match=f"offsets {archived} to {lost} "):
        read(archive, 0, end)
    with LogReader(archive.settings) as reader:
        found = verify(archive.objects, reader, archive.topic, 0).faults
    assert [(f.begin, f.end, f.what) for f in found] == [
        (archived, lost + 1, "neither the archive nor the log has them")
    ]


def test_the_log_moves_on_while_it_is_read(kafka_archive: Archive) -> None:
    """Reading an archive takes its time; what Kafka has forgotten meanwhile is in the archive by then."""
    archive = kafka_archive
    archive.publish(180)
    records = archive.log()
    archive.write(records[:100], files=4)
    cut(archive, records[20].offset)
    later = iter((records[60].offset, records[90].offset))
    with LogReader(archive.settings) as reader:
        end = reader.bounds(archive.topic, 0)[1]
        found: list[Record] = []
        for _, messages, _ in reader.batches({(archive.topic, 0): (0, end)}):
            found += [to_record(message) for message in messages]
            if (before := next(later, None)) is not None:
                cut(archive, before)
    assert found == records


def test_what_is_lost_while_it_is_read_is_not_jumped_over(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(90)
    records = archive.log()
    archive.write(records[:10], files=2)
    cut(archive, records[10].offset)
    found: list[Record] = []

    def go() -> None:
        with LogReader(archive.settings) as reader:
            for _, messages, _ in reader.batches({(archive.topic, 0): (0, records[-1].offset + 1)}):
                found.extend(to_record(message) for message in messages)
                if len(found) == 10:
                    cut(archive, records[30].offset)

    with pytest.raises(Hole, match=f"offsets {records[10].offset} to {records[30].offset - 1} "):
        go()
    assert found == records[:10]


def test_the_end_of_the_log_is_followed_from_before_its_begin(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(180)
    records = archive.log()
    place = (archive.topic, 0)
    archive.write(records[:100], files=4)
    cut(archive, records[20].offset)
    tail = Tail(archive.settings, {place: records[5].offset})
    try:
        for first, last in ((5, 40), (40, 50), (50, 110), (110, 120)):
            end = records[last].offset if last < len(records) else records[-1].offset + 1
            taken = [to_record(m) for _, messages, _ in tail.take({place: end}) for m in messages]
            assert taken == records[first:last]
            cut(archive, records[min(last + 25, 99)].offset)
    finally:
        tail.close()


def read(archive: Archive, begin: int, end: int) -> list:
    with LogReader(archive.settings) as reader:
        found, reached = [], begin
        for _, messages, following in reader.batches({(archive.topic, 0): (begin, end)}):
            found += [to_record(message) for message in messages]
            reached = following
    assert reached == end
    return found


def test_a_record_that_differs_is_found(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(60)
    records = archive.log()
    wrong = [r for r in records if r.offset != records[10].offset]
    wrong[20].value = b"something else"
    archive.write(wrong)
    with LogReader(archive.settings) as reader:
        found = verify(archive.objects, reader, archive.topic, 0).faults
    assert [(f.begin, f.end, f.what) for f in found] == [
        (records[10].offset, records[10].offset + 1, "the log has it, the archive has not"),
        (wrong[20].offset, wrong[20].offset + 1, "the archive and the log differ"),
    ]


def test_an_archive_that_is_begun_later_is_read(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a reader that is there already; one that is there is asked for once."""
    ensure_topics(archive.settings, [Topic(archive.topic, (), 1, dead_letters=False)])
    archive.publish(60, transactions=False)
    records = archive.log()
    asked: list[str] = []
    topic_id = Past.topic_id
    monkeypatch.setattr(Past, "topic_id", lambda self, name: asked.append(name) or topic_id(self, name))
    with LogReader(archive.settings) as reader:
        assert reader.bounds(archive.topic, 0) == (0, 60)
        assert not asked, "the log has all"
        cut(archive, 10)
        assert reader.bounds(archive.topic, 0) == (10, 60)
        have_topic(archive.objects, archive.topic, reader.topic_id(archive.topic), {})
        archive.write(records, files=2)
        cut(archive, 50)
        assert reader.bounds(archive.topic, 0) == (0, 60)
        found = [to_record(m) for _, messages, _ in reader.batches({(archive.topic, 0): (0, 60)}) for m in messages]
        assert found == records
        assert len(asked) == 2


def test_the_archive_of_another_topic_of_the_name_is_not_read(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(20, transactions=False)
    archive.write(archive.log())
    cut(archive, 10)
    key = f"archive/meta/topics/{archive.topic}.json"
    archive.objects.put(key, archive.objects.get(key).replace(b'"topic_id": "', b'"topic_id": "x'))
    with LogReader(archive.settings) as reader:
        assert reader.bounds(archive.topic, 0)[0] == 10
        with pytest.raises(AnotherTopic, match="made again"):
            have_topic(archive.objects, archive.topic, reader.topic_id(archive.topic), {})
