"""State beyond a step's own memory: what a step asks of a store on disk, and which streams it still remembers.

A store holds the newest row of every key of one changelog partition, as recovery would read them. A step reads a
stream from it on first use; whoever commits the step's transaction writes its changelog rows to it afterwards.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any, Literal, Protocol

from eventlog.errors import BadInput

StateKind = Literal["memory", "rocksdb"]
"""Where a processor keeps the state of its streams: all of it in memory, or on disk with a bounded part in memory."""


KINDS = ("memory", "rocksdb")


def chosen(role: str, declared: StateKind, override: str) -> StateKind:
    """Where a role's state is: as declared, unless `override` (`KIND` for all, or `ROLE=KIND[,ROLE=KIND...]`) says so.

    Raises `BadInput` for a kind that does not exist.
    """
    kind: str = declared
    for part in filter(None, (part.strip() for part in override.split(","))):
        name, separator, named = part.rpartition("=")
        if named not in KINDS or bool(separator) != bool(name):
            raise BadInput(f"ONEFACT_STATE_STORE is memory, rocksdb or ROLE=memory|rocksdb[,...], not {override!r}")
        if name in ("", role):
            kind = named
    return kind  # type: ignore[return-value]


class StateStore(Protocol):
    """Rows of one changelog partition. Raises `StateUnusable` when the disk cannot be used."""

    cache_bytes: int
    """What the streams that a step remembers may take, about."""

    def read(self, key: bytes) -> Sequence[bytes]:
        """Changelog values of the stream, in no order; empty for a stream that is not there."""


class Recent:
    """Forgets the streams that were not used for longest, once those remembered take more than `bytes_max`."""

    def __init__(self, streams: MutableMapping[bytes, Any], bytes_max: int) -> None:
        self._streams = streams
        self._bytes_max = bytes_max
        self._sizes: dict[bytes, int] = {}
        self._bytes = 0

    def use(self, key: bytes, size: int) -> None:
        """The stream was used, and takes `size` bytes now."""
        self._bytes += size - self._sizes.pop(key, 0)
        self._sizes[key] = size

    def forget(self) -> None:
        """Forget those that are too many; none may be in use."""
        while self._bytes > self._bytes_max and self._sizes:
            key = next(iter(self._sizes))
            self._bytes -= self._sizes.pop(key)
            self._streams.pop(key, None)
