"""`onefact dead`: records that could not be read or decided."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, print_json, print_table
from eventlog.errors import BadInput

if TYPE_CHECKING:
    from eventlog.dead import Letter

VALUE_SHOWN_BYTES = 200


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    dead = typer.Typer(no_args_is_help=True, help="Records that could not be read or decided: list, show, retry.")
    dead.command("list")(list_letters)
    dead.command("show")(show)
    dead.command("retry")(retry)
    app.add_typer(dead, name="dead")


def list_letters(
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="Of this topic only, such as trading.commands.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the dead letters that nobody has dealt with.

    Example: onefact dead list trading.commands
    """
    from eventlog.dead import letters, sources
    from eventlog.discovery import catalog
    from eventlog.settings import Settings

    found = letters(Settings(), sources(catalog(), topic))
    if as_json:
        print_json([_described(letter) for letter in found])
    elif not found:
        print("no dead letters")
    else:
        print_table(["id", "code", "reason"], [(each.id, each.code, each.reason) for each in found])


def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `dead list` prints it.")],
    *,
    as_json: Json = False,
) -> None:
    """Show one dead letter with its original key, headers and bytes. Exit code 1 where there is none.

    Example: onefact dead show trading.decider/trading.commands/2/17
    """
    from eventlog.dead import find, sources
    from eventlog.discovery import catalog
    from eventlog.settings import Settings

    letter = find(Settings(), sources(catalog()), letter_id)
    described = _described(letter) | {
        "key": None if letter.key is None else letter.key.decode(errors="replace"),
        "headers": {name: None if value is None else value.decode(errors="replace") for name, value in letter.headers},
        "value_base64": None if letter.value is None else base64.b64encode(letter.value).decode(),
    }
    if as_json:
        print_json(described)
        return
    value = letter.value or b""
    described["value_base64"] = f"{len(value)} bytes: {value[:VALUE_SHOWN_BYTES]!r}"
    print_table(["dead letter", ""], [(name.removesuffix("_base64"), text) for name, text in described.items()])


def retry(
    letter_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="As `dead list` prints it.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every one.")] = False,
    as_json: Json = False,
) -> None:
    """Publish the original record again and be done with the letter, in one step.

    Example: onefact dead retry --all
    """
    from eventlog.dead import retry as publish_again
    from eventlog.discovery import catalog
    from eventlog.settings import Settings

    if (letter_id is None) == (not everything):
        raise BadInput("name one dead letter, or give --all")
    retried, kept = publish_again(Settings(), catalog(), letter_id)
    if as_json:
        print_json({"retried": retried, "kept": kept})
    else:
        print(f"published {len(retried)} records again")
        for each, why in kept.items():
            print(f"kept {each}: {why}")
    if kept:
        raise typer.Exit(1)


def _described(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "code": letter.code,
        "reason": letter.reason,
        "role": letter.role,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.timestamp_ms,
    }
