"""What must be refused, or left alone; without faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from eventlog.archive import past, rows
from eventlog.archive.cuts import newest_cut
from eventlog.archive.meta import Schemas
from eventlog.archive.sink import PartitionSink, Share
from eventlog.bootstrap.whole import Torn, bootstrap, wanted_topics
from eventlog.errors import OnefactError
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.upkeep.verify import verify
from tests.archive.faults.place import Place, more
from tests.archive.faults.work import CAMPAIGN, FORGET, LATEST, Operation, archive, cut, lose


def archive_part(place: Place) -> None:
    """Half of it."""
    records, store = place.log(), place.objects
    with Registry(place.settings.registry) as registry:
        have = Schemas(store, registry.lookup).have
        sink = PartitionSink(store, place.table, 0, share=Share(), before_commit=have)
        sink.open(lambda: 0)
        sink.add(records[: len(records) // 2])
        sink.flush()


def forget_part(place: Place) -> None:
    """Kafka forgets what is archived, and the rest is archived."""
    FORGET(place)
    archive(place)


def latest_to_the_cut(place: Place) -> None:
    """What came after the cut stays as it is."""
    found = newest_cut(place.objects)
    assert found
    after = [each for each in place.table.segments() if each.end > found.ends[place.topic, 0]]
    LATEST(place)
    assert set(after) <= set(place.table.segments()), "files after the cut were compacted"


@contextlib.contextmanager
def _altered(place: Place) -> Iterator[None]:
    """While the block runs, a file has a record that is not the one that was archived."""
    segment = place.table.segments()[0]
    kept = place.objects.get(segment.key)
    records = list(rows.to_records(rows.from_file(kept), place.topic, 0))
    records[0].value = b"another"
    place.objects.put(segment.key, rows.to_file(rows.to_table(records), place.topic, 0, segment.begin, segment.end))
    try:
        yield
    finally:
        place.objects.put(segment.key, kept)


def forget_differing(place: Place) -> None:
    """Kafka forgets nothing that the archive does not hold as it was."""
    with _altered(place):
        try:
            FORGET(place)
        except OnefactError:
            return
    raise AssertionError("Kafka was asked to forget what the archive does not have")


def altered(place: Place) -> None:
    """An altered file is found, with Kafka and without, and not read."""
    with _altered(place):
        assert verify(place.objects, None, place.topic, 0).faults, "an altered file was taken for whole"
        try:
            list(past.Past(place.settings).batches(place.topic, 0, 0, place.table.segments()[-1].end))
        except past.Damaged:
            return
    raise AssertionError("an altered file was read")


def torn(place: Place) -> None:
    """An archive that may end within a transaction is not brought back as it is; that of a topic of clients is."""
    with LogReader(place.settings) as log:
        if log.partitions(place.topic):
            return
    try:
        wanted_topics(place.settings)
    except Torn:
        bootstrap(place.settings, wanted_topics(place.settings, [place.topic]))
        return
    raise AssertionError("it was brought back as it is")


GUARDS: Mapping[str, Operation] = {
    "keyed_uncut": Operation(latest_to_the_cut, (archive, cut, more, archive)),
    "forget_part": Operation(forget_part, (archive_part,)),
    "forget_differing": Operation(forget_differing, (archive,)),
    "altered": Operation(altered, (archive,)),
    "torn": Operation(torn, (archive, cut, more, archive, lose)),
}
OPERATIONS = CAMPAIGN | GUARDS
