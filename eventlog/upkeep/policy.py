"""The policy of tiers: one readable file, checked as it is read."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec

from eventlog.archive.objects import ExtraMissing
from eventlog.errors import BadInput

DEFAULT = Path(__file__).with_name("policy.yaml")
GB = 10**9
_AGE = re.compile(r"(\d+)([hdy])")
_HOURS = {"h": 1, "d": 24, "y": 24 * 365}


def age_of(text: str) -> timedelta | None:
    """`12h`, `30d`, `7y`; None for `never`. Raises `ValueError`."""
    if text == "never":
        return None
    found = _AGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no age: write 12h, 30d, 7y or never")
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


class TopicPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of one topic."""

    compact_after: str = "1d"
    kafka_keeps: str = "never"

    def __post_init__(self) -> None:
        age_of(self.compact_after)
        age_of(self.kafka_keeps)


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A month, for a GB."""

    currency: str = "USD"
    kafka: float = 0.0
    warm: float = 0.0
    cold: float = 0.0

    def monthly(self, place: Literal["kafka", "warm", "cold"], size: int) -> float:
        """Of so many bytes in one place."""
        price: float = getattr(self, place)
        return price * size / GB


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    default: TopicPolicy = TopicPolicy()
    topics: dict[str, TopicPolicy] = msgspec.field(default_factory=dict)
    cold_class: Literal["STANDARD", "STANDARD_IA"] = "STANDARD"
    prices: Prices = Prices()

    def of(self, topic: str) -> TopicPolicy:
        return self.topics.get(topic, self.default)


def read_policy(path: Path = DEFAULT) -> Policy:
    """Raises `BadInput` saying what is wrong, and where."""
    try:
        import yaml
    except ImportError:
        raise ExtraMissing("the archive's libraries are missing: pip install 'onefact[archive]'") from None
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()) or {}, Policy)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}") from None
