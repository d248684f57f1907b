"""The `onefact` program: what a person does with the system, each command a few lines over the packages.

Exit codes: 0 done, 1 refused or not found, 2 usage or bad input, 3 a service is away. A command imports
what it needs when it is called, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys

import typer

from deploy.cli import archive, bootstrap, checkpoint, dead, graph, log, publish, read, rebuild, sagas, stack, workers
from deploy.cli.output import print_error
from eventlog.errors import BadInput, OnefactError, ServiceAway

DONE, REFUSED, USAGE, AWAY = 0, 1, 2, 3

app = typer.Typer(
    name="onefact",
    help="An event-sourced backend on Kafka: commands are decided into facts, facts are folded into read models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (stack, publish, log, read, rebuild, checkpoint, graph, sagas, dead, archive, bootstrap, workers):
    part.register(app)


def exit_code(error: OnefactError) -> int:
    """The exit code that tells a program what kind of error it was."""
    if isinstance(error, BadInput):
        return USAGE
    # Whoever raised one of the stack's has imported them; nobody else needs to.
    module = sys.modules.get("deploy.stack.model")
    away = (ServiceAway,) if module is None else (ServiceAway, module.Missing, module.NotUp)
    return AWAY if isinstance(error, away) else REFUSED


def main() -> None:
    """Run the program; never shows a trace for an error that a person can do something about."""
    try:
        app(prog_name="onefact")
    except OnefactError as error:
        print_error(str(error), as_json="--json" in sys.argv)
        sys.exit(exit_code(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except KeyboardInterrupt:
        sys.exit(130)
