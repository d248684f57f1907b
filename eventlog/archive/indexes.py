"""What checkpoints of one fold there are: an index, whole in itself, that is a new object each time.

Of two runs at the same time the one that writes an index first goes on, and the other ends. Where all begins anew it is
under the next generation, and an index of one before counts no more, whoever may still write it.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from eventlog.archive.objects import Objects
from eventlog.errors import NotFound, OnefactError
from eventlog.sink import Progress

INDEXES_KEPT = 3
"""The newest ones: who has found the name of one reads it."""
ATTEMPTS = 5
"""To read an index: each time it was gone there was a newer one."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NAME = re.compile(r"/index-(\d{8})-(\d{8})\.json$")


class Damaged(OnefactError):
    """A file of a checkpoint, or the index, is missing or altered. The log has all that they had."""


class Overtaken(OnefactError):
    """Another run has written the index meanwhile; what it made is kept, and this run's work is lost."""


@dataclass(frozen=True)
class Checkpoint:
    """Where one stands, and what is known of the facts before it; places are `topic:partition`."""

    number: int
    next: dict[str, int]
    """Offsets that it does not have yet."""
    latest: dict[str, int]
    """Microseconds since 1970 of the latest fact before it, of each place that has any."""
    earliest: dict[str, int]
    """Of the earliest fact since the checkpoint before."""
    files: list[str]
    """By bucket: the digest of its file, empty where it has no rows."""
    rows: int


@dataclass
class Index:
    """Every checkpoint of one fold, oldest first."""

    topics: dict[str, str] = field(default_factory=dict)
    """Kafka's own ids: a topic that is made again is another log."""
    owned: bool = True
    """So far every fact changed only rows whose key begins with the fact's own key."""
    checkpoints: list[Checkpoint] = field(default_factory=list)
    generation: int = 0
    """How often all began anew."""

    @property
    def stands(self) -> tuple[int, int]:
        """What its name says: of two the greater is the newer one."""
        return self.generation, len(self.checkpoints)

    @property
    def files(self) -> set[str]:
        """Digests of all files that it names."""
        return {digest for checkpoint in self.checkpoints for digest in checkpoint.files if digest}


def micros(time: datetime) -> int:
    """Since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def place_name(topic: str, partition: int) -> str:
    return f"{topic}:{partition}"


def progress_of(checkpoint: Checkpoint) -> Progress:
    """Next offset by (topic, partition)."""
    return {(name.rpartition(":")[0], int(name.rpartition(":")[2])): n for name, n in checkpoint.next.items()}


class Indexes:
    """Of one model under one fold; used from any thread. Raises `ServiceAway`, `Damaged`."""

    def __init__(self, objects: Objects, prefix: str, model: str) -> None:
        self._objects = objects
        self._prefix = prefix
        self._model = model
        self._lock = threading.Lock()
        self._read = Index()

    def newest(self) -> tuple[int, int]:
        """Generation and number of the newest one; zeros where there is none."""
        try:
            found = [_NAME.search(key) for key, _ in self._objects.keys(f"{self._prefix}/index-")]
        except NotFound:  # there is not even a bucket
            found = []
        return max(((int(name[1]), int(name[2])) for name in found if name), default=(0, 0))

    def read(self) -> Index:
        """What there is now; empty where nothing is."""
        for _ in range(ATTEMPTS):
            stands = self.newest()
            if stands == (0, 0):
                return Index()
            with self._lock:
                if self._read.stands == stands:
                    return self._read
            try:
                data = self._objects.get(self.path(*stands))
            except NotFound:  # newer ones have come, and this one went
                continue
            index = _parsed(data, stands[0])
            if index is None or index.stands != stands:
                raise self._damaged(stands, "was altered")
            with self._lock:
                self._read = index
            return index
        raise self._damaged(stands, "cannot be read")

    def add(self, index: Index) -> None:
        """Write the next one; raises `Overtaken` where there is one already."""
        if not self._objects.put_new(self.path(*index.stands), _written(index)):
            raise self.overtaken()
        generation, number = index.stands
        if number >= INDEXES_KEPT:
            self._objects.delete(self.path(generation, number - INDEXES_KEPT))

    def touch(self, index: Index) -> None:
        """Leave it as it is, but young."""
        self._objects.put(self.path(*index.stands), _written(index))

    def begin_anew(self, generation: int) -> None:
        """Begin the next generation, if nobody has, and remove those of all before."""
        begun = Index(generation=generation + 1)
        self._objects.put_new(self.path(*begun.stands), _written(begun))
        for key, _ in list(self._objects.keys(f"{self._prefix}/index-")):
            if (name := _NAME.search(key)) is None or int(name[1]) <= generation:
                self._objects.delete(key)

    def kept(self, index: Index) -> set[str]:
        """Names of those that are not removed."""
        generation, number = index.stands
        return {self.path(generation, number - back) for back in range(min(number + 1, INDEXES_KEPT))}

    def path(self, generation: int, number: int) -> str:
        """The name of one."""
        return f"{self._prefix}/index-{generation:08d}-{number:08d}.json"

    def overtaken(self) -> Overtaken:
        """The error of whoever is too late."""
        return Overtaken(f"another run makes checkpoints of {self._model}; what it made is kept, and this run ends")

    def _damaged(self, stands: tuple[int, int], what: str) -> Damaged:
        return Damaged(f"checkpoints of {self._model}: {self.path(*stands)} {what}")


def _written(index: Index) -> bytes:
    return json.dumps(asdict(index)).encode()


def _parsed(data: bytes, generation: int) -> Index | None:
    """None where it is no index."""
    try:
        found = json.loads(data)
        checkpoints = [Checkpoint(**each) for each in found["checkpoints"]]
        return Index(found["topics"], found["owned"], checkpoints, generation)
    except (ValueError, TypeError, KeyError):
        return None
