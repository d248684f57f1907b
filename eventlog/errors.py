"""What can go wrong, each with a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self


class OnefactError(Exception):
    """Base of every error that is meant for a person; the command line prints it without a trace."""


class ServiceAway(OnefactError):
    """A backing service does not answer or its address is not known."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service} is away: {reason}")
        self.service = service


class StateUnusable(OnefactError):
    """The state that a worker keeps on disk cannot be read or written: the disk is full, or another process has it."""


class Hole(OnefactError):
    """Offsets are neither in the archive nor in the log."""

    @classmethod
    def of(cls, topic: str, partition: int, begin: int, end: int) -> Self:
        """Of the offsets from `begin` to before `end`."""
        return cls(f"{topic}:{partition}: offsets {begin} to {end - 1} are neither in the log nor in the archive")


class BadInput(OnefactError):
    """What was given cannot be used; nothing was done with it."""


class NotFound(OnefactError):
    """The thing that was named does not exist."""


class Refused(Exception):
    """Raised by `decide`: the command is refused; the refusal becomes a `CommandRejected` fact."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Poison(Exception):
    """A record that cannot be read as what its topic declares; it goes to the dead-letter topic."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Fenced(Exception):
    """Another owner advanced the position that this one last wrote; reopen before going on."""


class UnknownSchema(Exception):
    """A schema id that is not cached yet; the reader asks the registry and reads the record again."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id}")
        self.schema_id = schema_id


class Superseded(Exception):
    """A record of a class that is no longer written; `messages` are what an upcaster makes of it today."""

    def __init__(self, messages: Sequence[Any]) -> None:
        super().__init__(f"{len(messages)} messages")
        self.messages = messages


class HandlerFailed(Exception):
    """A role's function raised on a fact that could be read; the partition waits, because no fact may be skipped."""

    def __init__(self, role: str, topic: str, partition: int, offset: int, cause: Exception) -> None:
        super().__init__(f"{role} raised {type(cause).__name__} at {topic}:{partition}:{offset}: {cause}")
