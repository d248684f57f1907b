"""What is archived, and how far behind the log it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventlog.archive.objects import Objects
from eventlog.archive.past import Past
from eventlog.reader import LogReader


def statuses(objects: Objects, log: LogReader, topics: Mapping[str, int]) -> list[dict[str, Any]]:
    """One dict a partition: offsets of archive and log, records that wait, files, bytes, bytes by tier."""
    past, found = Past(objects.settings), []
    for topic, partitions in topics.items():
        for partition in range(partitions):
            segments = past.segments(topic, partition)
            log_begin, log_end = log.log_bounds(topic, partition)
            end = segments[-1].end if segments else None
            tiers: dict[str, int] = {}
            for segment in segments:
                tiers[segment.tier] = tiers.get(segment.tier, 0) + segment.size
            found.append(
                {
                    "topic": topic,
                    "partition": partition,
                    "begin": segments[0].begin if segments else None,
                    "end": end,
                    "log_begin": log_begin,
                    "log_end": log_end,
                    "waiting": log.waiting({(topic, partition): (max(end or 0, log_begin), log_end)}),
                    "records": sum(segment.records for segment in segments),
                    "files": len(segments),
                    "bytes": sum(segment.size for segment in segments),
                    "tiers": tiers,
                }
            )
    return found
