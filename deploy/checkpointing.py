"""Keeps checkpoints of the read models while a worker archives, in a process of its own: folding needs a core."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading

import psutil
import structlog

FIRST_S = 300.0
"""From a worker's start to its first run, where runs are not closer together: what starts has other things to do."""
NICE = 10
END_S = 10.0
"""For a run that is asked to end; the next one goes on where it was."""
COMMAND = (sys.executable, "-m", "deploy.cli", "checkpoint", "--json")

log = structlog.get_logger()


class Checkpointing(threading.Thread):
    """Runs `onefact checkpoint` again and again until it is stopped."""

    def __init__(self, every_s: float) -> None:
        super().__init__(name="checkpointing", daemon=True)
        self._every_s = every_s
        self._leaving = threading.Event()
        self._starting = threading.Lock()
        self._run: subprocess.Popen[str] | None = None

    def stop(self) -> None:
        """Leave no process behind."""
        with self._starting:
            self._leaving.set()
        if self._run is not None and self._run.poll() is None:
            self._run.terminate()
            try:
                self._run.wait(END_S)
            except subprocess.TimeoutExpired:
                self._run.kill()
        self.join()

    def run(self) -> None:
        pause_s = min(FIRST_S, self._every_s)
        while not self._leaving.wait(pause_s):
            pause_s = self._every_s
            with self._starting:
                if self._leaving.is_set():
                    return
                try:
                    self._run = subprocess.Popen(
                        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
                    )
                except OSError as error:  # no memory, or too many processes: for now
                    log.warning("no checkpoints", error=str(error), again_s=pause_s)
                    continue
            with contextlib.suppress(psutil.Error):  # it has ended already
                psutil.Process(self._run.pid).nice(NICE)
            _, errors = self._run.communicate()
            if self._run.returncode and not self._leaving.is_set():
                # Whoever reads as of a point folds more of the log meanwhile; nothing is wrong.
                log.warning("no checkpoints", code=self._run.returncode, error=errors.strip()[-2_000:])
