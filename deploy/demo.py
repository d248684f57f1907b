"""`make demo`: the way of a fact, command by command, on real services, each step timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

COMMANDS = 20_000

ESSAY = (
    ("OpenPortfolio", {"owner": "ada", "currency": "USD", "margin": False}),
    ("DepositCash", {"amount": "10000"}),
    ("BuyStock", {"symbol": "AAPL", "quantity": "10", "price": "175"}),
    ("BuyStock", {"symbol": "NVDA", "quantity": "5", "price": "950"}),
    ("SellStock", {"symbol": "AAPL", "quantity": "3", "price": "180"}),
)


class Demo:
    """Runs `onefact` as a person would, and remembers how long each step took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: list[tuple[str, float]] = []
        self._program = str(Path(sys.executable).with_name("onefact"))

    def show(self, step: str, *words: str) -> None:
        """Run a command whose output is for the reader; ends the demo when it fails."""
        self._run(step, words, capture=False)

    def ask(self, step: str, *words: str) -> Any:
        """Run a command and return the JSON it prints."""
        return json.loads(self._run(step, (*words, "--json"), capture=True))

    def _run(self, step: str, words: Sequence[str], *, capture: bool) -> str:
        shown = " ".join(f"'{w}'" if " " in w else w for w in words)
        self.console.print(f"\n[bold]$ onefact {shown}[/bold]", highlight=False)
        started = time.monotonic()
        done = subprocess.run(
            [self._program, *words], stdout=subprocess.PIPE if capture else None, text=True, check=False
        )
        self.steps.append((step, time.monotonic() - started))
        if done.returncode not in (0, 1):
            raise SystemExit(done.returncode)
        return done.stdout or ""


def tell(demo: Demo, sample: Path) -> bool:
    """The story; whether the rebuilt read model was the same as the live one."""
    demo.show("services, topics, schemas, workers", "up", "--stack", os.environ.get("STACK", "embedded"))
    name = f"demo-{int(time.time())}"
    for kind, data in ESSAY:
        outcome = demo.ask(
            "five commands, each awaited", "send", "trading", kind, json.dumps({"portfolio_id": name, **data}), "--wait"
        )
        demo.console.print_json(data=outcome)
    position = outcome["position"]
    demo.show("read your own write", "read", "portfolio", name, "--at-least", position)
    demo.show("read your own write", "read", "positions", name, "--at-least", position)
    demo.show(f"{COMMANDS:,} sample commands, all decided", "publish", "trading", str(sample), "--wait")
    demo.show("read models", "models")
    demo.show("a stream's facts", "history", name)
    result = demo.ask("a read model rebuilt from the log", "replay", "positions")
    demo.console.print_json(data=result)
    identical = bool(result["identical"])
    verdict = "identical to the live one, and switched" if identical else "NOT identical"
    demo.console.print(f"positions was rebuilt from the log: [bold]{verdict}[/bold]")
    return identical


def main() -> int:
    console = Console(highlight=False)
    demo = Demo(console)
    from producers.trading import sample

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sample.jsonl"
        # Another sample each time: the same one again would only be answered with its first outcomes.
        file.write_text("".join(json.dumps(command) + "\n" for command in sample(COMMANDS, int(time.time()))))
        try:
            identical = tell(demo, file)
        finally:
            demo.show("clean stop", "down")
    table = Table("step", "seconds", title="What took how long", title_justify="left")
    table.columns[1].justify = "right"
    seconds: dict[str, float] = {}
    for step, took in demo.steps:
        seconds[step] = seconds.get(step, 0) + took
    for step, took in seconds.items():
        table.add_row(step, f"{took:.1f}")
    table.add_row("all", f"{sum(seconds.values()):.1f}", style="bold")
    console.print(table)
    return 0 if identical else 1


if __name__ == "__main__":
    sys.exit(main())
