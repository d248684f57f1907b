"""The one definition of a rate, the same for every contestant, taken from outside by looking at the broker.

Every 20 ms the harness asks the broker for the contestant's committed position in the input topic: the sum over
partitions of its consumer group's committed offsets, which for transactional contestants move when their outputs
become visible. The clock starts at the first look that shows something committed, so that starting a process,
joining a group and the first batch do not count, and neither do the commands of that first look; it stops at the
first look that shows everything. What happens in between counts, compilation at run time included.

    rate = (position at the last look - position at the first look) / (time of the last look - time of the first)

`late_rate` is the same from the first look past the half, by when compilers and caches are warm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.harness.stand import BenchError, Stand
from eventlog.topics import Topic

LOOK_S = 0.02


@dataclass(frozen=True)
class Look:
    """What one look showed."""

    time_s: float
    position: int


@dataclass(frozen=True)
class Measured:
    """A watched run."""

    rate: float
    late_rate: float
    records: int
    seconds: float
    contestant_cores: float
    """Processors that the contestant used, on average, while the clock ran."""
    broker_cores: float
    per_cpu_s: float
    """Records per second of processor time that the contestant used: says something on a busy machine too."""

    def figures(self) -> dict[str, float]:
        return dict(vars(self))


def watch(
    stand: Stand,
    group: str,
    topic: Topic,
    pids: Sequence[int],
    check_alive: Callable[[], None],
    *,
    enough_s: float | None = None,
    ready: Callable[[], bool] = lambda: True,
    timeout_s: float = 900,
) -> Measured:
    """Watch a group until it has committed everything, or for `enough_s` seconds after its first commit.

    The clock does not start before `ready()`. Raises `BenchError` when it takes too long, whatever `check_alive`
    raises when the contestant has died.
    """
    total, begun = stand.commands, time.monotonic()
    looks: list[Look] = []
    cpu_before: dict[str, float] = {}
    while not looks or looks[-1].position < total:
        check_alive()
        now = time.monotonic()
        position = sum(stand.committed(group, topic).values())
        if now - begun > timeout_s:
            raise BenchError(f"{group} has committed {position} of {total} after {timeout_s:.0f} s")
        if position and (looks or position >= total or ready()):
            if not looks:
                cpu_before = stand.cpu(pids)
            looks.append(Look(now, position))
            if enough_s is not None and now - looks[0].time_s >= enough_s:
                break
        time.sleep(LOOK_S)
    return _measured(looks, begun, cpu_before, stand.cpu(pids))


def _measured(looks: list[Look], begun: float, before: dict[str, float], after: dict[str, float]) -> Measured:
    first, last = looks[0], looks[-1]
    if first.position == last.position:  # so little that it was all there at the first look: then the start counts
        first = Look(begun, 0)
    middle = next(look for look in looks if look.position >= (first.position + last.position) / 2)
    seconds = last.time_s - first.time_s
    used_s = after["contestant"] - before["contestant"]
    return Measured(
        rate=_rate(first, last),
        late_rate=_rate(middle, last) if middle.position < last.position else _rate(first, last),
        records=last.position - first.position,
        seconds=seconds,
        contestant_cores=used_s / seconds,
        broker_cores=(after["broker"] - before["broker"]) / seconds,
        per_cpu_s=(last.position - first.position) / max(used_s, 0.01),
    )


def _rate(first: Look, last: Look) -> float:
    return (last.position - first.position) / (last.time_s - first.time_s)
