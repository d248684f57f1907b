"""The report tells of every violation, also of one that did not come back."""

from __future__ import annotations

from pathlib import Path

from tests.faults.results import note, write_report

ROW = {
    "kind": "broker", "seed": 7, "ok": True, "violation": "", "commands": 1, "facts": 4, "recovery_s": 1.5,
    "seconds": 2.0, "notes": {}, "counts": {}, "restarts": 0, "state": "memory", "skipped": "",
}  # fmt: skip


def test_a_violation_stays_in_the_report_when_the_case_holds_later(tmp_path: Path) -> None:
    for case, ok in ((1, False), (2, False), (2, True), (3, True)):
        note(tmp_path, ROW | {"case": case, "ok": ok, "violation": "" if ok else "I6: not within 60 s"})
    target = tmp_path / "REPORT.md"
    write_report(tmp_path, target)
    text = target.read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| kill -9 and restart of the broker")]
    assert line.split(" | ")[1:5] == ["3 of 40", "3", "12", "1"]
    assert "- **broker 1** (seed 7): I6: not within 60 s" in text
    (again,) = [line for line in text.splitlines() if "held when it was run again" in line]
    assert again.startswith("- broker 2 (seed 7, commit ")
    assert again.endswith(": I6: not within 60 s")
