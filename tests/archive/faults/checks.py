"""What must hold of an archive after any fault, and after what was interrupted has been done again."""

from __future__ import annotations

import itertools

from eventlog.archive.meta import schemas_of
from eventlog.archive.past import Past
from eventlog.archive.table import NoTable, Segment
from eventlog.envelope import Record
from eventlog.reader import LogReader, to_record
from eventlog.upkeep.verify import verify
from tests.archive.faults.place import Place
from tests.archive.test_sink import contents

MEANINGS = {
    "A1": "archive and log are contiguous, every file is as it was committed, overlaps are equal",
    "A2": "what is read over archive and log is what was published, byte for byte",
    "A3": "what was not committed is no data: the table counts each record once",
    "A4": "nothing was given up that was not told before",
    "A5": "the schemas of what is archived are archived",
    "A6": "done again, it comes to its end",
    "A7": "the live model is what the facts come to, row by row, whatever is done beside it",
    "A8": "no version is left but the live one and the one before",
    "A9": "what is read as of a point is what the facts before it come to",
}


class Violation(AssertionError):
    """An invariant that does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


def require(holds: object, invariant: str, what: str) -> None:
    if not holds:
        raise Violation(invariant, what)


def check(place: Place, operation: str, *, ended: bool) -> None:
    """Raise `Violation`; `ended` says that the operation has come to its end."""
    segments, there = [], True
    try:
        segments = place.table.segments()
    except NoTable:
        there = False
    lost = operation == "bootstrap" and not ended
    with LogReader(place.settings) as log:
        if there:
            proof = verify(place.objects, None if lost else log, place.topic, 0, compacted=place.declared.compacted)
            require(not proof.faults, "A1", str(proof.faults[:1]))
        expected = place.expected()
        if not lost:
            _read_all(place, log, expected, segments, ended=ended)
    _counted(segments, expected, keyed=place.declared.compacted)
    _told(place, operation, segments)
    archived = {r.value[:5] for r in expected if r.value and segments and r.offset < segments[-1].end}
    named = {int.from_bytes(head[1:], "big") for head in archived}
    require(named <= schemas_of(place.objects).keys(), "A5", f"of {named} some are not there")
    if ended:
        _ended(place, operation, segments, expected)


def _read_all(place: Place, log: LogReader, expected: list[Record], segments: list[Segment], *, ended: bool) -> None:
    del ended
    patient = place.settings.model_copy(update={"archive_restore": "Expedited", "archive_look_s": 0.1})
    low, end = log.log_bounds(place.topic, 0)
    first = min([low, *(segment.begin for segment in segments[:1])])
    with LogReader(patient) as reader:
        batches = reader.batches({(place.topic, 0): (first, end)})
        found = [to_record(message) for _, messages, _ in batches for message in messages]
    wanted = [record for record in expected if record.offset >= first]
    said = f"{len(found)} records are read from {first} on, {len(wanted)} were published"
    require(contents(found) == contents(wanted), "A2", said)
    if not segments:
        return
    past = Past(patient).batches(place.topic, 0, segments[0].begin, segments[-1].end)
    archived = [to_record(message) for messages, _ in past for message in messages]  # type: ignore[arg-type]
    inside = [r for r in expected if segments[0].begin <= r.offset < segments[-1].end]
    if place.declared.compacted:
        last = [{r.key: whole for r, whole in zip(each, contents(each), strict=True)} for each in (archived, inside)]
        require(last[0] == last[1], "A2", "the last records of keys differ")
        known = contents(inside)
        require(all(each in known for each in contents(archived)), "A2", "the archive has what was not published")
    else:
        require(contents(archived) == contents(inside), "A2", f"{len(archived)} records are archived of {len(inside)}")


def _counted(segments: list[Segment], expected: list[Record], *, keyed: bool) -> None:
    for one, other in itertools.pairwise(segments):
        require(one.end == other.begin, "A3", f"{other.path} does not follow {one.path}")
    if segments and not keyed:
        inside = sum(segments[0].begin <= r.offset < segments[-1].end for r in expected)
        counted = sum(segment.records for segment in segments)
        require(counted == inside, "A3", f"{counted} records are counted, {inside} are there")


def _told(place: Place, operation: str, segments: list[Segment]) -> None:
    """Whatever is not where it was any more was told."""
    told = place.told()
    if not segments:
        return
    there = {key for key, _ in place.objects.keys(f"archive/log/{place.topic}/")}
    for sources, made in place.table.replaced():
        if any(source.key not in there for source in sources) and operation in ("compact", "freeze", "keyed"):
            move = [sources[0].tier, made.tier, made.begin, made.end]
            require(move in told, "A4", f"{move} was not told, and its source is gone")
    if operation == "forget":
        with LogReader(place.settings) as log:
            low = log.log_bounds(place.topic, 0)[0]
        reached = max([end for source, _, _, end in told if source == "kafka"], default=0)
        require(low <= reached, "A4", f"Kafka begins at {low}, told was {reached}")
    if operation == "delete" and segments[0].begin > 0:
        reached = max([end for _, target, _, end in told if target == "deleted"], default=0)
        require(segments[0].begin <= reached, "A4", f"the archive begins at {segments[0].begin}, told was {reached}")


def _ended(place: Place, operation: str, segments: list[Segment], expected: list[Record]) -> None:
    """What an operation is for."""
    with LogReader(place.settings) as log:
        low, end = log.log_bounds(place.topic, 0)
    goals = {
        "compact": len(segments) == 1 and segments[0].tier == "cold",
        "freeze": all(segment.tier == "frozen" for segment in segments),
        "forget": low == segments[-1].end,
        "delete": len(segments) == 1,
        "keyed": len(segments) == 1 and segments[0].records < len(expected),
    }
    require(segments[-1].end == expected[-1].offset + 1, "A6", f"archived to {segments[-1].end} of {end}")
    require(goals.get(operation, True), "A6", f"{operation} has not come to its end: {[s.path for s in segments]}")
    replaced = {source.key for sources, _ in place.table.replaced() for source in sources}
    left = replaced & {key for key, _ in place.objects.keys(f"archive/log/{place.topic}/")}
    require(not left or operation not in ("compact", "freeze"), "A6", f"{left} were replaced and are still there")
