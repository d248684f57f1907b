"""`onefact archive compact`, `plan`, `tier` and `restore`: where what is archived lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.archive._topics import Topics, chosen, grouped
from deploy.cli.output import Json, print_json, print_table
from eventlog.errors import BadInput

if TYPE_CHECKING:
    from eventlog.settings import Settings
    from eventlog.topics import Topic

PolicyFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="The policy; without it the one that deletes nothing from Kafka.")
]


def compact(topics: Topics = None, *, policy: PolicyFile = None, as_json: Json = False) -> None:
    """Make a large file of the small ones of each day, whatever their age, and remove what they replaced.

    The new file is read back and held against its sources before it takes their place, in the storage class that the
    policy has for it. Each move is a fact in the topic archive.moves. Example: onefact archive compact
    """
    from msgspec.structs import replace

    from eventlog.upkeep.policy import TopicPolicy

    at_once = replace(_policy(policy), default=TopicPolicy(compact_after="0h"), topics={})
    _apply({topic.name: topic for topic in chosen(topics)}, at_once, as_json=as_json)


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
    _apply({topic.name: topic for topic in chosen(None)}, _policy(policy), as_json=as_json)


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
    (topic,) = chosen([name])
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
        for move in apply(Objects(settings), log, topics, policy, int(time.time() * 1000), teller(publisher)):
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
    topics = {topic.name: topic for topic in chosen(None)}
    return read, list(tiers.plan(Objects(settings), log, topics, read, int(time.time() * 1000)))


def _print_moves(moves: list[Any]) -> None:
    columns = ["topic", "partition", "from", "to", "offsets from", "before", "files", "bytes", "bytes after", "why"]
    keys = ["topic", "partition", "source", "target", "begin", "end", "files", "bytes_before", "bytes_after", "why"]
    if moves:
        print_table(columns, [[grouped(getattr(move, key)) for key in keys] for move in moves])


def teller(publisher: Any) -> Any:
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
