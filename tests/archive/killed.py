"""Archives 400 records in files of 50, and kills itself at a named point: killed.py TOPIC POINT NTH."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from typing import Any

from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink
from eventlog.archive.table import Table
from eventlog.settings import Settings
from tests.archive.test_sink import drawn

passed: Counter[str] = Counter()


def at(point: str) -> None:
    passed[point] += 1
    if point == sys.argv[2] and passed[point] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, method: str, name: str) -> None:
    inner = getattr(owner, method)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        at(f"before {name}")
        answer = inner(*arguments, **named)
        at(f"after {name}")
        return answer

    setattr(owner, method, wrapped)


def main() -> None:
    around(Objects, "put", "file")
    around(Table, "append", "commit")
    objects = Objects(Settings())
    sink = PartitionSink(objects, Table(objects, sys.argv[1]), 0)
    begin = sink.open(lambda: 0)
    wanted = [record for record in drawn(400, seed=7) if record.offset >= begin]
    for start in range(0, len(wanted), 50):
        sink.add(wanted[start : start + 50])
        sink.flush()


if __name__ == "__main__":
    main()
