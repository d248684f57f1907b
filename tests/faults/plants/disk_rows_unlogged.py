"""Rows go to disk without a log, since the changelog has them; the position beside them with one."""

from __future__ import annotations

from eventlog.runtime.rocks import RocksStore
from tests.faults.plants._edit import edit


def plant() -> None:
    write = "        self._opened().write(batch, options)\n"
    edit(
        RocksStore,
        "_write",
        ("    batch[_META] = msgspec.msgpack.encode(meta)\n", ""),
        ("disable_wal = not wal", "disable_wal = True"),
        (write, f"{write}        self._opened()[_META] = msgspec.msgpack.encode(meta)\n"),
    )
