"""A domain that nobody decides, and a topic of facts."""

from __future__ import annotations

from typing import ClassVar

from eventlog.message import Command, Event
from eventlog.provision import provision
from eventlog.roles import Catalog
from eventlog.settings import Settings
from eventlog.topics import Domain, Topic


class Ask(Command, frozen=True, kw_only=True):
    """A question that is never answered."""

    stream_field: ClassVar[str] = "subject"
    namespace: ClassVar[str] = "onefact.silent"
    subject: str
    text: str = ""


class Seen(Event, frozen=True, kw_only=True):
    """A fact that needs no decision."""

    stream_field: ClassVar[str] = "subject"
    namespace: ClassVar[str] = "onefact.silent"
    subject: str


class Elsewhere(Command, frozen=True, kw_only=True):
    """Nobody declares it."""

    stream_field: ClassVar[str] = "subject"
    namespace: ClassVar[str] = "onefact.silent"
    subject: str


SIGHTINGS = Topic("silent.sightings", (Seen,))
SILENT = Domain("silent", commands=(Ask,), facts=(SIGHTINGS,))


def provisioned(settings: Settings) -> None:
    provision(settings, Catalog(domains=(SILENT,)))
