"""The report says what the rows say, of one seed, each case as it ended last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.archive.faults import report
from tests.archive.faults.work import CAMPAIGN
from tests.faults.results import rows_of

FOUND = (("known", None), ("missed", None), ("known", "A2: lost"))


def row(number: int, operation: str, **more: Any) -> dict[str, Any]:
    usual = {"seed": 7, "kill": None, "fault": "store", "injected": {}, "recovered_s": 1.0, "violation": None}
    return {"number": number, "operation": operation, "commit": "c", **usual, **more}


TRACE = 'Traceback (most recent call last):\n  File "/a/path", line 1, in work\nOSError: early\n'


def test_cases_faults_violations_and_the_slowest_are_counted(tmp_path: Path) -> None:
    rows = [
        row(0, "archive", kill="before put", injected={"kill": 1}, violation=f"A1: {TRACE}"),
        row(0, "archive", kill="before put", injected={"kill": 1}, recovered_s=4.0),
        row(1, "replay", injected={"429": 2, "reset": 1}, violation="A7: late", recovered_s=None),
        row(2, "rollback"),
        row(3, "archive", seed=8, violation="A1: of another seed"),
    ]
    kept, told = tmp_path / "rows", tmp_path / "REPORT.md"
    kept.write_text("".join(json.dumps(each) + "\n" for each in rows))
    planted = [{"name": name, "what": "A bug", "found": found, "commit": "p"} for name, found in FOUND]
    report.write(told, rows_of(tmp_path, kept.name), planted, 7)
    said = told.read_text()
    assert "SEED=7: 3 cases, 2 of them with a fault, 4 faults in all: 2 429, 1 kill, 1 reset. Violations: 1." in said
    assert "| archiving | kill -9 at named points | 1 | 1 | 0 | 4.0 s, 4.0 s (case 0) |" in said
    assert "| rebuilds | object store | 2 | 1 | 1 | 1.0 s, 1.0 s (case 2) |" in said
    assert "| **all** |  | 3 | 2 | 1 | 2.5 s, 4.0 s (case 0) |" in said
    assert "- 1 replay, store (c): A7: late" in said
    again = said.index("Violated at first")
    assert said.index("- 1 replay") < again < said.index("- 0 archive, store (c): A1: OSError: early\n")
    assert "1 of 2 found." in said
    assert "| A bug (`known`) | A2: lost | p |" in said
    assert "| A bug (`missed`) | **not found** | p |" in said
    assert "another seed" not in said


def test_every_operation_has_its_line() -> None:
    assert sorted(name for names in report.GROUPS.values() for name in names) == sorted(CAMPAIGN)
