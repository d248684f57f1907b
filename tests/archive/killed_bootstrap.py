"""Brings back what is archived, and kills itself at a named point: killed_bootstrap.py POINT NTH."""

from __future__ import annotations

import sys

from eventlog.archive import meta
from eventlog.bootstrap.refill import Refill
from eventlog.bootstrap.whole import bootstrap, wanted_topics
from eventlog.settings import Settings
from tests.archive.points import arm, around


def main() -> None:
    arm(sys.argv[1], int(sys.argv[2]))
    around(Refill, "_fill", "fill", "filled")
    around(Refill, "write", "write", "written")
    around(meta, "succeed_topic", "noted", "done")
    bootstrap(Settings(), wanted_topics(Settings()))


if __name__ == "__main__":
    sys.exit(main())
