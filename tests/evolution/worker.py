"""A worker of the counting domain in the release that `RELEASE` names: `python -m tests.evolution.worker`."""

from __future__ import annotations

import os
import sys

import deploy.worker
from tests.evolution.bonus import NEXT
from tests.runtime.counting import CATALOG

RELEASES = {"1": CATALOG, "2": NEXT}

if __name__ == "__main__":
    deploy.worker.catalog = lambda: RELEASES[os.environ["RELEASE"]]  # type: ignore[attr-defined]
    sys.exit(deploy.worker.main(sys.argv[1:]))
