"""The state of a stack: one folder, which only its user can read."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.stack.model import NotUp
from eventlog.settings import STACK_FILE

LOG_BYTES_MAX = 32 * 1024 * 1024
LOG_TAIL_LINES = 15


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its user can ever read it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(temporary).replace(path)


def _password() -> str:
    return secrets.token_urlsafe(24)


class Home:
    """`$ONEFACT_HOME`: stack.json, secrets.json, data/, logs/ and run/."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.stack_file = self.path / STACK_FILE
        self.data = self.path / "data"
        self.logs = self.path / "logs"
        self.run = self.path / "run"

    def make(self) -> None:
        """Create what is missing, readable to its user alone."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for folder in (self.data, self.logs, self.run):
            folder.mkdir(mode=0o700, exist_ok=True)

    def read_stack(self) -> dict[str, Any]:
        """The last plan of `up`, or an empty one."""
        try:
            document: dict[str, Any] = json.loads(self.stack_file.read_text())
        except FileNotFoundError:
            return {}
        return document

    def write_stack(self, document: dict[str, Any]) -> None:
        write_private(self.stack_file, json.dumps(document, indent=2) + "\n")

    def secret(self, name: str, make: Callable[[], str] = _password) -> str:
        """The password of a service: generated on first use, then kept, since the data carries it."""
        path = self.path / "secrets.json"
        with self.lock("secrets"):
            try:
                kept: dict[str, str] = json.loads(path.read_text())
            except FileNotFoundError:
                kept = {}
            if name not in kept:
                kept[name] = make()
                write_private(path, json.dumps(kept, indent=2) + "\n")
            return kept[name]

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The end of a log, indented, to be shown below an error."""
        try:
            with self.log(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
                lines = file.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "  (it wrote no log)"
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:]) or "  (its log is empty)"

    def trim_logs(self) -> None:
        """Keep each log below `LOG_BYTES_MAX`, and one older one: writers append, so truncation is safe."""
        for path in self.logs.glob("*.log"):
            if path.stat().st_size > LOG_BYTES_MAX:
                write_private(path.with_suffix(".log.1"), path.read_text(errors="replace"))
                os.truncate(path, 0)

    @contextmanager
    def lock(self, name: str, timeout_s: float = 300) -> Iterator[None]:
        """Only one process at a time; the lock goes with its holder, however that ends."""
        with locked(self.run / f"{name}.lock", timeout_s):
            yield


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold a file lock; `NotUp` when another process still holds it after the time-out."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise NotUp(f"another process holds {path}; is it at work on the same home?") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)
