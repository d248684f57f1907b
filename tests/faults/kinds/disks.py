"""Faults of disks: that of a worker's state is full."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.case import Case, Skipped

DISK_MB = 640
"""RocksDB sets room aside for its write-ahead log, for each of up to eight partitions."""
FULL_S = 15.0
VICTIM = "a"


def disk(case: Case) -> None:
    """The disk with a worker's state fills up under load, and has room again after 15 s; half the time with a kill."""
    stand, rng = case.stand, case.rng
    folder = stand.state_folder(VICTIM)
    with small_disk(case, folder):
        case.publish(case.commands(200, 400))
        case.settle(time.monotonic())
        case.start_publishing(case.commands(1000, 2000), 5.0)
        time.sleep(rng.uniform(0, 3))
        ballast = folder / "ballast"
        fill(ballast)
        full = time.monotonic()
        if case.number % 2:
            case.notes["at"] = "and its worker killed"
            stand.kill(VICTIM)
        time.sleep(max(0.0, full + FULL_S - time.monotonic()))
        case.publish(case.commands(200, 400))
        ballast.unlink()
        case.settle(time.monotonic())
        stand.wait_ready()


@contextlib.contextmanager
def small_disk(case: Case, folder: Path) -> Iterator[None]:
    """A file system of its own for the worker's state while the case lasts; the state is built anew at both ends."""
    if os.geteuid() != 0:
        raise Skipped("a file system can be mounted by root only")
    stand = case.stand
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(folder)]
    with stand.without(VICTIM):
        folder.mkdir(parents=True, exist_ok=True)
        mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        raise Skipped(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        stand.wait_ready()
        yield
    finally:
        case.join()
        with stand.without(VICTIM):
            subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def fill(ballast: Path) -> None:
    """Take all room that is left."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
