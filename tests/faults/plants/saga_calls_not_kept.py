"""Calls that wait for their answer are in memory alone: a new owner makes none of them."""

from __future__ import annotations

from typing import Any

from eventlog.steps.effect import EffectStep


def plant() -> None:
    step: Any = EffectStep
    step.changelog = lambda *_: []
