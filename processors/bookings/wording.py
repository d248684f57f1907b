"""What people read: lines for the screen, headlines, posts with hashtags."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

POST_LENGTH_MAX = 280
"""Characters (Unicode code points) of a post, hashtags included."""
ELLIPSIS = "…"
_CARDS = {"YELLOW_CARD": "YELLOW CARD", "RED_CARD": "RED CARD"}


class Post(NamedTuple):
    """A post, and whether it lacks something."""

    text: str
    shortened: bool


def minute_text(minute: int, stoppage: int) -> str:
    """`67'`, or `45+2'` in added time."""
    return f"{minute}+{stoppage}'" if stoppage else f"{minute}'"


def card_line(kind: str, player: str, team: str, when: str) -> str:
    """`YELLOW CARD: Sergio Ramos (Real Madrid), 67'`."""
    return f"{_CARDS[kind]}: {player} ({team}), {when}"


def substitution_line(player_on: str, player_off: str, team: str, when: str) -> str:
    """`SUBSTITUTION: Isco for Luka Modrić (Real Madrid), 80'`."""
    return f"SUBSTITUTION: {player_on} for {player_off} ({team}), {when}"


def hashtags(*names: str) -> tuple[str, ...]:
    """A hashtag of each name, in order, none twice; names of which nothing is left, or only digits, have none.

    A hashtag holds letters of any script with their accents, digits and underscores: `#SergioRamos`, `#Modrić`.
    """
    found = []
    for name in names:
        # Composed, so that an accent that was written as a character of its own is one letter with what it is on.
        composed = unicodedata.normalize("NFC", name)
        tag = "".join(c for c in composed if c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M")
        # Marks at the beginning would stand on the `#`.
        while tag and unicodedata.category(tag[0])[0] == "M":
            tag = tag[1:]
        if tag and not tag.isdigit():
            found.append("#" + tag)
    return tuple(dict.fromkeys(found))


def post(line: str, tags: tuple[str, ...]) -> Post:
    """The line and its hashtags; those for which there is no room are left out, and a line that is longer is cut."""
    if len(line) > POST_LENGTH_MAX:
        return Post(line[: POST_LENGTH_MAX - len(ELLIPSIS)] + ELLIPSIS, shortened=True)
    text, shortened = line, False
    for tag in tags:
        if len(text) + 1 + len(tag) <= POST_LENGTH_MAX:
            text = f"{text} {tag}"
        else:
            shortened = True
    return Post(text, shortened)
