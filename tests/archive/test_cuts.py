"""A cluster is brought back to a cut: a moment at which nothing was under way, and what came after it."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from eventlog.archive.cuts import Cut, newest_cut, write_cut
from eventlog.archive.objects import Objects
from eventlog.archive.past import fetch
from eventlog.archive.table import Segment
from eventlog.bootstrap.whole import Torn, bootstrap, wanted_topics
from eventlog.errors import Fenced
from eventlog.reader import LogReader
from eventlog.settings import Settings
from eventlog.upkeep import quiet
from eventlog.upkeep import rewind as rewinding
from eventlog.upkeep.compact import compact
from eventlog.upkeep.quiet import Cutter, Quiet, archived_to
from eventlog.upkeep.rewind import ASIDE, moves_aside
from eventlog.upkeep.verify import verify
from tests.archive.conftest import archived, delete_topic
from tests.archive.live import cut as forgotten
from tests.archive.test_one_reader import read
from tests.archive.test_sink import contents
from tests.backing import until
from tests.runtime.harness import wait_none_open


def test_what_came_after_the_cut_is_put_aside_or_kept(own: Settings, name: str) -> None:
    """Commands are kept, what is made of them is worked out again."""
    commands, events = archived(own, f"{name}.commands", partitions=1), archived(own, f"{name}.events", partitions=1)
    both = {commands.topic: 1, events.topic: 1}
    for archive in (commands, events):
        archive.publish(20, size=5)
    found = Quiet(own, both).ends()
    assert found
    write_cut(commands.objects, found)
    for archive in (commands, events):
        archive.publish(20, size=5)
        archive.write(archive.log(), files=3)
    told, made = commands.log(), events.log()
    for archive in (commands, events):
        delete_topic(own, archive.topic)
    with pytest.raises(Torn, match="--at-cut"):
        wanted_topics(own, [commands.topic])
    done = bootstrap(own, wanted_topics(own, [commands.topic], at_cut=True))
    assert contents(commands.log()) == contents(told)
    before = [record for record in made if record.offset < found[events.topic, 0]]
    assert contents(events.log()) == contents(before)
    assert [each.aside for each in done] == [0, len(made) - len(before)]
    for archive in (commands, events):
        with LogReader(own) as log:
            assert not verify(archive.objects, log, archive.topic, 0).faults
    assert len(list(events.objects.keys(f"{ASIDE}/{events.topic}/"))) > 0
    (move,) = moves_aside(events.objects, both)
    assert (move.topic, move.begin, move.end) == (events.topic, found[events.topic, 0], made[-1].offset + 1)
    # What takes its place is archived at the offsets that it gets now.
    events.publish(20, size=4)
    events.write(events.log())
    assert contents(read(events, 0, events.log()[-1].offset + 1)) == contents(events.log())


def test_a_file_that_is_compacted_meanwhile_is_not_put_aside_in_part(
    own: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archived(own, name, partitions=1)
    archive.publish(40, size=5)
    records = archive.log()
    archive.write(records, files=4)

    def compacted_meanwhile(objects: Objects, segment: Segment) -> bytes:
        monkeypatch.setattr(rewinding, "fetch", fetch)
        compact(objects, archive.table, archive.table.segments())
        return fetch(objects, segment)

    monkeypatch.setattr(rewinding, "fetch", compacted_meanwhile)
    middle = records[len(records) // 2].offset
    with pytest.raises(Fenced, match="replaced by another one"):
        rewinding.rewind(archive.objects, archive.table, 0, middle)
    assert contents(read(archive, 0, records[-1].offset + 1)) == contents(records)
    rewinding.rewind(archive.objects, archive.table, 0, middle)
    assert [segment.end for segment in archive.table.segments()] == [middle]


def found(cutter: Cutter) -> None:
    """It has met a moment, of which nothing is archived yet; the last marker may come after its commit's answer."""
    until(lambda: cutter.look() is None and cutter.found, "a moment at which nothing is under way")


def test_there_is_no_cut_while_something_is_under_way(own: Settings, name: str) -> None:
    archive = archived(own, name, partitions=1)
    archive.publish(10, size=5)
    cutter = Cutter(archive.objects, {name: 1})
    found(cutter)
    producer = Producer({"bootstrap.servers": own.kafka, "transactional.id": name, "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(name, b"?", partition=0)
    producer.flush(30)
    assert Cutter(archive.objects, {name: 1}).look() is None
    assert Quiet(own, {name: 1}).ends() is None
    archive.write(archive.log())
    producer.commit_transaction(30)
    wait_none_open(own, name)
    cut = cutter.look()
    assert cut is not None, "the moment that was found is archived now"
    assert cut.ends[name, 0] <= archive.log()[-1].offset
    assert newest_cut(archive.objects) == cut
    assert cutter.look() is None, "what was committed meanwhile is not archived"


def test_what_expired_before_it_was_archived_is_waited_for_no_more(
    own: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archived(own, name, partitions=1)
    archive.publish(80, size=5)
    records = archive.log()
    archive.write(records[:10])
    monkeypatch.setattr(quiet, "COUNTED_MAX", 3)
    ends = Quiet(own, {name: 1}).ends()
    assert ends
    assert not archived_to(archive.objects, ends)
    forgotten(archive, records[30].offset)
    assert not archived_to(archive.objects, ends), "ten are left"
    forgotten(archive, -1)
    assert archived_to(archive.objects, ends)


def test_a_cut_never_goes_back(own: Settings, name: str) -> None:
    """An archiver that slept writes none that is older than what another one wrote; nor does a clock that goes back."""
    archive = archived(own, name, partitions=1)
    archive.publish(10, size=5)
    asleep, awake = Cutter(archive.objects, {name: 1}), Cutter(archive.objects, {name: 1})
    found(asleep)
    archive.publish(10, size=5)
    archive.write(archive.log())
    cut = awake.look()
    assert cut is not None
    assert asleep.look() is None
    assert newest_cut(archive.objects) == cut
    archive.publish(10, size=5)
    later = Quiet(own, {name: 1}).ends()
    assert later is not None
    write_cut(archive.objects, later, cut.taken_ms - 60_000)
    assert newest_cut(archive.objects) == Cut(cut.taken_ms + 1, later)


def test_a_moment_that_was_found_too_long_ago_is_none(
    own: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka may have compacted away what counted then."""
    archive = archived(own, name, partitions=1)
    archive.publish(10, size=5)
    cutter = Cutter(archive.objects, {name: 1})
    found(cutter)
    archive.publish(10, size=5)
    archive.write(archive.log())
    monkeypatch.setattr(quiet, "FOUND_S", 0)
    cut = cutter.look()
    assert cut is not None
    assert cut.ends == Quiet(own, {name: 1}).ends(), "the moment of now"


def test_clients_may_go_on_publishing(own: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they write needs no moment without it, but for what a processor has under way there."""
    commands, events = archived(own, f"{name}.commands", partitions=1), archived(own, f"{name}.events", partitions=1)
    both = {commands.topic: 1, events.topic: 1}
    ask = Quiet._ends

    def published_meanwhile(self: Quiet, *arguments: object) -> object:
        commands.publish(1, transactions=False)
        return ask(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Quiet, "_ends", published_meanwhile)
    assert Quiet(own, both).ends() is None
    found = Quiet(own, both, [commands.topic]).ends()
    assert found is not None
    before = [record.offset for record in commands.log() if record.offset < found[commands.topic, 0]]
    assert len(before) == 6, "with what was published after the events' end was asked for"
    monkeypatch.setattr(Quiet, "_ends", ask)
    producer = Producer({"bootstrap.servers": own.kafka, "transactional.id": name, "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(commands.topic, b"?", partition=0)
    producer.flush(30)
    assert Quiet(own, both, [commands.topic]).ends() is None, "a processor may have more of it elsewhere"
    producer.abort_transaction(30)
