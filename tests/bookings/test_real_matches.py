"""470 real matches come out at the cards and substitutions that are known of them."""

from __future__ import annotations

import gzip
import json
from collections import Counter

from eventlog.envelope import parse_time
from eventlog.testing import EnricherScenario, Scenario, message_of
from processors.bookings import DECIDER, ENRICHER
from schemas.bookings import BOOKINGS, SocialPostWritten
from tests.real import MATCHES, needs

pytestmark = needs(MATCHES)


def test_cards_and_substitutions_of_470_matches() -> None:
    streams: dict[str, Scenario] = {}
    enriching: dict[str, EnricherScenario] = {}
    facts, refused = Counter[str](), Counter[str]()
    with gzip.open(MATCHES, "rt") as lines:
        for line in lines:
            written = json.loads(line)
            command = message_of(BOOKINGS.published()[written["type"]][0], written["data"])
            before = streams.get(command.stream, Scenario(DECIDER))
            after = streams[command.stream] = before.when(command, at=parse_time(written["time"]))  # type: ignore[arg-type]
            if not isinstance(after.outcome, tuple):
                assert after.outcome is not None
                refused[after.outcome.code] += 1
                continue
            for event in after.outcome:
                told = enriching.get(event.stream, EnricherScenario(ENRICHER)).when(event)
                enriching[event.stream] = told
                facts[type(event).__name__] += 1
                facts.update(type(fact).__name__ for fact in told.facts or ())
                assert not any(isinstance(fact, SocialPostWritten) and fact.shortened for fact in told.facts or ())
    assert refused == {"player_off_field": 5}
    assert facts == {
        "MatchStarted": 470, "PlayerBooked": 1339, "PlayerSentOff": 92, "PlayerSubstituted": 1843, "MatchEnded": 470,
        "MatchOpened": 470, "TvGraphicPrepared": 1339 + 92 + 1843, "IncidentCounted": 1339 + 92 + 1843,
        "SocialPostWritten": 1339 + 92, "NewsAlertRaised": facts["NewsAlertRaised"],
    }  # fmt: skip
    assert facts["NewsAlertRaised"] > 92
