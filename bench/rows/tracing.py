"""What tracing costs the decider when its publishers sample one command in a hundred."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version

from bench.harness.model import Contest, Ready, Run, ratio
from bench.harness.process import Process
from bench.harness.stand import ROOT, Stand, until
from bench.rows.decider import COMMANDS, decided

COLLECTOR = """
import time
from tests.runtime.collector import Collector
collector = Collector()
print(collector.url, flush=True)
while True:
    time.sleep(1)
    collector.forget()
"""


@dataclass(frozen=True)
class Traced(Ready):
    """The product's decider; every command has a `traceparent`, and one in a hundred of them asks to be recorded."""

    name: str
    tracing: bool

    @property
    def what(self) -> str:
        how = "on" if self.tracing else "off"
        return f"onefact {version('onefact')}, `onefact worker trading.decider`, tracing {how}"

    def run(self, stand: Stand, number: int) -> Run:
        stand.shared.pop("outputs", None)  # facts name their spans, so that no two runs write the same
        if not self.tracing:
            return decided(stand, self.name, 1)
        log = stand.folder / "collector.log"
        with Process([sys.executable, "-c", COLLECTOR], stand.env(PYTHONPATH=str(ROOT)), log) as collector:
            until(lambda: collector.log_text().endswith("\n"), "a collector of traces")
            env = {"ONEFACT_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.log_text().strip()}
            return decided(stand, self.name, 1, **env)


CONTEST = Contest(
    "tracing",
    "Commands decided with tracing off and on; spans go to a collector that takes and forgets them, on the same cores.",
    (Traced("untraced", False), Traced("traced", True)),
    (ratio("tracing", "decider, tracing on and 1 % of the commands recorded ÷ off", "traced", "untraced"),),
    prepare=lambda stand: stand.fill("traced", COMMANDS),
)
