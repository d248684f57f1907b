"""A file of the archive: what it holds is in its name, so both are committed together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from eventlog.errors import OnefactError

ROOT = "archive/log"

Tier = Literal["warm", "cold", "frozen"]
TIERS: tuple[Tier, ...] = get_args(Tier)
_PATH = re.compile(
    r"(?P<tier>warm|cold|frozen)/(?P<partition>\d+)/(?P<begin>\d+)-(?P<end>\d+)-(?P<digest>[0-9a-f]{64})\.parquet"
)


@dataclass(frozen=True, order=True)
class Segment:
    """A file: what one partition's log holds from offset `begin` to before `end`."""

    topic: str
    partition: int
    begin: int
    end: int
    tier: Tier
    digest: str
    size: int
    """In bytes."""
    records: int
    written_ms: int
    """When the youngest of its records was archived first; moves between tiers do not change it."""

    @property
    def path(self) -> str:
        """Below the table."""
        return f"{self.tier}/{self.partition}/{self.begin:020d}-{self.end:020d}-{self.digest}.parquet"

    @property
    def key(self) -> str:
        """In the bucket."""
        return f"{ROOT}/{self.topic}/{self.path}"

    @property
    def span(self) -> str:
        """The range in words."""
        return f"{self.topic}:{self.partition} offsets {self.begin} to {self.end - 1}"


def segment_of(topic: str, path: str, size: int, written_ms: int, records: int) -> Segment:
    """The file that a table has under a path."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise OnefactError(f"the table of {topic} has a file that no archiver wrote: {path}")
    tier: Any = found["tier"]
    begin, end = int(found["begin"]), int(found["end"])
    return Segment(topic, int(found["partition"]), begin, end, tier, found["digest"], size, records, written_ms)


def row_of(segment: Segment) -> list[Any]:
    """A segment in a commit's own words, for `segment_of`."""
    return [segment.path, segment.size, segment.written_ms, segment.records]
