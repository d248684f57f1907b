"""What stands in an order or a match is refused with a code, or stored and shown as text; nothing else is harmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from eventlog.dead import letters, sources
from eventlog.discovery import catalog
from eventlog.provision import provision
from eventlog.settings import Settings
from producers import Publisher
from producers.outcome import Accepted, Refused
from projections import Reader
from schemas.bookings import Player, RecordYellowCard, Referee, StartMatch, Team
from schemas.orders import AskedLine, CancelOrder, PlaceOrder
from tests.backing import Backing
from tests.effects.provider import ROOT
from tests.runtime.harness import Workers, wait_until

STORED = [
    'O\'Brien "the" <b>Bob</b>',
    "Robert'); DROP TABLE orders; --",
    "x'}) MATCH (n) DETACH DELETE n //",
    "[bold red]not bold[/] [/] {0} %s ${HOME}",
    "café 東京 żółć",
    "../../etc/passwd",
]
HARMLESS_WITHIN = ["", " padded "]
"""A name may hold these between others."""
REFUSED = ["a\0b", "a\u202egpj.exe", "\u200fa", "\x1b[2J", "two\nlines", " padded ", "", "x" * 129]


@pytest.fixture(scope="module")
def orders(backing: Backing, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    provision(settings, catalog())
    workers = Workers(dict(backing.env), tmp_path_factory.mktemp("strange"), "deploy.worker")
    workers.start("strange", "orders", "bookings")
    workers.wait_ready()
    with Publisher(settings) as publisher:
        yield publisher
    workers.stop()


def onefact(backing: Backing, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words], env=os.environ | backing.env, cwd=ROOT, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def order(order_id: str, customer: str, sku: str = "mug") -> PlaceOrder:
    line = AskedLine(sku=sku, quantity="1", unit_price="2.50")
    return PlaceOrder(order_id=order_id, customer_id=customer, currency="GBP", lines=(line,))


def test_text_is_stored_and_shown_as_text(orders: Publisher, settings: Settings, backing: Backing) -> None:
    mark = uuid.uuid4().hex
    placed = {f"{mark} {name}": name for name in STORED}
    said: dict[str, Any] = {
        order_id: orders.send(order(order_id, name, sku=f"{name} sku"), wait=True) for order_id, name in placed.items()
    }
    assert all(isinstance(outcome, Accepted) for outcome in said.values()), said
    with Reader(settings) as reader:
        for order_id, name in placed.items():
            at_least = said[order_id].position
            for model in ("orders", "order"):
                row = reader.read(model, (order_id,), at_least=at_least)
                assert isinstance(row, dict)
                assert row["customer_id"] == name
            assert list(row["lines"]) == [f"{name} sku"]
            (first,) = reader.read("order_history", (order_id,), at_least=at_least) or []
            assert first["type"] == "OrderPlaced"
    worst = f"{mark} {STORED[3]}"
    shown = onefact(backing, "read", "orders", worst)
    assert STORED[3] in shown
    assert shown.replace("\n", "").isprintable()
    assert json.loads(onefact(backing, "read", "order", worst, "--json"))["customer_id"] == STORED[3]
    assert STORED[3] in onefact(backing, "history", worst)


def match(match_id: str, name: str) -> tuple[StartMatch, RecordYellowCard]:
    player = Player(player_id=f"{match_id} p", name=name, shirt_number=1)
    home, away = (Team(team_id=f"{match_id} {side}", name=name, players=players)
                  for side, players in (("h", (player,)), ("a", ())))  # fmt: skip
    referee = Referee(referee_id=f"{match_id} r", name=name)
    card = RecordYellowCard(
        match_id=match_id, player_id=player.player_id, team_id=home.team_id, minute=7, foul_type="DISSENT",
        referee_id=referee.referee_id,
    )  # fmt: skip
    return StartMatch(match_id=match_id, competition="Cup", home=home, away=away, referee=referee), card


def test_names_in_a_match_are_shown_as_text(orders: Publisher, settings: Settings, backing: Backing) -> None:
    mark = uuid.uuid4().hex
    for number, name in enumerate(STORED):
        start, card = match(f"{mark}-{number}", name)
        orders.send(start)
        outcome: Any = orders.send(card, wait=True)
        assert isinstance(outcome, Accepted)
        with Reader(settings) as reader:
            shown: Any = reader.read("tv-live", (start.match_id,), at_least=outcome.position)
            assert shown["entries"][0]["display_text"] == f"YELLOW CARD: {name} ({name}), 7'"
            player: Any = reader.read("players", (card.player_id,), at_least=outcome.position)
            assert player["name"] == name
    for model, key in (("tv-live", f"{mark}-3"), ("social-feed", f"{mark}-3"), ("players", f"{mark}-3 p")):
        out = onefact(backing, "read", model, key)
        assert "[bold red]" in out
        assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize("text", ["a\0b", "a\u202eb", "\x1b[2J", "two\nlines"])
def test_names_in_a_match_that_cannot_be_shown_are_refused(orders: Publisher, text: str) -> None:
    start, _ = match(uuid.uuid4().hex, text)
    outcome: Any = orders.send(start, wait=True)
    assert isinstance(outcome, Refused)
    assert outcome.code == "bad_name"
    assert outcome.reason.isprintable()


@pytest.mark.parametrize("text", REFUSED)
def test_text_that_cannot_be_shown_is_refused(orders: Publisher, text: str) -> None:
    name = uuid.uuid4().hex
    for strange, code in (
        (order(name, text), "bad_customer_id"),
        (order(name, "ada", sku=text), "bad_sku"),
        *([] if text in HARMLESS_WITHIN else [(order(f"{name}{text}{name}", "ada"), "bad_order_id")]),
    ):
        outcome: Any = orders.send(strange, wait=True)
        assert isinstance(outcome, Refused)
        assert outcome.code == code
        assert outcome.reason.isprintable()
    assert isinstance(orders.send(order(name, "ada"), wait=True), Accepted), "nothing is left of what was refused"
    cancelled: Any = orders.send(CancelOrder(order_id=name, reason=text), wait=True)
    assert isinstance(cancelled, Accepted if text and text.isprintable() else Refused)


def test_a_record_that_is_no_order_is_a_dead_letter(orders: Publisher, settings: Settings, backing: Backing) -> None:
    from confluent_kafka import Producer

    mark = uuid.uuid4().hex
    producer = Producer({"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random", "log_level": 0})
    for value in (b"", b"\0\0\0\0\x01nonsense", b"DROP TABLE orders"):
        producer.produce("orders.commands", value, mark, headers=[("ce_id", b"1")])
    assert producer.flush(30) == 0
    assert isinstance(orders.send(order(mark, "ada"), wait=True), Accepted), "the partition goes on"

    def codes() -> list[str]:
        return sorted(
            letter.code
            for letter in letters(settings, sources(catalog(), "orders.commands"))
            if letter.key == mark.encode()
        )

    wait_until(lambda: len(codes()) == 3, 100, "three dead letters", lambda: str(codes()))
    shown = onefact(backing, "dead", "list", "orders.commands")
    assert shown.replace("\n", "").isprintable()
