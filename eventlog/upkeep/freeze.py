"""Moves a file into the frozen tier: an archive class of the store, from which it has to be restored to be read.

The copy is read back while it still can be, then put into the class and looked at; one commit puts it in the place of
its source, which is removed after that.
"""

from __future__ import annotations

from dataclasses import replace

from eventlog.archive import frozen, rows
from eventlog.archive.objects import ArchiveClass, Objects
from eventlog.archive.table import Segment, Table
from eventlog.upkeep.compact import Compacted, NotTheSame


def freeze(objects: Objects, table: Table, source: Segment, archive_class: ArchiveClass) -> Compacted:
    """Have the archive hold a file in the class.

    Raises `NotTheSame`, `NotFrozen`, `Fenced` (it was replaced meanwhile); then nothing has changed.
    """
    made = replace(source, tier="frozen")
    frozen.forget(objects, made.key)
    objects.copy(source.key, made.key)
    if rows.digest_of(objects.get(made.key)) != source.digest:
        raise NotTheSame(f"{source.span}: the store gives back something else than {source.path} was")
    frozen.freeze(objects, made.key, archive_class)
    table.replace([source], [made], "frozen")
    return Compacted((source,), made)
