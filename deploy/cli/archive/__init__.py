"""`onefact archive`: the log in object storage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from deploy.cli.archive._run import run
from deploy.cli.archive._tiers import compact, plan, restore, tier
from deploy.cli.archive._topics import Topics, chosen, grouped
from deploy.cli.output import Json, print_json, print_table
from eventlog.errors import NotFound, OnefactError


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    archive = typer.Typer(
        no_args_is_help=True, help="The log in object storage: run, status, verify, compact, sql, plan, tier, restore."
    )
    archive.command("run")(run)
    archive.command("status")(status)
    archive.command("verify")(verify)
    archive.command("compact")(compact)
    archive.command("sql")(sql)
    archive.command("plan")(plan)
    archive.command("tier")(tier)
    archive.command("restore")(restore)
    app.add_typer(archive, name="archive")


def status(topics: Topics = None, *, as_json: Json = False) -> None:
    """Show what is archived of each topic: offsets, how many records wait, files, bytes, and those of each tier.

    Example: onefact archive status trading.events
    """
    from eventlog.archive.cuts import newest_cut
    from eventlog.archive.objects import Objects
    from eventlog.archive.table import TIERS
    from eventlog.reader import LogReader
    from eventlog.settings import Settings
    from eventlog.upkeep.status import statuses

    settings = Settings().required("kafka", "s3")
    cut = newest_cut(Objects(settings))
    with LogReader(settings) as log:
        found = statuses(Objects(settings), log, {t.name: t.partitions for t in chosen(topics)})
    if as_json:
        print_json(found)
        return
    columns = ["topic", "partition", "archived from", "to", "log from", "to", "waiting", "records", "files", "bytes"]
    keys = ["topic", "partition", "begin", "end", "log_begin", "log_end", "waiting", "records", "files", "bytes"]
    rows = [[each[key] for key in keys] + [each["tiers"].get(tier) for tier in TIERS] for each in found]
    print_table([*columns, *TIERS], [[grouped(value) for value in row] for row in rows])
    when = "none yet" if cut is None else datetime.fromtimestamp(cut.taken_ms / 1000, UTC).isoformat(" ", "seconds")
    print(f"newest cut, to which a cluster can be brought back: {when}")


def verify(
    topics: Topics = None,
    *,
    archive_only: Annotated[
        bool,
        typer.Option(
            "--archive-only",
            help="Do not read the log: ranges and digests of the files alone. A hundred times as fast.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Prove that archive and log are contiguous, equal where both have a record, and every file as it was committed.

    Exit code 1 where they are not; what is missing, altered or twice there is named by its offsets.

    Example: onefact archive verify trading.events
    """
    import time

    from eventlog.archive.objects import Objects
    from eventlog.reader import LogReader
    from eventlog.settings import Settings
    from eventlog.upkeep.verify import verify_all

    settings = Settings().required("s3")
    objects, wanted = Objects(settings), {topic.name: topic.compacted for topic in chosen(topics)}
    if not topics:  # and what was archived under a name that is not declared any more
        wanted |= {name: compacted for name, compacted in _archived(objects).items() if name not in wanted}
    began = time.monotonic()
    if archive_only:
        proofs = list(verify_all(objects, None, wanted))
    else:
        with LogReader(settings.required("kafka")) as log:
            proofs = list(verify_all(objects, log, wanted))
    seconds = time.monotonic() - began
    faults = [fault for proof in proofs for fault in proof.faults]
    records, compared = sum(proof.records for proof in proofs), sum(proof.compared for proof in proofs)
    if as_json:
        print_json(
            {
                "partitions": [_plain(proof) for proof in proofs],
                "records": records,
                "compared": compared,
                "faults": [str(fault) for fault in faults],
                "seconds": round(seconds, 3),
            }
        )
    else:
        files, frozen = sum(proof.files for proof in proofs), sum(proof.frozen for proof in proofs)
        print(
            f"{len(proofs)} partitions, {files:,} files, {records:,} records, {compared:,} of them also in the log, "
            f"{frozen:,} files frozen and not read, {seconds:.1f} s"
        )
    if faults:
        if as_json:
            raise typer.Exit(1)
        raise OnefactError("the archive is not whole:\n" + "\n".join(f"  {fault}" for fault in faults))


def _archived(objects: Any) -> dict[str, bool]:
    """What the archive says that it has: by name, whether it is compacted."""
    from eventlog.archive.meta import topics_of

    try:
        return {
            name: "compact" in made["config"].get("cleanup.policy", "") for name, made in topics_of(objects).items()
        }
    except NotFound:  # there is not even a bucket
        return {}


def _plain(proof: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(proof) | {"faults": [str(fault) for fault in proof.faults]}


def sql(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="Each type of message is a table, its fields columns.")],
    *,
    as_json: Json = False,
) -> None:
    """Ask the archive in SQL (DuckDB's). Tables are decoded by the archived schemas; no other service is asked.

    Example: onefact archive sql "select symbol, sum(quantity) from StockBought group by symbol"
    """
    from eventlog.archive.objects import Objects
    from eventlog.discovery import catalog
    from eventlog.settings import Settings
    from eventlog.upkeep.sql import query

    answer = query(Objects(Settings().required("s3")), catalog(), text)
    if as_json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    else:
        print_table(answer.columns, answer.rows)
