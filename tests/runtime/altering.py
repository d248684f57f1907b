"""A worker of the counting domain to which a bit comes altered, once: `ALTERED=FILE python -m tests.runtime.altering`.

The first fetch with the word `SPOILT` in it has a bit of the word turned; the file says that it was.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import deploy.worker
from eventlog.runtime import fetch
from tests.runtime.counting import CATALOG

SPOILT = b"spoilt-once"


class Altering(fetch.Batches):
    """What came of a partition, with a bit turned the first time."""

    def __init__(self, data: bytes) -> None:
        mark = Path(os.environ["ALTERED"])
        at = bytes(data).find(SPOILT)
        if at >= 0 and not mark.exists():
            mark.write_text("altered")
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        super().__init__(data)


if __name__ == "__main__":
    deploy.worker.catalog = lambda: CATALOG  # type: ignore[attr-defined]
    fetch.Batches = Altering  # type: ignore[misc]
    sys.exit(deploy.worker.main(sys.argv[1:]))
