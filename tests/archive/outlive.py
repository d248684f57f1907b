"""`make outlive`: a demo's Kafka, registry and stores are deleted, and come back from its archive as they were.

Every row of every read model, the history of streams and reads as of a point are compared, by the program as a person
runs it; then a command that was decided before is answered as it was, and one more is decided.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy import demo as story
from producers.trading import sample

COMMANDS = int(os.environ.get("COMMANDS") or 2_000)
LOST = ("kafka", "registry", "postgres", "redis", "neo4j")
WAIT_S = 120.0


def onefact(*words: str) -> Any:
    program = Path(sys.executable).with_name("onefact")
    done = subprocess.run([program, *words, "--json"], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"onefact {' '.join(words)}: {done.stderr}")
    return json.loads(done.stdout or "null")


def caught_up() -> bool:
    return not any(row["lag"] for row in onefact("lag"))


def until_caught_up() -> None:
    deadline = time.monotonic() + WAIT_S
    while not caught_up():
        if time.monotonic() > deadline:
            behind = [row for row in onefact("lag") if row["lag"]]
            raise SystemExit(f"not after {WAIT_S:.0f} s: {behind}")
        time.sleep(0.5)


def everything(point: str) -> dict[str, Any]:
    """What can be read, of every model, and of a few streams of each kind."""
    found: dict[str, Any] = {}
    for model in onefact("models"):
        name = model.get("name") or model["model"]
        rows = onefact("read", name)
        found[name] = sorted(json.dumps(row, sort_keys=True) for row in rows) if isinstance(rows, list) else rows
    streams = sorted({json.loads(row)["portfolio_id"] for row in found["portfolio"]})
    for stream in streams[:: max(1, len(streams) // 5)]:
        found[f"history {stream}"] = onefact("history", stream, "--all")
        for model in ("portfolio", "positions"):
            found[f"{model} {stream} as of {point}"] = onefact("read", model, stream, "--as-of", point)
    return found


def main() -> int:
    console = Console(highlight=False)
    home = Path(os.environ.setdefault("ONEFACT_HOME", tempfile.mkdtemp(prefix="onefact-outlive-")))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sample.jsonl"
        file.write_text("".join(json.dumps(command) + "\n" for command in sample(COMMANDS, 7)))
        story.COMMANDS = COMMANDS
        try:
            story.tell(story.Demo(console), file)
            answered = onefact("publish", "trading", str(file), "--wait")
            until_caught_up()
            point = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            onefact_run("archive", "run", "--until-now")
            before = everything(point)
            onefact("down")
            for service in LOST:
                shutil.rmtree(home / "data" / service, ignore_errors=False)
            shutil.rmtree(home / "state", ignore_errors=True)
            onefact("up", "--no-workers")
            began = time.monotonic()
            onefact_run("bootstrap", "--from-archive")
            console.print(f"brought back in {time.monotonic() - began:.1f} s")
            onefact("up")
            until_caught_up()
            after = everything(point)
            for name in before:
                if before[name] != after[name]:
                    console.print(f"[bold]{name} differs[/bold]:", str(before[name])[:400], str(after[name])[:400])
            again = onefact("publish", "trading", str(file), "--wait")
            same = before == after
            console.print(f"{len(before)} reads {'are the same' if same else 'DIFFER'}; {answered} was {again} again")
            return int(not same)
        finally:
            onefact("down")


def onefact_run(*words: str) -> None:
    """A command whose output is for the reader."""
    subprocess.run([Path(sys.executable).with_name("onefact"), *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
