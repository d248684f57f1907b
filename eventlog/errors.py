"""What can go wrong, each with a sentence that says what to do."""

from __future__ import annotations


class OnefactError(Exception):
    """Base of every error that is meant for a person; the command line prints it without a trace."""


class ServiceAway(OnefactError):
    """A backing service does not answer or its address is not known."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service} is away: {reason}")
        self.service = service
