"""Committed schemas that differ from their classes are named, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventlog import avsc
from eventlog.message import Event, Money
from eventlog.schema import schema_text
from tests.kernel.messages import Everything, Placed, placed_in_cents, placed_later

CLASSES = [Everything, Placed]


def test_what_was_written_has_not_drifted(tmp_path: Path) -> None:
    written = avsc.write(tmp_path, CLASSES)
    assert sorted(file.name for file in written) == ["Everything.avsc", "Placed.avsc"]
    assert avsc.drift(tmp_path, CLASSES) == []
    assert avsc.write(tmp_path, CLASSES) == []


def test_a_missing_a_changed_and_a_stray_schema_are_drift(tmp_path: Path) -> None:
    avsc.write(tmp_path, CLASSES)
    (tmp_path / "test" / "Everything.avsc").unlink()
    (tmp_path / "test" / "Gone.avsc").write_text("{}")
    found = avsc.drift(tmp_path, [Everything, placed_later()])
    assert [sentence.split()[0] for sentence in found] == ["test/Everything.avsc", "test/Gone.avsc", "test/Placed.avsc"]
    assert "missing" in found[0]
    assert "no message type" in found[1]
    assert "differs" in found[2]


def kept(root: Path) -> dict[str, str]:
    return {str(file.relative_to(root)): file.read_text() for file in root.glob("*/history/*")}


def test_what_was_written_before_is_kept(tmp_path: Path) -> None:
    avsc.write(tmp_path, [Placed])
    first = (tmp_path / "test" / "Placed.avsc").read_text()
    avsc.write(tmp_path, [placed_later()])
    assert kept(tmp_path) == {"test/history/Placed.1.avsc": first}
    assert (tmp_path / "test" / "Placed.avsc").read_text() != first
    assert avsc.drift(tmp_path, [placed_later()]) == []
    with pytest.raises(avsc.Unreadable, match=r"Placed\.amount"):
        avsc.write(tmp_path, [Placed])  # there is no way back: what was `total` meanwhile would be lost


def test_other_words_are_no_other_version(tmp_path: Path) -> None:
    avsc.write(tmp_path, [Placed])
    file = tmp_path / "test" / "Placed.avsc"
    file.write_text(file.read_text().replace("As it was first", "In other words"))
    assert avsc.write(tmp_path, [Placed]) == [file]
    assert kept(tmp_path) == {}


def test_a_class_that_cannot_read_an_earlier_version_is_refused_by_field(tmp_path: Path) -> None:
    avsc.write(tmp_path, [Placed])
    before = (tmp_path / "test" / "Placed.avsc").read_text()
    said = "Placed.amount: was decimal of 12 places, is decimal of 2 places, which cannot read older facts; "
    (why,) = avsc.incompatible(tmp_path, [placed_in_cents()])
    assert why.startswith(said)
    assert why.endswith("(test/Placed.avsc)")
    with pytest.raises(avsc.Unreadable, match=r"Placed\.amount"):
        avsc.write(tmp_path, [placed_in_cents()])
    assert (tmp_path / "test" / "Placed.avsc").read_text() == before
    assert kept(tmp_path) == {}


def test_every_earlier_version_counts(tmp_path: Path) -> None:
    """The last version has no `fee` at all; the one before had it as text."""
    for fields in ({"fee": (str, "")}, {}):
        avsc.write(tmp_path, [fee(fields)])
    (why,) = avsc.incompatible(tmp_path, [fee({"fee": (int, 0)})])
    assert "Paid.fee: was string, is long" in why
    assert why.endswith("(test/history/Paid.1.avsc)")
    assert avsc.incompatible(tmp_path, [fee({"fee": (str, "none")})]) == []


def test_a_class_under_a_new_name_takes_its_history_along(tmp_path: Path) -> None:
    avsc.write(tmp_path, [Placed])
    first = (tmp_path / "test" / "Placed.avsc").read_text()
    renamed = fee({"amount": (Money,)}, "Ordered", formerly=("Placed",))
    assert avsc.drift(tmp_path, [renamed]) == [
        "test/Ordered.avsc is missing; run `onefact schemas --write`",
        "test/Placed.avsc is now Ordered; run `onefact schemas --write`",
    ]
    (why,) = avsc.incompatible(tmp_path, [fee({"total": (Money,)}, "Ordered", formerly=("Placed",))])
    assert why.startswith("Ordered.total: a new field without a default")
    assert why.endswith("(test/Placed.avsc)")
    avsc.write(tmp_path, [renamed])
    assert kept(tmp_path) == {"test/history/Placed.1.avsc": first}
    assert avsc.drift(tmp_path, [renamed]) == []
    (why,) = avsc.incompatible(tmp_path, [fee({"total": (Money,)}, "Ordered", formerly=("Placed",))])
    assert why.startswith("Ordered.total: a new field without a default")
    (tmp_path / "test" / "Ordered.avsc").write_text(schema_text(fee({"amount": (Money,)}, "Ordered")))
    assert avsc.drift(tmp_path, [fee({"amount": (Money,)}, "Ordered")]) == [
        "test/history/Placed.1.avsc is the history of no message type of any domain"
    ]


def fee(fields: dict[str, tuple[Any, ...]], name: str = "Paid", formerly: tuple[str, ...] = ()) -> type[Event]:
    """An event with these fields, beside its key."""
    made = msgspec.defstruct(
        name, [("key", str), *((field, *of) for field, of in fields.items())], bases=(Event,), frozen=True,
        kw_only=True, namespace={"stream_field": "key", "namespace": "onefact.test", "formerly": formerly},
    )  # fmt: skip
    assert issubclass(made, Event)
    return made
