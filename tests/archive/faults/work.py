"""What the campaign does to an archive: each operation goes on where an earlier run of it was ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eventlog.archive import frozen, meta, objects, past
from eventlog.archive.cuts import write_cut
from eventlog.archive.meta import Schemas
from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink, Share
from eventlog.archive.table import Table
from eventlog.bootstrap.refill import Refill
from eventlog.bootstrap.whole import bootstrap, wanted_topics
from eventlog.errors import Fenced, OnefactError, ServiceAway
from eventlog.reader import LogReader, to_record
from eventlog.registry import Registry
from eventlog.upkeep import compact, tiers
from eventlog.upkeep.policy import Policy, TopicPolicy
from eventlog.upkeep.quiet import Quiet
from eventlog.upkeep.rewind import rewind
from tests.archive.conftest import delete_topic
from tests.archive.faults import rebuilds
from tests.archive.faults.checks import check
from tests.archive.faults.place import Place, fill
from tests.archive.points import around
from tests.archive.test_sink import contents

FILE_RECORDS = 15
TRIES = 40
AGAIN = (ServiceAway, Fenced)
"""After these a runner opens its task again."""


def archive(place: Place) -> None:
    """Archive all there is, opening again after every error, as a runner does."""
    store = place.objects
    with Registry(place.settings.registry) as registry:
        have = Schemas(store, registry.lookup).have
        sink = PartitionSink(store, Table(store, place.topic), 0, share=Share(), before_commit=have)
        for _ in range(TRIES):
            try:
                _archive(place, sink)
            except AGAIN:
                continue
            return
    raise ServiceAway("s3", "it never let the work be done")


def _archive(place: Place, sink: PartitionSink) -> None:
    with LogReader(place.settings) as log:
        low, high = log.log_bounds(place.topic, 0)
        begin = sink.open(lambda: low)
        for _, messages, _ in log.batches({(place.topic, 0): (begin, high)}):
            for start in range(0, len(messages), FILE_RECORDS):
                sink.add([to_record(message) for message in messages[start : start + FILE_RECORDS]])
                sink.flush()


def two(place: Place) -> None:
    """Two archivers that begin at the same position, taking turns."""
    store = place.objects
    with Registry(place.settings.registry) as registry:
        _taking_turns(place, store, Schemas(store, registry.lookup).have)
    archive(place)


def _taking_turns(place: Place, store: Objects, have: Callable[[set[int]], None]) -> None:
    tables = [Table(store, place.topic) for _ in range(2)]
    sinks = [PartitionSink(store, table, 0, share=Share(), before_commit=have) for table in tables]
    records = place.log()
    begins = [sink.open(lambda: 0) for sink in sinks]
    for number, sink in enumerate(sinks):
        wanted = [record for record in records if record.offset >= begins[number]][: FILE_RECORDS + number]
        try:
            sink.add(wanted)
            sink.flush()
        except AGAIN:
            continue


def swept_meanwhile(place: Place) -> None:
    """A writer that is about to commit while another process sweeps."""
    append, ages = Table.append, Objects.ages

    def late(self: Table, *given: Any) -> None:
        compact.sweep(place.objects, place.table)
        append(self, *given)

    Table.append = late  # type: ignore[method-assign]
    try:
        archive(place)
    finally:
        Table.append = append  # type: ignore[method-assign]
    # And one that commits while the sweep looks.
    target = [segment for segment in place.table.segments() if segment.tier == "warm"]

    def between(self: Objects, prefix: str) -> Any:
        Objects.ages = ages  # type: ignore[method-assign]
        if len(target) > 1:
            compact.compact(place.objects, place.table, target)
        return ages(self, prefix)

    Objects.ages = between  # type: ignore[method-assign]
    try:
        compact.sweep(place.objects, place.table)
    finally:
        Objects.ages = ages  # type: ignore[method-assign]


def tiered(policy: TopicPolicy) -> Callable[[Place], None]:
    """What `onefact archive tier` does under a policy."""

    def run(place: Place) -> None:
        store, whole = place.objects, Policy(topics={place.topic: policy}, frozen_class="SIMULATED")
        with LogReader(place.settings) as log:
            now_ms = int(time.time() * 1000) + 1000
            for _ in tiers.apply(store, log, {place.topic: place.declared}, whole, now_ms, place.tell):
                pass

    return run


def again(place: Place) -> None:
    """The topic from the archive, in the place of one that was lost."""
    bootstrap(place.settings, wanted_topics(place.settings))


def back(place: Place) -> None:
    """The end of the archive put aside, and archived again."""
    table = place.table
    middle = place.expected()[len(place.expected()) // 2].offset
    if not (place.folder / "rewound").exists():
        rewind(place.objects, table, 0, middle)
        (place.folder / "rewound").touch()
    archive(place)


def read(place: Place) -> None:
    """Read all of it, out of the frozen tier and through a store that misbehaves."""
    patient = place.settings.model_copy(update={"archive_restore": "Expedited", "archive_look_s": 0.1})
    for _ in range(TRIES):
        found = []
        try:
            with LogReader(patient) as log:
                end = log.log_bounds(place.topic, 0)[1]
                for _, messages, _ in log.batches({(place.topic, 0): (0, end)}):
                    found += [to_record(message) for message in messages]
        except ServiceAway:
            continue
        if contents(found) != contents(place.expected()):
            raise OnefactError(f"{len(found)} records were read where {len(place.expected())} are, or others")
        return
    raise ServiceAway("s3", "it never let the work be done")


COMPACT = tiered(TopicPolicy(compact_after="0h"))
FREEZE = tiered(TopicPolicy(compact_after="never", freeze_after="0h"))
FORGET = tiered(TopicPolicy(compact_after="never", kafka_keeps="0h"))
DELETE = tiered(TopicPolicy(compact_after="never", delete_after="0h"))
LATEST = tiered(TopicPolicy(compact_after="0h", latest_per_key=True))


def cut(place: Place) -> None:
    ends = Quiet(place.settings, {place.topic: 1}).ends()
    assert ends, "nobody else writes to it"
    write_cut(place.objects, ends)


def lose(place: Place) -> None:
    """The cluster is gone, as far as this topic is concerned."""
    delete_topic(place.settings, place.topic)


class Check(Protocol):
    """Raises `Violation`."""

    def __call__(self, place: Place, operation: str, *, ended: bool) -> None: ...


@dataclass(frozen=True)
class Operation:
    """What is there before, and what is done then."""

    run: Callable[[Place], None]
    before: tuple[Callable[[Place], None], ...] = ()
    fill: Callable[[Place, int, Sequence[int]], None] = fill
    check: Check = check


def _of_models(run: Callable[[Place], None], *before: Callable[[Place], None]) -> Operation:
    return Operation(run, before, rebuilds.fill, rebuilds.check)


CAMPAIGN: Mapping[str, Operation] = {
    "archive": Operation(archive),
    "compact": Operation(COMPACT, (archive,)),
    "freeze": Operation(FREEZE, (archive, COMPACT)),
    "forget": Operation(FORGET, (archive,)),
    "delete": Operation(DELETE, (archive,)),
    "keyed": Operation(LATEST, (archive, cut)),
    "bootstrap": Operation(again, (archive, cut, lose)),
    "rewind": Operation(back, (archive,)),
    "two": Operation(two),
    "swept": Operation(swept_meanwhile),
    "read": Operation(read, (archive, COMPACT, FORGET, FREEZE)),
    "replay": _of_models(rebuilds.rebuilt(1)),
    "replay_apart": _of_models(rebuilds.rebuilt(2)),
    "replay_again": _of_models(rebuilds.rebuilt(1), rebuilds.rebuilt(1), rebuilds.grow),
    "rollback": _of_models(rebuilds.taken_back, rebuilds.rebuilt(1), rebuilds.grow),
    "checkpoint": _of_models(rebuilds.kept_at_points),
}


def install_points() -> None:
    """Name what is done, before and after."""
    around(Objects, "put", "before put", "after put")
    around(Objects, "put_new", "before put_new", "after put_new")
    around(Objects, "put_file", "before put_file", "after put_file")
    around(Objects, "copy", "before copy", "after copy")
    around(Objects, "delete", "before delete", "after delete")
    for name in ("create", "append", "replace", "remove", "rewind"):
        around(Table, name, f"before {name}", f"after {name}")
    around(frozen, "freeze", "before freeze", "after freeze")
    around(Place, "tell", "before tell", "after tell")
    around(tiers.AdminClient, "delete_records", "before delete_records", "after delete_records")
    around(Refill, "_fill", "before fill", "after fill")
    around(Refill, "write", "before write", "after write")
    around(meta, "succeed_topic", "before succeed", "after succeed")
    around(past, "fetch", "before fetch", "after fetch")
    rebuilds.install_points()


def hurry() -> None:
    """Give up on a store in seconds, so that a case sees it."""
    objects.TIMEOUT_S, objects.ATTEMPTS = 2, 4
