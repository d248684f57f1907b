"""The digest of a fold: the same in every process, another one for another fold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventlog.errors import OnefactError
from projections.fingerprint import fold_of
from tests.projections.kinds import KINDS
from tests.projections.shop import ITEMS

ROOT = Path(__file__).parents[2]
PROGRAM = """
from dataclasses import dataclass, replace
from projections.fingerprint import fold_of
from tests.projections.shop import ITEMS

@dataclass
class Held:
    items: frozenset[str]

def made(*held):
    def on(event, meta):
        if event.item in {"tea", "milk", "sugar", "flour"}:
            return [held, lambda: event.item in {"nuts", "figs", "dates"}]
        return ITEMS.on(event, meta)
    return on

on = made({"a", "b", "c"}, (1, (frozenset("defg"), {"k": {"x", "y"}})), Held(frozenset("hijk")), made(ITEMS, len, os))
print(fold_of(replace(ITEMS, on=on)), fold_of(replace(ITEMS, on=on), kernel=True))
"""


def test_every_process_says_the_same_of_a_fold() -> None:
    said = set()
    for seed in ("1", "2", "3"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", f"import os\n{PROGRAM}"]
        said.add(subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(said) == 1
    assert said != {""}


def held(*values: Any, factor: int = 1) -> str:
    """The digest of a handler that holds these."""

    def on(event: Any, meta: Any, times: int = factor) -> Iterable[Any]:
        return values and ()

    return fold_of(replace(ITEMS, on=on))


def test_other_values_are_another_fold() -> None:
    folds = [
        held(),
        held(factor=2),
        held(1),
        held("1"),
        held({1, 2}),
        held({1, 3}),
        held(({1, 2},)),
        held({"a": 1}),
        held({"a": 2}),
        held("a" * 2000),
        held("a" * 1999 + "b"),
        held(len),
        held(held),
        held(*KINDS.projections),
    ]
    assert len(set(folds)) == len(folds)
    assert held(*KINDS.projections) == held(*KINDS.projections)
    values: list[Any] = []
    values.append(values)
    assert held(values) == held(values), "what holds itself comes to an end"


def test_what_no_other_process_can_compare_is_refused() -> None:
    with pytest.raises(OnefactError, match="a handler holds <object object at 0x"):
        held([object()])
