"""What the commands of `onefact archive` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventlog.errors import NotFound

if TYPE_CHECKING:
    from eventlog.topics import Topic

Topics = Annotated[list[str] | None, typer.Argument(metavar="[TOPIC]...", help="These topics only.")]


def chosen(names: list[str] | None) -> list[Topic]:
    """Archived topics of these names, or all of them."""
    from eventlog.discovery import catalog

    topics = {topic.name: topic for topic in catalog().archiver.sources}
    for name in names or ():
        if name not in topics:
            raise NotFound(f"there is no archived topic {name}; there are {', '.join(topics)}")
    return [topics[name] for name in names] if names else list(topics.values())


def grouped(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
