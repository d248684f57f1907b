"""Facts into changes of a read model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventlog.codec import Codec
from eventlog.envelope import Meta, RawRecord, metas_of, read_meta
from eventlog.errors import HandlerFailed, Poison, Superseded
from eventlog.models import Key
from eventlog.operations import Append, Change, Operation, coalesce
from eventlog.roles import Projection
from eventlog.rows import Outputs
from eventlog.topics import Topic


class Projected(Outputs):
    """What a batch does to the model: one change per row."""

    __slots__ = ("changes", "counts", "next_offset")

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[Key, Change] = {}
        self.counts = {"projected": 0, "dead": 0}
        self.next_offset = 0


class ProjectStep:
    """One projection over one of its topics."""

    def __init__(self, projection: Projection, source: Topic, codec: Codec) -> None:
        self.projection = projection
        self.source = source
        self.codec = codec
        self._decode = codec.decoder(source, projection.wanted)

    def run(self, records: Sequence[RawRecord]) -> Projected:
        """Fold the records, which follow one another, into changes.

        Raises `UnknownSchema`, and `HandlerFailed` when the domain's function raises.
        """
        done = Projected()
        operations: list[Operation] = []
        on, decode, source = self.projection.on, self._decode, self.source
        for record in records:
            parts: Sequence[Any] = ()
            try:
                try:
                    event: Any = decode(record.value)
                except Superseded as old:
                    event, parts = None, old.messages
                if event is None and not parts:
                    continue  # of a type that the projection is not for
                meta = read_meta(record)
            except Poison as poison:
                done.counts["dead"] += 1
                done.dead(record, source, self.projection.name, poison)
                continue
            if parts:
                operations.extend(self._of_parts(parts, meta, record))
                continue
            try:
                operations.extend(on(event, meta))
            except Exception as error:
                name = self.projection.name
                raise HandlerFailed(name, record.topic, record.partition, record.offset, error) from error
        done.counts["projected"] = len(records) - done.counts["dead"]
        done.changes = coalesce(operations)
        done.next_offset = records[-1].offset + 1
        return done

    def _of_parts(self, messages: Sequence[Any], meta: Meta, record: RawRecord) -> list[Operation]:
        """Operations of what upcasters made of one record."""
        try:
            wanted = [each for each in metas_of(meta, messages) if type(each[0]) in self.projection.wanted]
            found = [operation for part, own in wanted for operation in self.projection.on(part, own)]
            appended = [operation.key for operation in found if type(operation) is Append]
            if len(set(appended)) < len(appended):
                raise ValueError("parts of one record append rows under one key; put `meta.part` into it")
            return found
        except Exception as error:
            name = self.projection.name
            raise HandlerFailed(name, record.topic, record.partition, record.offset, error) from error
