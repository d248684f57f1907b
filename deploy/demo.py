"""`make demo`: the way of a fact, command by command, on real services, each step timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

COMMANDS = 10_000

ESSAY = (
    ("OpenPortfolio", {"owner": "ada", "currency": "USD", "margin": False}),
    ("DepositCash", {"amount": "10000"}),
    ("BuyStock", {"symbol": "AAPL", "quantity": "10", "price": "175"}),
    ("BuyStock", {"symbol": "NVDA", "quantity": "5", "price": "950"}),
    ("SellStock", {"symbol": "AAPL", "quantity": "3", "price": "180"}),
)


STOCK = {"lamp": 40, "mug": 40, "rug": 5, "vase": 5}
BASKETS = (("lamp", "mug"), ("lamp", "mug"), ("lamp", "mug"), ("lamp", "mug", "vase"), ("rug",), ("lamp",))
"""One customer each; the last one's is the order that is followed."""
PRICE, TOO_MUCH = "24.90", "250000"
"""Of a piece. The payment provider that `up` starts declines what is over 100,000."""
WAIT_S = 60.0


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

    def until(self, step: str, words: Sequence[str], done: Callable[[Any], bool]) -> Any:
        """Ask again until the answer is what was waited for; ends the demo when it does not come."""
        deadline = time.monotonic() + WAIT_S
        answer = self.ask(step, *words)
        while not done(answer):
            if time.monotonic() > deadline:
                raise SystemExit(f"onefact {' '.join(words)}: not what was waited for after {WAIT_S:.0f} s: {answer}")
            answer = json.loads(self._run(step, (*words, "--json"), capture=True, told=False))
        return answer

    def _run(self, step: str, words: Sequence[str], *, capture: bool, told: bool = True) -> str:
        shown = " ".join(f"'{w}'" if " " in w else w for w in words)
        if told:
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
    match(demo, sample.parent, f"{name}-match")
    shop(demo, sample.parent, name)
    demo.show("read models", "models")
    demo.show("a stream's facts", "history", name)
    result = demo.ask("a read model rebuilt from the log", "replay", "positions")
    demo.console.print_json(data=result)
    identical = bool(result["identical"])
    verdict = "identical to the live one, and switched" if identical else "NOT identical"
    demo.console.print(f"positions was rebuilt from the log: [bold]{verdict}[/bold]")
    return identical


def shop(demo: Demo, folder: Path, name: str) -> None:
    """Orders over three services and a payment provider: one confirmed, one undone; and what else may be wanted."""
    customers = [f"{name}-customer{number}" for number in range(len(BASKETS))]
    stock = [("ReceiveStock", {"sku": sku, "quantity": quantity}) for sku, quantity in STOCK.items()]
    placed = [
        ("PlaceOrder", order(f"{name}-o{number}", customers[number], dict.fromkeys(basket, PRICE)))
        for number, basket in enumerate(BASKETS)
    ]
    paid, declined = placed[-1][1]["order_id"], f"{name}-declined"
    placed.append(("PlaceOrder", order(declined, customers[0], {"rug": TOO_MUCH})))
    file = events(folder / "orders.jsonl", name, [*stock, *placed])
    demo.show("orders: stock comes in, orders are placed", "publish", "orders", str(file), "--wait")
    demo.until("an order confirmed", ("sagas", paid), lambda rows: ended(rows, "confirmed"))
    demo.show("an order confirmed", "read", "orders", paid)
    demo.until("an order undone", ("sagas", declined), lambda rows: ended(rows, "cancelled"))
    demo.show("an order undone", "history", declined, "--domain", "fulfilment")
    demo.show("an order undone", "read", "stock")
    words = ("recommend", customers[-1])
    demo.until("a recommendation", words, lambda rows: isinstance(rows, list) and "mug" in str(rows))
    demo.show("a recommendation", *words)


def match(demo: Demo, folder: Path, name: str) -> None:
    """A match, and what television shows of it: a second yellow card sends the player off."""
    ramos = {"player_id": "ramos", "name": "Sergio Ramos", "shirt_number": 4}
    villa = {"player_id": "villa", "name": "David Villa", "shirt_number": 7}
    home = {"team_id": "real", "name": "Real Madrid", "players": [ramos]}
    away = {"team_id": "valencia", "name": "Valencia", "players": [villa]}
    referee = {"referee_id": "undiano", "name": "Alberto Undiano"}
    card = {"match_id": name, "player_id": "ramos", "team_id": "real", "foul_type": "DISSENT", "referee_id": "undiano"}
    start = {"match_id": name, "competition": "La Liga", "home": home, "away": away, "referee": referee}
    cards = [("RecordYellowCard", {**card, "minute": minute}) for minute in (23, 67)]
    file = events(folder / "match.jsonl", name, [("StartMatch", start), *cards])
    demo.show("a match", "publish", "bookings", str(file), "--wait")
    row = demo.until("a match", ("read", "tv-live", name), lambda row: len(row.get("entries", ())) >= len(cards) + 1)
    for entry in row["entries"]:
        demo.console.print(entry["display_text"], markup=False)


def ended(rows: Any, step: str) -> bool:
    """Whether the one saga that was asked for has come to this end."""
    return isinstance(rows, list) and [row["step"] for row in rows] == [step]


def order(order_id: str, customer: str, prices: Mapping[str, str]) -> dict[str, Any]:
    """One piece of each product."""
    lines = [{"sku": sku, "quantity": "1", "unit_price": price} for sku, price in prices.items()]
    return {"order_id": order_id, "customer_id": customer, "currency": "GBP", "lines": lines}


def events(file: Path, name: str, commands: Sequence[tuple[str, dict[str, Any]]]) -> Path:
    """A file of commands as CloudEvents."""
    lines = [
        {"specversion": "1.0", "type": kind, "id": f"{name}-{number}", "source": "onefact/demo", "data": data}
        for number, (kind, data) in enumerate(commands)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


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
