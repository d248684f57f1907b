"""What is remembered of a model's versions: what one is to be, beside it in its store, and of which fold, here.

Which version is live, was live before, or never was, its store says. The home folder knows its own name, under which it
begins versions, and by which folds others were built. Losing it loses nothing of the models: a version that was being
built is then another's, to be removed by hand.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from eventlog.errors import OnefactError
from eventlog.models import Model
from eventlog.settings import Settings

UNLIKE = "unlike "
"""Before the fold that a version is known to differ from."""

MIXED = "mixed"
"""Of a version that two folds have written to."""


@dataclass(frozen=True)
class Note:
    """Of a version that never was live: what it is to be, so that only the same goes on with it."""

    home: str
    """Of the home folder whose lock its builder holds."""
    fold: str
    what: str = ""
    """Empty for a rebuild that is to go live; else which part of the log a version beside it shows."""
    host: str = field(default_factory=socket.gethostname, compare=False)

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Marks:
    """Of one model."""

    home: str = field(default_factory=lambda: os.urandom(16).hex())
    folds: dict[str, str] = field(default_factory=dict)
    """By version: the fold that is known to lead to its rows, or `unlike` one that does not."""

    @classmethod
    def load(cls, settings: Settings, model: Model) -> Marks:
        """What was kept; nothing where there is nothing that can be read."""
        try:
            found: dict[str, Any] = json.loads(_path(settings, model).read_text())
            return cls(found["home"], found["folds"])
        except (OSError, ValueError, TypeError, KeyError):
            return cls()

    def save(self, settings: Settings, model: Model) -> None:
        """Keep it; what was kept before stays whole if this process dies."""
        path = _path(settings, model)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self)))
        beside.replace(path)

    def switched(self, old: int, new: int, fold: str, *, identical: bool) -> None:
        """Note that a version built by the fold has taken the place of one that equals it, or does not."""
        known = self.folds.get(str(old))
        self.folds = {str(new): fold, str(old): fold if identical else known or UNLIKE + fold}


def _path(settings: Settings, model: Model) -> Path:
    folder = settings.home / "replays"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{model.name}.json"


@contextmanager
def alone(settings: Settings, model: Model, what: str = "replay") -> Iterator[int]:
    """Hold the model's lock in the home folder, which the system gives back however this process ends.

    What is yielded is the lock's file descriptor: processes that inherit it hold the lock too, as long as they live.
    """
    path = _path(settings, model).with_suffix(".lock" if what == "replay" else f".{what}.lock")
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OnefactError(f"another {what} of {model.name} runs; wait for it") from None
        os.set_inheritable(file.fileno(), False)
        yield file.fileno()
