"""A worker that is killed and a provider that is away: what is asked for is done once and said once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlog.codec import Codec
from eventlog.provision import provision
from eventlog.reader import LogReader
from eventlog.settings import Settings
from projections.mending import mend
from projections.replay import replay
from projections.rollback import rollback
from projections.stores import open_store
from projections.verify import verify
from tests.backing import Backing
from tests.effects.errands import CATALOG, EFFECT, ERRANDS, SEEN, Paid, Pay
from tests.effects.provider import Provider
from tests.runtime.harness import Workers, codec_of, publish, read_all, seeded, wait_until

PROCESSORS = ("errands.decider", "errands.effect")
EVENTS = ERRANDS.topic("events")
RECOVERY_S = 120
PAYMENTS, ACCOUNTS = 160, 40


@pytest.fixture(scope="module")
def codec(settings: Settings) -> Iterator[Codec]:
    provision(settings, CATALOG)
    with codec_of(settings, CATALOG) as made:
        yield made


@pytest.fixture
def workers(backing: Backing, tmp_path: Path, provider: Provider) -> Iterator[Workers]:
    told = {"URL": provider.url, "PAUSE_S": "0.5", "DEADLINE_S": "1", "RATE": "1000"}
    env = backing.env | {f"ONEFACT_PAYMENTS_{name}": value for name, value in told.items()}
    started = Workers(env, tmp_path, module="tests.effects.worker")
    yield started
    started.stop()


def pay(settings: Settings, codec: Codec, prefix: str, seed: int) -> None:
    draw = seeded(seed)
    commands = [
        (f"{prefix}:{number}", Pay(account=f"{prefix}-{draw.randrange(ACCOUNTS)}", amount=f"{draw.randint(1, 99)}.50"))
        for number in range(PAYMENTS)
    ]
    publish(settings, codec, ERRANDS.topic("commands"), commands)


def paid(settings: Settings, codec: Codec, prefix: str) -> list[Paid]:
    records = [r for r in read_all(settings, EVENTS) if (r.key or b"").startswith(prefix.encode() + b"-")]
    found = [codec.decode(record.value, EVENTS) for record in records]
    return [fact for fact in found if isinstance(fact, Paid)]


def check(provider: Provider, facts: list[Paid]) -> None:
    """Books and facts are the same payments, each once, those of an account in their order."""
    booked = {(entry["order_id"], entry["reference"]) for entry in provider.books()["charges"]}
    assert len(provider.books()["charges"]) == PAYMENTS
    assert {(f"{fact.account}/{fact.number}", fact.reference) for fact in facts} == booked
    assert len(facts) == PAYMENTS
    by_account: dict[str, list[int]] = {}
    for fact in facts:
        by_account.setdefault(fact.account, []).append(fact.number)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_account.values())


def taken(settings: Settings) -> bool:
    """Whether the effect has read its topic to the end."""
    with LogReader(settings, group=EFFECT.name) as reader:
        ranges = {
            (EVENTS.name, p): (reader.committed(EVENTS.name, p), reader.bounds(EVENTS.name, p)[1])
            for p in range(EVENTS.partitions)
        }
        return not reader.waiting(ranges)


def test_facts_go_on_while_the_provider_is_away(
    settings: Settings, codec: Codec, workers: Workers, provider: Provider
) -> None:
    workers.start("c", *PROCESSORS, SEEN.name)
    workers.wait_ready()
    provider.kill()
    pay(settings, codec, "away", provider.seed)
    wait_until(lambda: taken(settings), RECOVERY_S, "every fact taken", workers.logs)
    workers.wait_ready("c")
    assert paid(settings, codec, "away") == []
    wait_until(lambda: 'circuit_state{outside="payments"} 2.0' in workers.metrics("c"), RECOVERY_S, "circuit open")
    workers.kill("c")  # what waits, waits in the log
    workers.start("c")
    provider.start()
    wait_until(lambda: len(paid(settings, codec, "away")) >= PAYMENTS, RECOVERY_S, "all paid", workers.logs)
    check(provider, paid(settings, codec, "away"))
    # A model that is rebuilt reads every fact again, and nobody is called for one.
    wait_until(lambda: caught_up(settings), RECOVERY_S, "the model has seen all", workers.logs)
    calls, books = made(workers), provider.books()
    result = replay(SEEN.model.name, settings=settings, catalog=CATALOG)
    assert result.identical
    assert result.records >= 2 * PAYMENTS
    assert rollback(SEEN.model.name, settings=settings, catalog=CATALOG).switched
    assert verify(SEEN.model.name, settings=settings, catalog=CATALOG).records >= 2 * PAYMENTS
    first = next(iter(books["charges"]))
    assert mend(SEEN.model.name, first["order_id"].partition("/")[0], settings=settings, catalog=CATALOG).records
    assert replay(SEEN.model.name, settings=settings, catalog=CATALOG, until="2100-01-01").records >= 2 * PAYMENTS
    assert (made(workers), provider.books()) == (calls, books)


def caught_up(settings: Settings) -> bool:
    store = open_store("redis", settings)
    try:
        progress = store.progress(SEEN.model)
    finally:
        store.close()
    with LogReader(settings) as reader:
        return not reader.waiting(
            {place: (progress.get(place, 0), end) for place, end in reader.ends(EVENTS.name).items()}
        )


def made(workers: Workers) -> list[str]:
    """Attempts of calls, by outcome."""
    return [line for line in workers.metrics("c").splitlines() if line.startswith("onefact_calls_total{")]
