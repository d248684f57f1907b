"""Files of checkpoints that were read last, unpacked: one key is asked for again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

UNPACKED_BYTES = 128 * 1024 * 1024
"""Of all models of a reader, or of a run, together; a file of 20,000 rows takes some megabytes."""


class Unpacked:
    """By their digests, so that a file is the same whoever asks; used from any thread."""

    def __init__(self, limit_bytes: int = UNPACKED_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()
        self.bytes = 0
        """Of what is kept now."""

    @property
    def count(self) -> int:
        """Files that are kept now."""
        return len(self._tables)

    def get(self, digest: str) -> pa.Table | None:
        """A file that is still kept."""
        with self._lock:
            if (table := self._tables.get(digest)) is not None:
                self._tables.move_to_end(digest)
            return table

    def keep(self, digest: str, table: pa.Table) -> None:
        """Keep it, and forget those that were asked for longest ago; itself, if it is larger than all may be."""
        with self._lock:
            if digest in self._tables:
                return
            self._tables[digest] = table
            self.bytes += table.nbytes
            while self.bytes > self._limit_bytes:
                self.bytes -= self._tables.popitem(last=False)[1].nbytes
