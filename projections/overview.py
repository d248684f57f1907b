"""What read models there are, where they are kept, and how far behind the log they are."""

from __future__ import annotations

from dataclasses import dataclass

from eventlog.position import Position
from eventlog.reader import LogReader
from projections.keys import described
from projections.reader import Reader
from projections.stores import left_out


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
    """Every read model but those of stores that are left out, in the catalog's order. Raises `ServiceAway`."""
    found = []
    with LogReader(reader.settings.required("kafka")) as log:
        for model in reader.models():
            if left_out(model.store, reader.settings):
                continue
            store = reader.store(model.name)
            progress = store.progress(model)
            position = Position({place: n for place, n in progress.items() if n})
            live = store.live_version(model)
            ends = {
                place: end
                for topic in reader.projection(model.name).sources
                for place, end in log.ends(topic.name).items()
            }
            lag = log.waiting({place: (progress.get(place, 0), end) for place, end in ends.items()})
            versions = store.versions(model) or [live]
            found.append(ModelState(model.name, model.store, described(model), live, versions, str(position), lag))
    return found
