"""A worker of the errands as a process: `python -m tests.effects.worker [ROLE ...]`."""

from __future__ import annotations

import sys

import deploy.worker
from tests.effects.errands import CATALOG

if __name__ == "__main__":
    deploy.worker.catalog = lambda: CATALOG  # type: ignore[attr-defined]
    sys.exit(deploy.worker.main(sys.argv[1:]))
