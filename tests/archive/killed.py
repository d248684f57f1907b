"""Archives 400 records in files of 50, and kills itself at a named point: killed.py TOPIC POINT NTH."""

from __future__ import annotations

import sys

from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink
from eventlog.archive.table import Table
from eventlog.settings import Settings
from tests.archive.points import arm, around
from tests.archive.test_sink import drawn


def main() -> None:
    arm(sys.argv[2], int(sys.argv[3]))
    around(Objects, "put", "before file", "after file")
    around(Table, "append", "before commit", "after commit")
    objects = Objects(Settings())
    sink = PartitionSink(objects, Table(objects, sys.argv[1]), 0)
    begin = sink.open(lambda: 0)
    wanted = [record for record in drawn(400, seed=7) if record.offset >= begin]
    for start in range(0, len(wanted), 50):
        sink.add(wanted[start : start + 50])
        sink.flush()


if __name__ == "__main__":
    main()
