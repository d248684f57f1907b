"""The frozen tier: files in an archive class of the store, which are asked for and read hours later.

All that is peculiar to it is here. A store without such a class has it simulated (`SIMULATED`): a note beside the file
says whether it can be read, and since when it was asked for; everything else is the same code.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eventlog.archive.objects import ArchiveClass, Frozen, Objects, Speed
from eventlog.archive.table import Segment
from eventlog.errors import NotFound, OnefactError

State = Literal["frozen", "restoring", "readable"]

NOTES = "archive/simulated"
SIMULATED_S: dict[Speed, float] = {"Expedited": 0.5, "Standard": 2.0, "Bulk": 5.0}
"""How long a simulated restore takes."""
DAYS = 7
"""So long what was restored can be read."""
LOOK_S = 30.0
DAY_S = 24 * 3600.0


class NotFrozen(OnefactError):
    """The store did not take the object into the class, or changed it on the way; nothing was given up."""


def freeze(objects: Objects, key: str, archive_class: ArchiveClass) -> None:
    """Put an object that can be read into an archive class, and see that it is there and is still the same.

    Raises `NotFrozen`.
    """
    if archive_class == "SIMULATED":
        _note(objects, key, {"asked": None})
        return
    before = objects.head(key)
    objects.copy(key, key, archive_class)
    after = objects.head(key)
    if (after.storage_class, after.size, after.etag) != (archive_class, before.size, before.etag):
        raise NotFrozen(
            f"{key} is in the class {after.storage_class} now, {after.size} bytes: {archive_class} was asked"
        )


def state_of(objects: Objects, key: str) -> State:
    """Whether an object can be read; raises `NotFound`."""
    if (note := _noted(objects, key)) is not None:
        asked = note["asked"]
        if asked is None or time.time() > asked + note["days"] * DAY_S:
            return "frozen"
        return "readable" if time.time() >= asked + note["takes_s"] else "restoring"
    found = objects.head(key)
    if found.storage_class not in ("GLACIER", "DEEP_ARCHIVE"):
        return "readable"
    if 'ongoing-request="true"' in found.restore:
        return "restoring"
    return "readable" if 'ongoing-request="false"' in found.restore else "frozen"


def ask(objects: Objects, key: str, speed: Speed, days: int) -> None:
    """Have an object restored; asked twice is asked once."""
    note = _noted(objects, key)
    if note is None:
        objects.restore(key, speed, days)
    elif state_of(objects, key) == "frozen":
        _note(objects, key, {"asked": time.time(), "days": days, "takes_s": SIMULATED_S[speed]})


def require_readable(objects: Objects, key: str) -> None:
    """Raise `Frozen` where a simulated store would: a real one says so itself."""
    if _noted(objects, key) is not None and state_of(objects, key) != "readable":
        raise Frozen(key)


def forget(objects: Objects, key: str) -> None:
    """The object is gone."""
    objects.delete(f"{NOTES}/{key}.json")


def _note(objects: Objects, key: str, note: dict[str, float | None]) -> None:
    objects.put(f"{NOTES}/{key}.json", json.dumps(note).encode())


def _noted(objects: Objects, key: str) -> dict[str, float] | None:
    try:
        found: dict[str, float] = json.loads(objects.get(f"{NOTES}/{key}.json"))
    except NotFound:
        return None
    return found


@dataclass(frozen=True)
class Request:
    """Files of one partition that have to be restored before a range can be read."""

    objects: Objects
    segments: Sequence[Segment]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(segment.size for segment in self.segments)

    def lacking(self) -> list[Segment]:
        """Those that nobody has asked for."""
        return [segment for segment in self.segments if state_of(self.objects, segment.key) == "frozen"]

    def states(self) -> Counter[State]:
        """How many files are in which state, as of now."""
        return Counter(state_of(self.objects, segment.key) for segment in self.segments)

    def ask(self, speed: Speed = "Standard", days: int = DAYS) -> None:
        """Have all of them restored that are not; that costs, and takes minutes to hours."""
        for segment in self.lacking():
            ask(self.objects, segment.key, speed, days)

    def wait(self, look_s: float = LOOK_S) -> None:
        """Return when all can be read. Raises `OnefactError` where one was not asked for."""
        while (states := self.states()).keys() - {"readable"}:
            if states["frozen"]:
                raise OnefactError(f"{states['frozen']} files are frozen, and nobody has asked for them")
            time.sleep(look_s)


class RangeFrozen(Frozen):
    """A range that lies in the frozen tier; `request` is what it takes to read it."""

    def __init__(self, request: Request) -> None:
        first, last = request.segments[0], request.segments[-1]
        place = f"{first.topic}:{first.partition}"
        OnefactError.__init__(
            self,
            f"{place} offsets {first.begin} to {last.end - 1} are frozen ({len(request.segments)} files, "
            f"{request.size:,} bytes): onefact archive restore {place} --from {first.begin} --to {last.end} --wait",
        )
        self.request = request
