"""Real inputs, which are not in the repository: where they are not at hand, the tests of them are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("ONEFACT_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
TRADES = FOLDER / "trades-2004-2006.jsonl.gz"
MATCHES = FOLDER / "matches-1970-2002.jsonl.gz"
STOCK, ORDERS = FOLDER / "stock-a.jsonl.gz", FOLDER / "orders-a.jsonl.gz"


def needs(*files: Path) -> pytest.MarkDecorator:
    """For tests that read these files."""
    missing = [file.name for file in files if not file.exists()]
    reason = f"ONEFACT_SHARED_DATA names no folder with {', '.join(missing)}"
    return pytest.mark.skipif(bool(missing), reason=reason)
