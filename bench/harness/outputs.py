"""All contestants of a contest must write the same facts: same keys, same bytes, same headers, same order."""

from __future__ import annotations

from dataclasses import dataclass

from bench.harness.stand import BenchError, Stand
from eventlog.reader import LogReader
from eventlog.topics import Topic


@dataclass(frozen=True)
class Outputs:
    """A hash of each record, in order, by partition."""

    partitions: dict[int, list[int]]

    @property
    def records(self) -> int:
        return sum(map(len, self.partitions.values()))


def read(stand: Stand, topic: str) -> Outputs:
    """Every committed record of the topic; the order of headers does not matter."""
    found: dict[int, list[int]] = {}
    with LogReader(stand.settings) as reader:
        ranges = {place: (0, end) for place, end in reader.ends(topic).items()}
        for (_, partition), messages, _ in reader.batches(ranges):
            hashes = found.setdefault(partition, [])
            hashes.extend(hash((m.key(), m.value(), frozenset(m.headers() or ()))) for m in messages)
    return Outputs(found)


def check(stand: Stand, contestant: str, events: str, rejections: str, *, whole: bool = True) -> int:
    """Compare what a contestant wrote with what the first one of this invocation wrote; number of events.

    Where it was stopped early (`whole` is False), it must have written the beginning of each partition.
    Raises `BenchError` saying what differs.
    """
    written = {kind: read(stand, topic) for kind, topic in (("events", events), ("rejections", rejections))}
    counts = {kind: outputs.records for kind, outputs in written.items()}
    if whole and sum(counts.values()) != stand.commands:
        raise BenchError(f"{contestant}: {stand.commands} commands led to {counts}")
    if not counts["events"]:
        raise BenchError(f"{contestant} wrote no events")
    expected = stand.shared.get("outputs")
    if expected is None:
        if whole:
            stand.shared["outputs"] = written
        return counts["events"]
    assert isinstance(expected, dict)
    for kind, outputs in written.items():
        for partition, right in expected[kind].partitions.items():
            mine = outputs.partitions.get(partition, [])
            if mine != (right if whole else right[: len(mine)]):
                at = next((i for i, (a, b) in enumerate(zip(mine, right, strict=False)) if a != b), len(mine))
                raise BenchError(
                    f"{contestant}: {kind} of partition {partition} differ from the others' at record {at} "
                    f"({len(mine)} written, {len(right)} expected)"
                )
    return counts["events"]


def as_topic(like: Topic, name: str, *, compacted: bool = False) -> Topic:
    """A topic of a peer: the shape of the product's, under another name, without dead letters."""
    return Topic(name, (), like.partitions, compacted=compacted, dead_letters=False)
