"""Each attempt of a call to the provider has a key of its own: what was done and not answered is done again."""

from __future__ import annotations

import itertools
import os

from eventlog.runtime import outside

attempts = itertools.count()


def plant() -> None:
    key_text = outside.key_text
    outside.key_text = lambda key: f"{key_text(key)}/{os.getpid()}/{next(attempts)}"
