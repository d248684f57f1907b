"""A topic counts as brought back before its records are there."""

from __future__ import annotations

from eventlog.bootstrap import whole
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    noted = line('objects.put(_note(wanted.name), json.dumps({"topic_id": topic_id}).encode())', 2)
    edit(whole, "_topic", (noted, noted + line("meta.succeed_topic(objects, wanted.name, topic_id)", 2)))
