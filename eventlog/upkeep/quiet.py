"""Finds cuts: moments when nothing was under way in any archived topic."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Mapping

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from eventlog.archive.cuts import Cut, Ends, write_cut
from eventlog.archive.objects import Objects
from eventlog.archive.table import NoTable, Table
from eventlog.errors import ServiceAway
from eventlog.reader import COUNTED_MAX, LogReader
from eventlog.settings import Settings
from eventlog.topics import COMPACTION_LAG_S

TIMEOUT_S = 10
FOUND_S = COMPACTION_LAG_S / 2
"""So long a moment that was found waits to be archived: after it Kafka may have compacted away what counted then."""


class Quiet:
    """Finds moments at which nothing was under way in these topics (name, partitions). Raises `ServiceAway`."""

    def __init__(self, settings: Settings, topics: Mapping[str, int], published: Collection[str] = ()) -> None:
        self._servers = settings.kafka
        self._admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
        places = [TopicPartition(name, number) for name, count in topics.items() for number in range(count)]
        self._published = [place for place in places if place.topic in published]
        self._made = [place for place in places if place.topic not in published]

    def ends(self) -> Ends | None:
        """Ends of every partition at one moment; None where there was no such moment.

        The ends of what is committed are asked for first, the ends of all there is after that. Where both are the same
        in every partition, nothing was appended in between and no transaction is open: so the first were all true at
        once.

        Clients may go on publishing. Of what they write to the ends of all there is are asked for in between, and
        whether nothing before them is open any more. They have whatever was read before. A processor's transaction that
        wrote there has ended then, with what it wrote to its changelog, if to nothing else: before the first question,
        or else the last one tells.
        """
        made = self._ends(self._made, IsolationLevel.READ_COMMITTED)
        published = self._ends(self._published, IsolationLevel.READ_UNCOMMITTED)
        stable = self._ends(self._published, IsolationLevel.READ_COMMITTED)
        if any(stable[place] < end for place, end in published.items()):
            return None
        return {**made, **published} if made == self._ends(self._made, IsolationLevel.READ_UNCOMMITTED) else None

    def _ends(self, places: list[TopicPartition], level: IsolationLevel) -> Ends:
        if not places:
            return {}
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = dict.fromkeys(places, latest)
        try:
            found = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=TIMEOUT_S)
            return {(place.topic, place.partition): future.result().offset for place, future in found.items()}
        except KafkaException as error:
            raise ServiceAway("kafka", f"{self._servers}: {error.args[0].str()}") from None


class Cutter:
    """Looks for cuts, and writes each once all before it is archived. Used from one thread at a time."""

    def __init__(self, objects: Objects, topics: Mapping[str, int], published: Collection[str] = ()) -> None:
        self._objects = objects
        self._quiet = Quiet(objects.settings, topics, published)
        self._tables = {name: Table(objects, name) for name in topics}
        self._found: Ends | None = None
        self._found_ms = 0
        self._written: Ends | None = None

    @property
    def found(self) -> bool:
        """A moment was found, and is not all archived yet."""
        return self._found is not None

    def look(self) -> Cut | None:
        """The cut that was written, if one was. Raises `ServiceAway`."""
        if self._found is not None and time.time() * 1000 - self._found_ms > FOUND_S * 1000:
            self._found = None
        if self._found is None:
            asked_ms = int(time.time() * 1000)
            found = self._quiet.ends()
            if found is None or found == self._written:
                return None
            self._found, self._found_ms = found, asked_ms
        if not self._archived(self._found):
            return None
        self._written, self._found = self._found, None
        return write_cut(self._objects, self._written, self._found_ms)

    def _archived(self, ends: Ends) -> bool:
        return archived_to(self._objects, ends, self._tables)


def archived_to(objects: Objects, ends: Ends, tables: Mapping[str, Table] | None = None) -> bool:
    """Whether every record before these ends is archived; markers of transactions may follow the last one."""
    partitions: dict[str, list[int]] = {}
    for topic, partition in ends:
        partitions.setdefault(topic, []).append(partition)
    reached: dict[tuple[str, int], int] = {}
    with LogReader(objects.settings) as log:

        def waiting(least: int, places: Iterable[tuple[str, int]]) -> int:
            """Records of those of them that are so many offsets behind; what the log has no more waits for nobody."""
            behind = [place for place in places if ends[place] - reached.get(place, 0) >= least]
            return log.waiting({p: (max(reached.get(p, 0), log.log_bounds(*p)[0]), ends[p]) for p in behind})

        # The longest first: where one is far behind, the others need not be asked, again and again until it is not.
        for topic, numbers in sorted(partitions.items(), key=lambda each: -max(ends[each[0], n] for n in each[1])):
            table = tables[topic] if tables else Table(objects, topic)
            with contextlib.suppress(NoTable):
                reached |= {(topic, number): offset for number, offset in table.next_offsets(numbers).items()}
            if waiting(COUNTED_MAX, ((topic, number) for number in numbers)):
                return False
        return waiting(1, ends) == 0
