"""The policy of tiers: one readable file, checked as it is read."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec

from eventlog.archive.objects import ArchiveClass, ExtraMissing, Speed
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
    latest_per_key: bool = False
    freeze_after: str = "never"
    delete_after: str = "never"
    kafka_keeps: str = "never"

    def __post_init__(self) -> None:
        for age in (self.compact_after, self.freeze_after, self.delete_after, self.kafka_keeps):
            age_of(age)
        if self.latest_per_key and age_of(self.freeze_after) is not None:
            raise ValueError("latest_per_key reads the files it compacts: what is frozen cannot be; say one of the two")


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A month, for a GB."""

    currency: str = "USD"
    kafka: float = 0.0
    warm: float = 0.0
    cold: float = 0.0
    frozen: float = 0.0
    restore: dict[Speed, float] = msgspec.field(default_factory=dict)
    """Once, for a GB, by how quickly."""

    def monthly(self, place: Literal["kafka", "warm", "cold", "frozen"], size: int) -> float:
        """Of so many bytes in one place."""
        price: float = getattr(self, place)
        return price * size / GB

    def restoring(self, speed: Speed, size: int) -> float:
        """So many bytes, once."""
        return self.restore.get(speed, 0.0) * size / GB


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    default: TopicPolicy = TopicPolicy()
    topics: dict[str, TopicPolicy] = msgspec.field(default_factory=dict)
    cold_class: Literal["STANDARD", "STANDARD_IA"] = "STANDARD"
    frozen_class: ArchiveClass = "GLACIER"
    prices: Prices = Prices()

    def __post_init__(self) -> None:
        if age_of(self.default.delete_after) is not None or self.default.latest_per_key:
            raise ValueError("what is given up for ever is said of a topic by its name, never by default")

    def of(self, topic: str) -> TopicPolicy:
        return self.topics.get(topic, self.default)


def read_policy(path: Path = DEFAULT) -> Policy:
    """Raises `BadInput` saying what is wrong, and where."""
    try:
        import yaml
    except ImportError as missing:
        raise ExtraMissing(missing.name) from None
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()) or {}, Policy)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}") from None
