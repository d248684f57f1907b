"""A process that outlives its parent and is found again; never a stranger that got its pid."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.stack.home import Home, write_private

CLOCK_SLACK_S = 2.0
"""psutil derives the creation time from the boot time, which is known to the second only."""


@dataclass(frozen=True)
class Launch:
    """What to run; `user` is a (uid, gid) to become."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int] | None = None


_children: list[subprocess.Popen[bytes]] = []
"""Kept to the end: they are meant to outlive this process, which Python would warn about."""

# The process writes its pid before it becomes the program, through a file that is open already.
# So there is no moment in which it runs and is not recorded, even when its parent is killed.
_RECORD_THEN_RUN = 'echo $$ >&0; exec "$@" </dev/null'


class KeptProcess:
    """A named process of a home, with its record in run/NAME.json and its output in logs/NAME.log."""

    def __init__(
        self,
        home: Home,
        name: str,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout_s: float = 20.0,
    ) -> None:
        self.home = home
        self.name = name
        self.record = home.run / f"{name}.json"
        self.stop_signal = stop_signal
        self.stop_timeout_s = stop_timeout_s
        self._child: subprocess.Popen[bytes] | None = None

    def find(self) -> psutil.Process | None:
        """The recorded process when it still runs: same pid and same creation time."""
        try:
            known = json.loads(self.record.read_text())
            written = self.record.stat().st_mtime
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        pid = known if isinstance(known, int) else known["pid"]
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            created = process.create_time()
        except psutil.NoSuchProcess:
            return None
        if isinstance(known, int):  # recorded by the process itself, which is older than the record
            ours = created <= written + CLOCK_SLACK_S
        else:
            ours = abs(created - known["created"]) <= CLOCK_SLACK_S
        return process if ours else None

    def alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self.find() is not None

    def pid(self) -> int | None:
        process = self.find()
        return process.pid if process else None

    def exit_code(self) -> int | None:
        """Of a child that ended; unknown for an adopted process."""
        return self._child.poll() if self._child else None

    def start(self, launch: Launch) -> None:
        """Start it unless it runs already, in a session of its own so that no Ctrl-C reaches it."""
        _children[:] = [child for child in _children if child.poll() is None]
        self._child = self._child if self._child in _children else None
        if self.alive():
            return
        record = os.open(self.record, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        output = os.open(self.home.log(self.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            uid, gid = launch.user or (None, None)
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", _RECORD_THEN_RUN, self.name, *launch.argv],
                cwd=launch.cwd,
                env=dict(launch.env),
                stdin=record,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            )
            _children.append(self._child)
        finally:
            os.close(record)
            os.close(output)
        with contextlib.suppress(psutil.NoSuchProcess):
            created = psutil.Process(self._child.pid).create_time()
            write_private(self.record, json.dumps({"pid": self._child.pid, "created": created}))

    def signal(self, number: signal.Signals) -> None:
        """Signal it, if it is still ours."""
        process = self.find()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self) -> bool:
        """Ask it to end, wait, then kill it; True when it ended by itself."""
        self.signal(self.stop_signal)
        self.signal(signal.SIGCONT)  # a paused one would never see the request
        graceful = self._gone(self.stop_timeout_s)
        if not graceful:
            self.signal(signal.SIGKILL)
            self._gone(10.0)
        self.record.unlink(missing_ok=True)
        return graceful

    def _gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True
