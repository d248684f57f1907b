"""What was found of an archive where it was proved."""

from __future__ import annotations

from dataclasses import dataclass, field

from eventlog.archive.table import Segment


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be, with the offsets that it concerns."""

    topic: str
    partition: int
    begin: int
    end: int
    what: str

    @classmethod
    def of(cls, segment: Segment, what: str) -> Fault:
        """Of all that a file has."""
        return cls(segment.topic, segment.partition, segment.begin, segment.end, what)

    def __str__(self) -> str:
        # Of what is lost whole nobody may know how far it went.
        span = f" offsets {self.begin} to {self.end - 1}" if self.begin < self.end else ""
        return f"{self.topic}:{self.partition}{span}: {self.what}"


@dataclass
class Proof:
    """Of one partition."""

    topic: str
    partition: int
    begin: int = 0
    end: int = 0
    """What is archived: from `begin` to before `end`."""
    log_begin: int = 0
    log_end: int = 0
    files: int = 0
    frozen: int = 0
    """Files that were not read, because they would have to be restored; that they are there was seen."""
    unread: list[tuple[int, int]] = field(default_factory=list)
    """Their ranges."""
    records: int = 0
    size: int = 0
    compared: int = 0
    """Records that were held against the log's."""
    faults: list[Fault] = field(default_factory=list)
