"""`onefact history`, `topics` and `schemas`: what is in the log, and how it is laid out."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from deploy.cli.output import Json, print_json, print_note, print_table
from eventlog.errors import BadInput, NotFound


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("history")(history)
    app.command("topics")(topics)
    app.command("schemas")(schemas)


def history(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="A stream's id, such as a portfolio's.")],
    *,
    domain: Annotated[str | None, typer.Option(metavar="DOMAIN", help="Of this domain only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Refusals and enriched facts too.")] = False,
    as_json: Json = False,
) -> None:
    """Show a stream's facts in order. Exit code 1 where there are none, or some are missing between archive and log.

    Facts that were let go because they are old are not shown; that they are gone is said on stderr.

    Example: onefact history p1 --json
    """
    from deploy.cli.facts import facts_of
    from deploy.cli.publish import find_domain
    from eventlog.settings import Settings
    from producers import declared_domains

    domains = [find_domain(domain)] if domain else list(declared_domains())
    facts = facts_of(stream, domains, Settings(), everything=everything, on_gone=print_note)
    if not facts:
        raise NotFound(f"there is no fact of a stream {stream!r}" + (f" in {domain}" if domain else ""))
    if as_json:
        print_json(facts)
        return
    rows = [(f["version"] or "", f["time"], f["type"], _fields(f["data"])) for f in facts]
    print_table(["version", "time", "type", "data"], rows)


def topics(*, as_json: Json = False) -> None:
    """List the topics as they are declared, and how many records each holds.

    Example: onefact topics
    """
    from eventlog.discovery import catalog
    from eventlog.reader import LogReader
    from eventlog.settings import Settings

    found = []
    with LogReader(Settings()) as reader:
        for topic in catalog().topics:
            # Offsets, so markers of transactions and records that compaction removed are counted too.
            bounds = [reader.bounds(topic.name, p) for p in reader.partitions(topic.name)]
            found.append(
                {
                    "name": topic.name,
                    "exists": bool(bounds),
                    "partitions": topic.partitions,
                    "compacted": topic.compacted,
                    "retention_days": topic.retention and topic.retention.total_seconds() / 86400,
                    "types": [cls.__name__ for cls in topic.types],
                    "offsets": sum(high - low for low, high in bounds),
                }
            )
    if as_json:
        print_json(found)
        return
    rows = [
        (t["name"], t["partitions"], _kept(t), f"{t['offsets']:,}" if t["exists"] else "missing", ", ".join(t["types"]))  # type: ignore[arg-type]
        for t in found
    ]
    print_table(["topic", "partitions", "kept", "offsets", "types"], rows)


def schemas(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the committed .avsc files with the classes; exit code 1 on drift.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the .avsc files from the classes.")] = False,
    as_json: Json = False,
) -> None:
    """List the schemas in the registry; or hold the committed ones against the classes.

    Example: onefact schemas --check
    """
    from eventlog import avsc

    if check and write:
        raise BadInput("give --check or --write, not both")
    if write:
        written = [str(path) for path in avsc.write()]
        print_json({"written": written}) if as_json else print(
            "\n".join(written) or "every schema is as its class says"
        )
    elif check:
        drift = avsc.drift() + avsc.incompatible()
        print_json({"drift": drift}) if as_json else print("\n".join(drift) or "every schema is as its class says")
        if drift:
            raise typer.Exit(1)
    else:
        _list_schemas(as_json=as_json)


def _list_schemas(*, as_json: bool) -> None:
    from eventlog.discovery import catalog
    from eventlog.registry import Registry
    from eventlog.schema import record_name
    from eventlog.settings import Settings

    with Registry(Settings().required("registry").registry) as registry:
        subjects = registry.subjects()
    declared = [record_name(cls) for cls in catalog().message_types]
    names = declared + sorted(set(subjects) - set(declared))
    rows: list[dict[str, Any]] = []
    for name in names:
        version, schema_id = subjects.get(name, (None, None))
        rows.append({"subject": name, "version": version, "id": schema_id, "declared": name in declared})
    if as_json:
        print_json(rows)
        return
    shown = [
        (r["subject"], r["version"] or "not registered", r["id"], "" if r["declared"] else "not declared here")
        for r in rows
    ]
    print_table(["subject", "version", "id", ""], shown)


def _fields(data: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in data.items())


def _kept(topic: dict[str, Any]) -> str:
    days = topic["retention_days"]
    return "newest of each key" if topic["compacted"] else "for ever" if days is None else f"{days:g} days"
