"""What a store must do to hold read models: apply rows and position in one step, fenced by the position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from eventlog.models import Key, Model, Row
from eventlog.operations import Change


class Sink(Protocol):
    """One model version's rows and the progress of one partition of one of its topics.

    Synchronous; a worker calls it from a thread. Every method raises `ServiceAway` when the store does not answer.
    """

    def open(self) -> int:
        """Connect; the next offset that this partition of the model needs (0 for a new one)."""

    def apply(self, changes: Mapping[Key, Change], next_offset: int) -> None:
        """Commit rows and position together, if the position is still what this sink last wrote.

        Raises `Fenced` when it is not (another owner, a switched version, an emptied store): nothing was applied.
        """

    def close(self) -> None:
        """Release the connection; never raises."""


Progress = dict[tuple[str, int], int]
"""Next offset by (topic, partition)."""


class Store(Protocol):
    """A store of read models, each in numbered versions of which one is live. Raises `ServiceAway` as `Sink` does."""

    name: str

    def prepare(self, models: list[Model]) -> None:
        """Create what is missing, apply migrations, check what is there.

        Idempotent and safe when several workers do it at once. Raises `OnefactError` saying what differs, or by which
        setting of the server it may lose rows and keep their position.
        """

    def doubts(self) -> list[str]:
        """What the server may lose together with its position, to be caught up from the log: told, no error."""

    def live_version(self, model: Model) -> int:
        """Version that readers see; 1 for a model that was never rebuilt."""

    def sink(self, model: Model, topic: str, partition: int, version: int | None = None) -> Sink:
        """Where one partition's facts go; `version` None follows the live one (asked anew at each `open`)."""

    def progress(self, model: Model, version: int | None = None) -> Progress:
        """What the (live) version has applied."""

    def get(self, model: Model, key: Key, version: int | None = None) -> Row | None:
        """One row of the live version, or of another."""

    def scan(self, model: Model, version: int | None = None) -> Iterator[Row]:
        """Every row; in key order for tables, highest score first for sorted sets, in no order for hashes."""

    def create_version(self, model: Model, note: str = "") -> int:
        """Number of a new, empty version beside the live one; no number is given twice.

        The note says who makes it and what it is to be, and stays until the version is live.
        """

    def notes(self, model: Model) -> dict[int, str]:
        """What was noted of versions, where they exist and never were live."""

    def previous_version(self, model: Model) -> int | None:
        """Version that was live before the last switch, if it still exists."""

    def switch(self, model: Model, version: int, progress: Progress, live: int | None = None) -> bool:
        """Make the version live, if the live one is `live` (where given) and its progress exactly `progress`.

        Atomic for readers. The old version's owners are fenced, and find the new one when they reopen.
        False, and nothing changed, when the live version has moved on meanwhile, or is another one.
        """

    def amend(self, model: Model, changes: Mapping[Key, Change], progress: Progress) -> bool:
        """Write rows of the live version anew, if its progress is exactly `progress` at that moment.

        Each change is a whole row: it has `reset`, whatever was there before goes. Owners are fenced, since they may
        remember what a row was, and go on when they reopen. False, and nothing changed, when live has moved on.
        """

    def drop_version(self, model: Model, version: int) -> None:
        """Remove a version that is not live, rows and progress."""

    def versions(self, model: Model) -> list[int]:
        """Versions that exist, oldest first."""

    def close(self) -> None:
        """Release connections."""
