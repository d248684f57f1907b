"""`onefact publish` and `onefact send`."""

from __future__ import annotations

import time as clock
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import Json, print_json, say
from eventlog.errors import BadInput

if TYPE_CHECKING:
    from eventlog.topics import Domain
    from producers import Outcome, Tally
    from producers.cloudevents import BadLine

SHOW_EVERY = 1000
"""Records, after which the progress bar is moved."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("publish")(publish)
    app.command("send")(send)


def publish(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="Where to, such as trading or market.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CloudEvents, one JSON object per line; .gz too; - for stdin.")
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Until every one is decided.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="With --wait: so long without any outcome.")
    ] = 60.0,
    from_line: Annotated[int, typer.Option(min=1, metavar="N", help="Skip the lines before this one.")] = 1,
    as_json: Json = False,
) -> None:
    """Publish a file of commands, or of facts that nobody decides; each goes to the topic of its type.

    A line that cannot be used stops it with exit code 2, after all before it were delivered; --from-line goes on
    from there. An id that is among the last 1,000 commands of its stream is not decided twice.

    Example: onefact publish trading trades.jsonl.gz --wait
    """
    from deploy.cli.inputs import PublishBar, open_input
    from producers import Publisher, Tally
    from producers.cloudevents import BadLine, CloudEvents

    events = CloudEvents(find_domain(domain), *domains_beside(domain))
    tally = Tally() if wait else None
    started, published = clock.monotonic(), 0
    with open_input(file) as source, Publisher() as publisher, PublishBar(source.size) as bar:
        send = publisher.send
        try:
            for message, event_id, time, origin, extensions in events.lines(source, from_line):
                send(
                    message,
                    id=event_id,
                    time=time,
                    source=origin,
                    extensions=extensions,
                    tally=tally,
                    timeout_s=timeout,
                )
                published += 1
                if published % SHOW_EVERY == 0:
                    bar.published(published, source.position)
        except BadLine as error:
            publisher.flush()
            raise BadInput(_stopped("stdin" if file == "-" else file, error, published)) from None
        publisher.flush()
        bar.published(published, source.position)
        if tally is not None:
            counted = tally
            publisher.wait(counted, timeout, on_progress=lambda: bar.decided(counted.settled, published))
            bar.decided(counted.settled, published)
    _report(published, tally, clock.monotonic() - started, as_json=as_json)


def send(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="Where to, such as trading.")],
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="Of the command, such as BuyStock.")],
    data: Annotated[str, typer.Argument(metavar="JSON", help="Its fields, as one JSON object.")],
    *,
    command_id: Annotated[
        str | None, typer.Option("--id", help="The same id again is answered with its first outcome.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it happened, RFC 3339; now by default.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is decided; prints the outcome.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="So long --wait waits.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Send one command. With --wait: exit code 1 when it is refused.

    Example: onefact send trading DepositCash '{"portfolio_id": "p1", "amount": "100.00"}' --wait
    """
    from eventlog.envelope import parse_time
    from producers import Publisher
    from producers.cloudevents import CloudEvents

    message = CloudEvents(find_domain(domain)).message(type_name, data.encode(errors="surrogateescape"))
    try:
        moment = parse_time(time) if time else None
    except (ValueError, OverflowError) as error:
        raise BadInput(f"--time {time!r} cannot be read: {error}") from None
    with Publisher(source="onefact/cli") as publisher:
        command_id = command_id or publisher.new_id()
        if wait:
            outcome = publisher.send(message, id=command_id, time=moment, wait=True, timeout_s=timeout)
            _print_outcome(command_id, message.stream, outcome, as_json=as_json)
            return
        publisher.send(message, id=command_id, time=moment).delivered()
    if as_json:
        print_json({"id": command_id, "stream": message.stream})
    else:
        say(command_id)


def find_domain(name: str) -> Domain:
    """The domain of that name; raises `BadInput` listing what there is."""
    from producers import declared_domains

    domains = {domain.name: domain for domain in declared_domains()}
    if name not in domains:
        raise BadInput(f"there is no domain {name!r}; there are {', '.join(domains)}")
    return domains[name]


def domains_beside(name: str) -> tuple[Domain, ...]:
    """The domains whose messages may be among those of a domain: what its source says."""
    from eventlog.discovery import VOCABULARY, discover

    found = discover(VOCABULARY, ("producers",)).sources
    return next((source.also for source in found if source.domain.name == name), ())


def _stopped(file: str, error: BadLine, published: int) -> str:
    if not published:
        return f"{file}: {error}. Nothing was published"
    return (
        f"{file}: {error}. It stopped there, {published:,} were published. Once it is corrected, go on with "
        f"--from-line {error.number}; or publish all of it again, where no stream had more than 1,000 commands since"
    )


def _report(published: int, tally: Tally | None, seconds: float, *, as_json: bool) -> None:
    counted: dict[str, object] = {"published": published}
    if tally is not None:
        counted |= {"accepted": tally.accepted, "refused": tally.refused}
        if tally.dead:
            counted["dead"] = tally.dead
    if as_json:
        print_json(counted | {"seconds": round(seconds, 3)})
    else:
        said = ", ".join(f"{name} {count:,}" for name, count in counted.items())
        say(f"{said} in {seconds:.1f} s ({published / max(seconds, 1e-9):,.0f}/s)")
    if tally is not None and tally.dead:
        raise typer.Exit(1)


def _print_outcome(command_id: str, stream: str, outcome: Outcome, *, as_json: bool) -> None:
    from msgspec import structs

    from producers import Accepted, DeadLettered

    kind = "accepted" if isinstance(outcome, Accepted) else "dead" if isinstance(outcome, DeadLettered) else "refused"
    if as_json:
        print_json({"id": command_id, "outcome": kind, "stream": stream, **structs.asdict(outcome)})
    elif isinstance(outcome, Accepted):
        say(f"{command_id}\naccepted: stream {outcome.stream}, version {outcome.version}, position {outcome.position}")
    else:
        say(f"{command_id}\n{'refused' if kind == 'refused' else 'dead-lettered'}: {outcome.code}: {outcome.reason}")
    if kind != "accepted":
        raise typer.Exit(1)
