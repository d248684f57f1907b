"""What read models there are, where they are kept, and how far behind the log they are."""

from __future__ import annotations

from dataclasses import dataclass

from eventlog.position import Position
from eventlog.sink import Progress
from projections.keys import described
from projections.log import PromptLogReader
from projections.reader import Reader

COUNTED_MAX = 10_000
"""A lag up to this is counted in records; a longer one in offsets, of which a few are transactions' markers."""


@dataclass(frozen=True)
class ModelState:
    """One read model; `lag` is the number of records that it has not applied."""

    name: str
    store: str
    key: str
    live: int
    versions: list[int]
    position: str
    lag: int


def overview(reader: Reader) -> list[ModelState]:
    """Every read model, in the catalog's order. Raises `ServiceAway`."""
    found = []
    with PromptLogReader(reader.settings.required("kafka")) as log:
        for model in reader.models():
            store = reader.store(model.name)
            progress = store.progress(model)
            position = Position({place: n for place, n in progress.items() if n})
            live = store.live_version(model)
            lag = _lag(log, [topic.name for topic in reader.projection(model.name).sources], progress)
            versions = store.versions(model) or [live]
            found.append(ModelState(model.name, model.store, described(model), live, versions, str(position), lag))
    return found


def _lag(log: PromptLogReader, topics: list[str], progress: Progress) -> int:
    ranges = {}
    for topic in topics:
        for place, end in log.ends(topic).items():
            begin = progress.get(place, 0)
            if begin < end:
                ranges[place] = (begin, end)
    behind = sum(end - begin for begin, end in ranges.values())
    if behind > COUNTED_MAX:
        return behind
    return sum(len(messages) for _, messages, _ in log.batches(ranges))
