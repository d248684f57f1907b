"""Building a version in several processes, each with partitions of its own.

Positions lie beside the rows, so a process needs to be told what to build and nothing more, and one that is killed has
lost nothing. They end with whoever started them, and hold its lock until they have.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from eventlog.codec import Codec
from eventlog.errors import OnefactError, ServiceAway
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Projection
from eventlog.settings import Settings
from eventlog.sink import Progress
from projections.folding import Place, Window
from projections.rebuild import Rebuild
from projections.stores import open_store

if TYPE_CHECKING:
    from projections.versions import Versions

PARALLEL_OFFSETS_MIN = 200_000
"""Below it a process of its own takes longer to start than it saves."""
ENDED_S = 30.0
"""So long a process that was asked to end may take for the commit that it is in."""


class ProcessKilled(OnefactError):
    """A process was ended from outside, by whoever is short of memory for one. What it had committed is there."""


@dataclass(frozen=True)
class Work:
    """What one process is to do."""

    settings: dict[str, Any]
    projection: Projection
    types: tuple[type[Any], ...]
    upcasters: tuple[Any, ...]
    version: int
    window: Window
    target: Progress


@dataclass
class Done:
    """What was folded."""

    records: int = 0
    dead: int = 0


def workers_for(left: Progress, asked: int | None) -> int:
    """How many processes are worth it for so many offsets of each partition; 1 is this one."""
    there = sum(1 for offsets in left.values() if offsets > 0)
    if asked is not None:
        return max(1, min(asked, there))
    return max(1, min(os.cpu_count() or 1, there)) if sum(left.values()) >= PARALLEL_OFFSETS_MIN else 1


def shares(left: Progress, workers: int) -> list[list[Place]]:
    """Partitions dealt out so that everybody has about as many offsets to fold."""
    dealt: list[tuple[int, list[Place]]] = [(0, []) for _ in range(workers)]
    for place, offsets in sorted(left.items(), key=lambda each: (-each[1], each[0])):
        least = min(range(workers), key=lambda n: dealt[n][0])
        dealt[least] = (dealt[least][0] + offsets, [*dealt[least][1], place])
    return [places for _, places in dealt if places]


def build(versions: Versions, version: int, window: Window, targets: list[Progress]) -> Done | None:
    """Build in as many processes as there are targets; None where the projection cannot be sent to another one."""
    projection, catalog = versions.projection, versions.catalog
    works = []
    for target in targets:
        work = Work(
            versions.settings.model_dump(),
            projection,
            catalog.message_types,
            catalog.upcasters,
            version,
            window,
            target,
        )
        try:
            works.append(pickle.dumps(work))
        except (pickle.PicklingError, AttributeError, TypeError):
            return None  # a function within a function has no name that another process knows
    said: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    done = Done()
    with _started(works, said, versions.lock) as processes:
        left = len(processes)
        while left:
            number, line = said.get()
            if line is None:
                left -= 1
                if (code := processes[number].wait()) < 0:
                    raise ProcessKilled(f"a process that built {projection.model.name} was ended by signal {-code}")
                if code:
                    raise OnefactError(f"a process that built {projection.model.name} ended with {code}")
            elif "at" in line:
                versions.teller.advance((line["topic"], line["partition"]), line["at"])
            elif "away" in line:
                raise ServiceAway(line["away"], line["error"])
            elif "error" in line:
                raise OnefactError(line["error"])
            else:
                done.records += line["records"]
                done.dead += line["dead"]
    return done


@contextmanager
def _started(
    works: list[bytes], said: queue.Queue[tuple[int, dict[str, Any] | None]], lock: int
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes; all have ended when the block has, however it ends."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, work in enumerate(works):
            process = subprocess.Popen(
                [sys.executable, "-m", "projections.building"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[lock],
                start_new_session=True,  # a Ctrl-C is for the one who shares out the work
            )
            processes.append(process)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(work)
            process.stdin.flush()
            threading.Thread(target=_listen, args=(number, process.stdout, said), daemon=True).start()
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(ENDED_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listen(number: int, output: IO[bytes], said: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
    with output:
        for line in output:
            said.put((number, json.loads(line)))
    said.put((number, None))


def main() -> int:
    """One process: build what standard input says, telling of it line by line."""
    work: Work = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        done = _work(work)
    except ServiceAway as away:
        _say({"away": away.service, "error": str(away)})
        return 0
    except OnefactError as error:
        _say({"error": str(error)})
        return 0
    _say({"records": done.records, "dead": done.dead})
    return 0


def _work(work: Work) -> Rebuild:
    settings, projection = Settings(**work.settings), work.projection
    store = open_store(projection.model.store, settings)
    try:
        with (
            Registry(settings.registry) as registry,
            LogReader(settings) as log,
            Rebuild(
                projection,
                store,
                work.version,
                Codec(registry, work.types, work.upcasters),
                log,
                window=work.window,
                places=work.target.keys(),
            ) as made,
        ):
            made.fold(work.target, on_advance=lambda place, at: _say(_advance(place, at)))
            return made
    finally:
        store.close()


def _advance(place: Place, at: int) -> dict[str, Any]:
    return {"topic": place[0], "partition": place[1], "at": at}


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    sys.stdin.buffer.read(1)  # nothing ever comes but the end
    os._exit(1)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # client threads of native libraries may still be ending
