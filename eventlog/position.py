"""Positions are vectors: the next offset of each partition of each topic that somebody has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from eventlog.errors import BadInput


@dataclass(frozen=True, slots=True)
class Position:
    """Next offset by (topic, partition); a partition that is not named is at 0.

    As text (`str(position)`, `Position.parse`) it is opaque to clients: they hand back what they were given.
    """

    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, topic: str, partition: int, next_offset: int) -> Position:
        return cls({(topic, partition): next_offset})

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what `str` wrote; raises `BadInput` on anything else."""
        offsets = {}
        for part in filter(None, text.split(",")):
            try:
                topic, partition, offset = part.rsplit(":", 2)
                key, next_offset = (topic, int(partition)), int(offset)
            except ValueError:
                raise BadInput(f"not a position: {text[:80]!r}; give one that `send --wait` returned") from None
            if not topic or key[1] < 0 or next_offset < 0:
                raise BadInput(f"not a position: {text[:80]!r}; give one that `send --wait` returned")
            offsets[key] = next_offset
        return cls(offsets)

    def __str__(self) -> str:
        return ",".join(f"{t}:{p}:{n}" for (t, p), n in sorted(self.offsets.items()))

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        for (topic, partition), offset in sorted(self.offsets.items()):
            yield topic, partition, offset

    def covers(self, other: Position) -> bool:
        """Whether everything before `other` is before this one too."""
        return all(self.offsets.get(key, 0) >= offset for key, offset in other.offsets.items())

    def join(self, other: Position) -> Position:
        """The least position that covers both."""
        keys = self.offsets.keys() | other.offsets.keys()
        return Position({k: max(self.offsets.get(k, 0), other.offsets.get(k, 0)) for k in keys})
