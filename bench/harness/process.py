"""A contestant as a process of its own, which is stopped whatever happens."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from bench.harness.stand import ROOT, BenchError

STOP_TIMEOUT_S = 30


class Process:
    """Runs a program while the block lasts; its output is in a file, whose end is in the error when it dies."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._argv, self._env, self._log = list(argv), dict(env), log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                self._argv, env=self._env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def check_alive(self) -> None:
        """Raise `BenchError` when the process has ended."""
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise BenchError(f"{' '.join(self._argv)[:200]} ended with {code}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        return self.log_text()[-3000:]

    def log_text(self) -> str:
        return self._log.read_text(errors="replace")

    def wait(self, timeout_s: float) -> int:
        """Exit code, once it ends by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """Ask it to end; end it by force when that takes too long."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._terminate(process)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
