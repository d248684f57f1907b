"""A worker of the counting domain as a process: `python -m tests.runtime.worker [ROLE ...]`."""

from __future__ import annotations

import sys

import deploy.worker
from tests.runtime.counting import CATALOG

if __name__ == "__main__":
    deploy.worker.catalog = lambda: CATALOG  # type: ignore[attr-defined]
    sys.exit(deploy.worker.main(sys.argv[1:]))
