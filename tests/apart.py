"""Work in a process of its own, forked from one without threads: that of the tests has those of many clients."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import get_context

HUNG_S = 120.0
LOADED = ("tests.archive.faults.work", "tests.faults.points")
"""What most of it needs; imported once, in the process that is forked."""

_context = get_context("forkserver")
_context.set_forkserver_preload(list(LOADED))


def exit_code(work: Callable[[str], None], word: str) -> int | None:
    """Of a process that did the work, 0 where nothing was raised; None of one that had to be killed."""
    child = _context.Process(target=work, args=(word,))
    child.start()
    child.join(HUNG_S)
    code = child.exitcode
    if code is None:
        child.kill()
        child.join()
    child.close()
    return code
