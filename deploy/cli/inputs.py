"""Files to publish, and the bar that shows how far they are."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import time
import zlib
from typing import Any, BinaryIO, cast

from eventlog.errors import BadInput, NotFound

_GZIP = b"\x1f\x8b"
_BUFFER_BYTES = 1 << 20


class Input:
    """Lines of a file, unpacked where it is packed; knows how far it has been read."""

    def __init__(self, raw: io.BufferedReader, name: str) -> None:
        self._raw = raw
        self._name = name
        mode = os.fstat(raw.fileno())
        self.size = mode.st_size if stat.S_ISREG(mode.st_mode) else None
        """In bytes, packed; None where it is not known."""
        packed = raw.peek(2)[:2] == _GZIP
        self._lines = cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER_BYTES)) if packed else raw

    @property
    def position(self) -> int:
        """Bytes read so far, packed."""
        return self._raw.tell() if self.size is not None else 0

    def readline(self, limit: int, /) -> bytes:
        try:
            return self._lines.readline(limit)
        except (EOFError, zlib.error, OSError) as error:
            raise BadInput(f"{self._name} cannot be read: {error}") from None

    def __enter__(self) -> Input:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def open_input(name: str) -> Input:
    """A file by name, or stdin for `-`. Raises `NotFound` or `BadInput`."""
    if name == "-":
        return Input(cast("io.BufferedReader", sys.stdin.buffer), "stdin")
    try:
        raw = open(name, "rb", buffering=_BUFFER_BYTES)  # noqa: PTH123, SIM115 - the input closes it
        return Input(cast("io.BufferedReader", raw), name)
    except FileNotFoundError:
        raise NotFound(f"there is no file {name}") from None
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror}") from None


class PublishBar:
    """Records published and decided, with rates, on stderr when that is a terminal."""

    def __init__(self, size: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:9}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._published = self._bar.add_task("published", total=size, said="")
        self._decided: Any = None
        self._size = size
        self._started = time.monotonic()

    def __enter__(self) -> PublishBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def published(self, count: int, position: int) -> None:
        self._bar.update(self._published, completed=position, said=self._said(count))

    def decided(self, count: int, total: int) -> None:
        if self._decided is None:
            self._decided = self._bar.add_task("decided", total=total, said="")
        self._bar.update(self._decided, completed=count, said=self._said(count))

    def _said(self, count: int) -> str:
        return f"{count:,} ({count / max(1e-9, time.monotonic() - self._started):,.0f}/s)"
