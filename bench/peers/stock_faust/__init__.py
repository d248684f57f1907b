"""Faust as it comes, in the product's own environment, which has it for the product's sake."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.harness.stand import ROOT, Stand
from bench.peers.peer import Job, Peer

PROGRAM = Path(__file__).parent / "program.py"


@dataclass(frozen=True)
class StockFaust(Peer):
    """One process, one event at a time, table in memory."""

    @property
    def what(self) -> str:
        return (
            f"faust-streaming {version('faust-streaming')}, one event at a time, processing_guarantee exactly_once "
            f"as it comes (under kill -9 it doubles outputs), table in memory; stopped after {self.enough_s:.0f} s"
        )

    def missing(self) -> str | None:
        return None

    def prepare(self, stand: Stand) -> None:
        pass

    def argv(self, job: Job) -> list[str]:
        return ["env", f"PYTHONPATH={ROOT}", sys.executable, str(PROGRAM), *job]
