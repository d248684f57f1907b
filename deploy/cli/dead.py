"""`onefact dead`: records that could not be read or decided."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, print_json, print_table, say
from eventlog.errors import BadInput

if TYPE_CHECKING:
    from eventlog.dead import Letter

VALUE_SHOWN_BYTES = 200


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    dead = typer.Typer(
        no_args_is_help=True, help="Records that could not be read or decided: list, show, retry, discard."
    )
    dead.command("list")(list_letters)
    dead.command("show")(show)
    dead.command("retry")(retry)
    dead.command("discard")(discard)
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
        say("no dead letters")
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
        "headers": {
            _name(name): None if value is None else value.decode(errors="replace") for name, value in letter.headers
        },
        "value_base64": _base64(letter.value),
    }
    if letter.cut is not None:
        described["cut_bytes"] = letter.cut
    if as_json:
        # Names may come twice, and neither they nor the rest need be text.
        exact = [[_base64(name.encode(errors="surrogateescape")), _base64(value)] for name, value in letter.headers]
        print_json(described | {"key_base64": _base64(letter.key), "headers_base64": exact})
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
        say(f"published {len(retried)} records again")
        for each, why in kept.items():
            say(f"kept {each}: {why}")
    if kept:
        raise typer.Exit(1)


def discard(
    letter_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="As `dead list` prints it.")] = None,
    *,
    all_of: Annotated[str | None, typer.Option(metavar="TOPIC", help="Every one of this topic.")] = None,
    code: Annotated[
        str | None, typer.Option("--reason", metavar="CODE", help="With --all-of: those of this code only.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Be done with a letter for good; its record stays in the log as long as any other there.

    Example: onefact dead discard --all-of trading.commands --reason bad_magic
    """
    from eventlog.dead import discard as finish
    from eventlog.dead import find, letters, sources
    from eventlog.discovery import catalog
    from eventlog.settings import Settings

    if (letter_id is None) == (all_of is None):
        raise BadInput("name one dead letter, or give --all-of TOPIC")
    if code is not None and all_of is None:
        raise BadInput("--reason goes with --all-of")
    settings = Settings()
    topics = sources(catalog(), all_of)
    found = [find(settings, topics, letter_id)] if letter_id else letters(settings, topics)
    ids = [letter.id for letter in found if code in (None, letter.code)]
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise BadInput("this cannot be undone; give --yes")
        if not typer.confirm(f"discard {len(ids)} dead letters for good?"):
            raise typer.Exit(1)
    discarded = finish(settings, catalog(), ids)
    if as_json:
        print_json({"discarded": discarded})
    else:
        say(f"discarded {len(discarded)} dead letters")


def _name(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


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
