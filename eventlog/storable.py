"""Text that a store without U+0000 can hold, and the way back.

It is kept as the symbol for it, U+2400, and that symbol (and the one that marks it, U+241B) behind a U+241B. So text is
never lost, two different keys never become one, and a person sees what was there.
"""

from __future__ import annotations

import re

NUL, NUL_SHOWN, MARK = "\x00", "\u2400", "\u241b"
_HIDDEN = re.compile(f"[{NUL}{NUL_SHOWN}{MARK}]")
_SHOWN = re.compile(f"{MARK}([{NUL_SHOWN}{MARK}])|{NUL_SHOWN}")


def storable(text: str) -> str:
    """Text as a text column can hold it; `original` is its inverse."""
    if _HIDDEN.search(text) is None:
        return text
    return _HIDDEN.sub(lambda found: NUL_SHOWN if found[0] == NUL else MARK + found[0], text)


def original(text: str) -> str:
    """Text as it was before `storable`."""
    if NUL_SHOWN not in text and MARK not in text:
        return text
    return _SHOWN.sub(lambda found: found[1] or NUL, text)
