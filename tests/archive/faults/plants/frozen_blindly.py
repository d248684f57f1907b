"""A file is frozen without its copy being read back."""

from __future__ import annotations

from eventlog.upkeep import freeze
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(freeze, "freeze", ("if rows.digest_of(objects.get(made.key)) != source.digest:", "if False:"))
