"""`python -m bench [CONTEST ...]`: run contests on an embedded stack of their own, and say what came of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bench.harness.report import keep, show
from bench.harness.runner import contests, run_contest
from bench.harness.stand import ROOT, Stand
from deploy.stack import down, up
from eventlog.errors import OnefactError
from eventlog.settings import Settings

PAIRS = 5
COMMANDS = 1_000_000


def arguments(words: Sequence[str], known: Sequence[str]) -> argparse.Namespace:
    env = os.environ
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("contests", nargs="*", metavar="CONTEST", default=env.get("ROWS", "").split() or list(known),
                        help=f"of {', '.join(known)}; all by default, or those of $ROWS")  # fmt: skip
    parser.add_argument(
        "--commands", type=int, default=int(env.get("COMMANDS", COMMANDS)), help="in the topic; $COMMANDS"
    )
    parser.add_argument("--pairs", type=int, default=int(env.get("PAIRS", PAIRS)), help="rounds; $PAIRS")
    parser.add_argument("--only", nargs="+", default=[], metavar="CONTESTANT", help="run these, keep no results")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE", help="a speedscope file of the product's worker (py-spy)"
    )
    parser.add_argument("--keep-up", action="store_true", help="leave the services running, for the next time")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="hold this lock during each round")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench", metavar="FOLDER", help="for results.json, RESULTS.md"
    )
    found = parser.parse_args(words)
    if unknown := set(found.contests) - set(known):
        parser.error(f"there is no contest {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return found


@contextmanager
def stand_up(commands: int, *, keep_up: bool, profile: Path | None, without: Sequence[str] = ()) -> Iterator[Stand]:
    """Services of the bench's own below $ONEFACT_HOME/bench; their data stays, so that a topic is filled once."""
    base = Settings()
    settings = Settings(
        home=base.home.absolute() / "bench", port_base=base.port_base, stack="embedded",
        kafka="", registry="", postgres="", redis="", neo4j="",
    )  # fmt: skip
    status = up(settings, kind="embedded", workers=False, without=without)
    try:
        addresses = Settings(home=settings.home, port_base=settings.port_base)
        yield Stand(
            addresses, commands, settings.home / "work", kafka_pid=status["services"]["kafka"]["pid"], profile=profile
        )
    finally:
        if not keep_up:
            down(settings)


def main(words: Sequence[str]) -> int:
    """Exit code: 0 when everything that was asked for ran, whatever the figures; 1 when something did not."""
    known = contests()
    asked = arguments(words, list(known))
    console = Console()
    documents = []
    # A server that nobody asks takes memory and time from those that are asked.
    without = () if "graph" in asked.contests else ("neo4j",)
    with stand_up(asked.commands, keep_up=asked.keep_up, profile=asked.profile, without=without) as stand:
        for name in asked.contests:
            contest = known[name]
            stand.shared.clear()
            result = run_contest(
                contest, stand, asked.pairs, lambda line: console.print(line, highlight=False), only=asked.only,
                lock=asked.lock,
            )  # fmt: skip
            documents.append(result.document())
            if not asked.only:  # one after the other: what is stopped keeps what it has
                asked.out.mkdir(parents=True, exist_ok=True)
                keep(documents[-1:], asked.out)
    show(documents, console)
    return 1 if any(document["failures"] for document in documents) else 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except OnefactError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    sys.exit(code)
