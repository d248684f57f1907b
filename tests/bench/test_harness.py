"""What the bench says of runs: the clock, medians, targets, and failures that are not hidden."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from bench.harness import outputs
from bench.harness.meter import Look, _measured
from bench.harness.model import Contest, Run, Spread, Target, figure, ratio
from bench.harness.report import keep
from bench.harness.runner import run_contest
from bench.harness.stand import BenchError

CPU_BEFORE, CPU_AFTER = {"broker": 1.0, "contestant": 2.0}, {"broker": 2.0, "contestant": 6.0}


@dataclass(frozen=True)
class Drawn:
    """A contestant with figures given."""

    name: str
    rates: tuple[float, ...]
    what: str = "drawn"

    def missing(self) -> str | None:
        return None

    def prepare(self, stand: Any) -> None:
        stand.order.append(f"prepare {self.name}")

    def run(self, stand: Any, number: int) -> Run:
        stand.order.append(f"{self.name} {number}")
        if self.rates[number] < 0:
            raise BenchError("fell over")
        return Run({"rate": self.rates[number]})


def contest(*contestants: Drawn) -> Contest:
    rows = (
        ratio("a-b", "a ÷ b", "a", "b", at_least=2),
        figure("b", "b alone", "b", "rate", "/s", target=Target(30, "at most")),
    )
    return Contest("drawn", "figures given", contestants, rows)


def run(made: Contest, pairs: int) -> tuple[Any, list[str]]:
    stand: Any = SimpleNamespace(commands=10, order=[])
    return run_contest(made, stand, pairs, lambda _: None), stand.order


def test_the_clock_runs_from_the_first_commit_to_the_last() -> None:
    looks = [Look(10.0, 100), Look(11.0, 400), Look(12.0, 700), Look(14.0, 1100)]
    measured = _measured(looks, 5.0, CPU_BEFORE, CPU_AFTER)
    assert measured.rate == 1000 / 4
    assert measured.late_rate == 400 / 2
    assert (measured.contestant_cores, measured.broker_cores, measured.per_cpu_s) == (1.0, 0.25, 250)


def test_where_one_look_shows_everything_the_start_counts() -> None:
    assert _measured([Look(7.0, 100)], 5.0, CPU_BEFORE, CPU_AFTER).rate == 50


def test_ratios_are_of_the_same_round_and_the_order_turns() -> None:
    result, order = run(contest(Drawn("a", (10, 90, 60)), Drawn("b", (10, 30, 15))), 3)
    (_, ratios), (_, alone) = result.rows()
    assert ratios == Spread((1.0, 3.0, 4.0))
    assert (ratios.median, ratios.low, ratios.high) == (3.0, 1.0, 4.0)
    assert alone.median == 15
    assert order[2:] == ["a 0", "b 0", "b 1", "a 1", "a 2", "b 2"]
    assert [row["met"] for row in result.document()["rows"]] == [True, True]


def test_a_contestant_that_fails_is_said_and_nothing_is_made_up(tmp_path: Any) -> None:
    result, order = run(contest(Drawn("a", (10, 10)), Drawn("b", (5, -1))), 2)
    assert result.failures == {"b": "BenchError: fell over"}
    assert [spread for _, spread in result.rows()] == [None, None]
    assert order[-1] == "a 1"
    keep([result.document()], tmp_path)
    written = (tmp_path / "RESULTS.md").read_text()
    assert "**b did not run**: BenchError: fell over" in written
    assert "not measured" in written


@pytest.mark.parametrize(
    "mine, complaint",
    [({0: [1, 2]}, None), ({0: [1]}, "led to"), ({0: [1, 3]}, "differ"), ({0: [2, 1]}, "differ")],
)
def test_other_facts_than_the_first_one_wrote_are_an_error(
    monkeypatch: pytest.MonkeyPatch, mine: dict[int, list[int]], complaint: str | None
) -> None:
    stand: Any = SimpleNamespace(commands=2, shared={})
    written = {"e": {0: [1, 2]}, "r": {}}
    monkeypatch.setattr(outputs, "read", lambda _, topic: outputs.Outputs(written[topic]))
    outputs.check(stand, "first", "e", "r")
    written["e"] = mine
    if complaint is None:
        assert outputs.check(stand, "second", "e", "r") == 2
    else:
        with pytest.raises(BenchError, match=complaint):
            outputs.check(stand, "second", "e", "r")
    if complaint == "led to":
        assert outputs.check(stand, "stopped early", "e", "r", whole=False) == 1
