"""Committed schemas that differ from their classes are named, one by one."""

from __future__ import annotations

from pathlib import Path

from eventlog import avsc
from tests.kernel.messages import Everything, Placed, placed_later

CLASSES = [Everything, Placed]


def test_what_was_written_has_not_drifted(tmp_path: Path) -> None:
    written = avsc.write(tmp_path, CLASSES)
    assert sorted(file.name for file in written) == ["Everything.avsc", "Placed.avsc"]
    assert avsc.drift(tmp_path, CLASSES) == []
    assert avsc.write(tmp_path, CLASSES) == []


def test_a_missing_a_changed_and_a_stray_schema_are_drift(tmp_path: Path) -> None:
    avsc.write(tmp_path, CLASSES)
    (tmp_path / "test" / "Everything.avsc").unlink()
    (tmp_path / "test" / "Gone.avsc").write_text("{}")
    found = avsc.drift(tmp_path, [Everything, placed_later()])
    assert [sentence.split()[0] for sentence in found] == ["test/Everything.avsc", "test/Gone.avsc", "test/Placed.avsc"]
    assert "missing" in found[0]
    assert "no message type" in found[1]
    assert "differs" in found[2]
