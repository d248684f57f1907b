"""`onefact archive run`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from eventlog.errors import NotFound, OnefactError

if TYPE_CHECKING:
    from eventlog.settings import Settings
    from eventlog.topics import Topic


LOOK_S = 0.5
LOOKS = 10
"""For a moment at which nothing is under way, that the archive can be brought back to."""


def run(
    *,
    until_now: Annotated[
        bool, typer.Option("--until-now", help="End when what is in the log at the start is archived.")
    ] = False,
) -> None:
    """Archive every topic but the answers, until SIGTERM. The same as `onefact worker archiver`.

    Example: onefact archive run --until-now
    """
    import os

    from deploy.memory import lean
    from deploy.worker import main

    lean()
    if until_now:
        os.environ["ONEFACT_ARCHIVE_AGE_S"] = "1"
        _stop_when_archived()
    code = main(["archiver"])
    sys.stdout.flush()
    sys.stderr.flush()
    # As `onefact worker`: client threads of native libraries may still be ending.
    os._exit(code)


def _stop_when_archived() -> None:
    """Ask this process to end once everything that is in the log now is committed to the archive."""
    import os
    import signal
    import threading
    import time

    from eventlog.archive.objects import Objects
    from eventlog.discovery import catalog
    from eventlog.settings import Settings
    from eventlog.upkeep.quiet import Cutter, archived_to

    settings = Settings().required("kafka", "registry", "s3")
    objects, archiver = Objects(settings), catalog().archiver
    sources = archiver.sources
    cutter = Cutter(objects, {topic.name: topic.partitions for topic in sources}, archiver.published)

    def watch() -> None:
        ends: dict[tuple[str, int], int] | None = None
        while True:
            try:
                ends = _ends(settings, sources) if ends is None else ends
                if archived_to(objects, ends):
                    for _ in range(LOOKS):
                        if cutter.look() is not None:
                            break
                        time.sleep(LOOK_S)
                    break
            except OnefactError:
                pass  # services may come later than their workers
            time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="until now", daemon=True).start()


def _ends(settings: Settings, topics: tuple[Topic, ...]) -> dict[tuple[str, int], int]:
    from eventlog.reader import LogReader

    with LogReader(settings) as log:
        ends = {place: end for topic in topics for place, end in log.ends(topic.name).items()}
    if not ends:
        raise NotFound("there are no topics yet")
    return ends
