"""`onefact archive`: the log in object storage."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, print_json, print_table
from eventlog.errors import BadInput, NotFound, OnefactError

if TYPE_CHECKING:
    from eventlog.settings import Settings
    from eventlog.topics import Topic

Topics = Annotated[list[str] | None, typer.Argument(metavar="[TOPIC]...", help="These topics only.")]


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


def run(
    *,
    until_now: Annotated[
        bool, typer.Option("--until-now", help="End when what is in the log at the start is archived.")
    ] = False,
) -> None:
    """Archive every topic that holds facts, until SIGTERM. The same as `onefact worker archiver`.

    Example: onefact archive run --until-now
    """
    import os

    from deploy.worker import main

    if until_now:
        os.environ["ONEFACT_ARCHIVE_AGE_S"] = "1"
        _stop_when_archived()
    code = main(["archiver"])
    sys.stdout.flush()
    sys.stderr.flush()
    # As `onefact worker`: client threads of native libraries may still be ending.
    os._exit(code)


def status(topics: Topics = None, *, as_json: Json = False) -> None:
    """Show what is archived of each topic: offsets, files, bytes by tier, and how many records wait.

    Example: onefact archive status trading.events
    """
    from eventlog.archive.objects import Objects
    from eventlog.reader import LogReader
    from eventlog.settings import Settings
    from eventlog.upkeep.status import statuses

    settings = Settings().required("kafka", "s3")
    with LogReader(settings) as log:
        found = statuses(Objects(settings), log, {t.name: t.partitions for t in _chosen(topics)})
    if as_json:
        print_json(found)
        return
    columns = ["topic", "partition", "archived from", "to", "log from", "to", "waiting", "records", "files", "bytes"]
    keys = ["topic", "partition", "begin", "end", "log_begin", "log_end", "waiting", "records", "files", "bytes"]
    print_table(columns, [[_grouped(each[key]) for key in keys] for each in found])


def verify(
    topics: Topics = None,
    *,
    archive_only: Annotated[
        bool, typer.Option("--archive-only", help="Do not read the log: ranges and digests of the files alone.")
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
    wanted = {topic.name: topic.compacted for topic in _chosen(topics)}
    began = time.monotonic()
    if archive_only:
        proofs = list(verify_all(Objects(settings), None, wanted))
    else:
        with LogReader(settings.required("kafka")) as log:
            proofs = list(verify_all(Objects(settings), log, wanted))
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


def _plain(proof: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(proof) | {"faults": [str(fault) for fault in proof.faults]}


def _grouped(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _chosen(names: list[str] | None) -> list[Topic]:
    """Archived topics of these names, or all of them."""
    from eventlog.discovery import catalog

    topics = {topic.name: topic for topic in catalog().archiver.sources}
    for name in names or ():
        if name not in topics:
            raise NotFound(f"there is no archived topic {name}; there are {', '.join(topics)}")
    return [topics[name] for name in names] if names else list(topics.values())


def _stop_when_archived() -> None:
    """Ask this process to end once everything that is in the log now is committed to the archive."""
    import os
    import signal
    import threading
    import time

    from eventlog.archive.objects import Objects
    from eventlog.discovery import catalog
    from eventlog.settings import Settings
    from eventlog.upkeep.quiet import Cutter, archived_to

    settings = Settings().required("kafka", "registry", "s3")
    objects, sources = Objects(settings), catalog().archiver.sources
    cutter = Cutter(objects, {topic.name: topic.partitions for topic in sources})

    def watch() -> None:
        ends: dict[tuple[str, int], int] | None = None
        while True:
            try:
                ends = _ends(settings, sources) if ends is None else ends
                if archived_to(objects, ends):
                    cutter.look()
                    break
            except OnefactError:
                pass  # services may come later than their workers
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="until now", daemon=True).start()


def _ends(settings: Settings, topics: tuple[Topic, ...]) -> dict[tuple[str, int], int]:
    from eventlog.reader import LogReader

    with LogReader(settings) as log:
        ends = {place: end for topic in topics for place, end in log.ends(topic.name).items()}
    if not ends:
        raise NotFound("there are no topics yet")
    return ends


def compact(topics: Topics = None, *, as_json: Json = False) -> None:
    """Make large files of all small ones that follow each other, whatever their age, and remove what they replaced.

    The new file is read back and held against its sources before it takes their place. Each move is a fact in the topic
    archive.moves. Example: onefact archive compact
    """
    from eventlog.upkeep.policy import Policy, TopicPolicy

    at_once = Policy(default=TopicPolicy(compact_after="0h"))
    _apply({topic.name: topic for topic in _chosen(topics)}, at_once, as_json=as_json)


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


PolicyFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="The policy; without it the one that deletes nothing from Kafka.")
]


def plan(*, policy: PolicyFile = None, as_json: Json = False) -> None:
    """Show what the policy would move now, with bytes and monthly cost before and after. Nothing is moved.

    Example: onefact archive plan --policy policy.yaml
    """
    from dataclasses import asdict

    from eventlog.reader import LogReader
    from eventlog.settings import Settings

    settings = Settings().required("kafka", "s3")
    with LogReader(settings) as log:
        read, found = _moves(settings, log, policy)
    if as_json:
        print_json([asdict(move) for move in found])
        return
    _print_moves(found)
    before, after = sum(move.cost_before for move in found), sum(move.cost_after for move in found)
    print(f"{len(found)} moves; {before:.4f} {read.prices.currency} a month before, {after:.4f} after")


def tier(*, policy: PolicyFile = None, as_json: Json = False) -> None:
    """Do what the policy says: compact, and delete from Kafka what is proved to be archived where it says so.

    Each move is a fact in the topic archive.moves. Example: onefact archive tier --policy policy.yaml
    """
    _apply({topic.name: topic for topic in _chosen(None)}, _policy(policy), as_json=as_json)


def _apply(topics: dict[str, Topic], policy: Any, *, as_json: bool) -> None:
    import time
    from dataclasses import asdict

    from eventlog.archive.objects import Objects
    from eventlog.reader import LogReader
    from eventlog.settings import Settings
    from eventlog.upkeep.tiers import apply
    from producers import Publisher

    settings, found = Settings().required("kafka", "registry", "s3"), []
    with LogReader(settings) as log, Publisher(settings) as publisher:
        for move in apply(Objects(settings), log, topics, policy, int(time.time() * 1000), _teller(publisher)):
            found.append(move)
            if not as_json:
                _print_moves([move])
    if as_json:
        print_json([asdict(move) for move in found])
    elif not found:
        print("nothing to move")


def _policy(path: str | None) -> Any:
    from pathlib import Path

    from eventlog.upkeep.policy import DEFAULT, read_policy

    return read_policy(Path(path) if path else DEFAULT)


def _moves(settings: Settings, log: Any, policy: str | None) -> tuple[Any, list[Any]]:
    import time

    from eventlog.archive.objects import Objects
    from eventlog.upkeep import tiers

    read = _policy(policy)
    topics = {topic.name: topic for topic in _chosen(None)}
    return read, list(tiers.plan(Objects(settings), log, topics, read, int(time.time() * 1000)))


def _print_moves(moves: list[Any]) -> None:
    columns = ["topic", "partition", "from", "to", "offsets from", "before", "files", "bytes", "bytes after", "why"]
    keys = ["topic", "partition", "source", "target", "begin", "end", "files", "bytes_before", "bytes_after", "why"]
    if moves:
        print_table(columns, [[_grouped(getattr(move, key)) for key in keys] for move in moves])


def _teller(publisher: Any) -> Any:
    """Keeps each move as a fact; on return it is in the log."""
    from schemas.archive import RecordsMoved

    def tell(move: Any) -> None:
        fact = RecordsMoved(
            place=f"{move.topic}:{move.partition}",
            source=move.source,
            target=move.target,
            first_offset=move.begin,
            next_offset=move.end,
            bytes_before=move.bytes_before,
            bytes_after=move.bytes_after,
            digest=move.digest,
            why=move.why,
        )
        publisher.send(fact, id=move.id)
        publisher.flush()

    return tell


def restore(
    place: Annotated[str, typer.Argument(metavar="TOPIC[:PARTITION]", help="Of which topic, or of which partition.")],
    *,
    begin: Annotated[int, typer.Option("--from", metavar="OFFSET", help="From this offset on.")] = 0,
    end: Annotated[int | None, typer.Option("--to", metavar="OFFSET", help="To before this one.")] = None,
    speed: Annotated[str, typer.Option(help="Expedited, Standard or Bulk: the quicker, the dearer.")] = "Standard",
    days: Annotated[int, typer.Option(min=1, help="So long it can be read then.")] = 7,
    wait: Annotated[bool, typer.Option("--wait", help="Return when all of it can be read.")] = False,
    state: Annotated[bool, typer.Option("--state", help="Ask for nothing: show what is in which state.")] = False,
    policy: PolicyFile = None,
    as_json: Json = False,
) -> None:
    """Have frozen files of a range restored, so that they can be read; shows what it costs.

    What was asked for before is not asked for again. Example: onefact archive restore trading.events:3 --wait
    """
    from eventlog.archive.frozen import Request
    from eventlog.archive.objects import SPEEDS, Objects
    from eventlog.archive.past import Past
    from eventlog.settings import Settings

    settings = Settings().required("s3")
    if speed not in SPEEDS:
        raise BadInput(f"--speed is one of {', '.join(SPEEDS)}, not {speed!r}")
    name, _, number = place.partition(":")
    (topic,) = _chosen([name])
    past, limit = Past(settings), 2**63 if end is None else end
    frozen = [
        segment
        for partition in past.partitions(topic.name)
        if number in ("", str(partition))
        for segment in past.segments(topic.name, partition)
        if segment.tier == "frozen" and segment.end > begin and segment.begin < limit
    ]
    request = Request(Objects(settings), frozen)
    prices = _policy(policy).prices
    to_pay = prices.restoring(speed, sum(segment.size for segment in request.lacking()))
    if not state:
        request.ask(speed, days)
        if wait:
            request.wait(settings.archive_look_s)
    states = dict(request.states())
    if as_json:
        print_json({"files": len(frozen), "bytes": request.size, "states": states, "cost": to_pay})
        return
    said = ", ".join(f"{count} {which}" for which, count in sorted(states.items())) or "nothing frozen"
    asked = "would cost" if state else "costs"
    print(f"{len(frozen)} files, {request.size:,} bytes: {said}; to restore {asked} {to_pay:.4f} {prices.currency}")
