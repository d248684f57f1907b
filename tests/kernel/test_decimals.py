"""Numbers are read as they are written, kept exactly, rounded in one place, shown in one way."""

from __future__ import annotations

import decimal
import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import decimals
from eventlog.errors import Refused

LARGEST = Decimal("9" * 26 + "." + "9" * 12)
stored = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda number: Decimal(number).scaleb(-12))


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("1.50", "1.5"),
        ("+.5", "0.5"),
        ("1.", "1"),
        ("1e3", "1000"),
        ("1E-12", "0.000000000001"),
        ("1.0000000000000", "1"),
        (str(LARGEST), str(LARGEST)),
        (f"-{LARGEST}", f"-{LARGEST}"),
        (7, "7"),
        (Decimal("1.25"), "1.25"),
        ("0e999999", "0"),
    ],
)
def test_reads_what_is_written(written: object, number: str) -> None:
    assert decimals.parse(written, "x") == Decimal(number)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("", "not_a_number"),
        ("one", "not_a_number"),
        ("1_0", "not_a_number"),
        ("\u0661", "not_a_number"),
        ("1 2", "not_a_number"),
        ("NaN", "not_a_number"),
        ("sNaN", "not_a_number"),
        ("Infinity", "not_a_number"),
        ("-inf", "not_a_number"),
        (None, "not_a_number"),
        ([], "not_a_number"),
        ({}, "not_a_number"),
        (b"1", "not_a_number"),
        ("1" * 27, "too_many_digits"),
        ("1e26", "too_many_digits"),
        ("1e999999", "too_many_digits"),
        ("1e-13", "too_many_digits"),
        ("1e-999999", "too_many_digits"),
        ("0.0000000000001", "too_many_digits"),
        (".0000000000001", "too_many_digits"),
        ("1." + "0" * 38, "too_many_digits"),
        ("1e999999999999999999999", "not_a_number"),
    ],
)
def test_refuses_what_it_cannot_keep(written: object, code: str) -> None:
    with pytest.raises(Refused) as refused:
        decimals.parse(written, "price")
    assert refused.value.code == code
    assert "price" in refused.value.reason


def test_rounds_half_to_even_at_twelve_places() -> None:
    half = Decimal("0.0000000000005")
    assert decimals.places(half) == 0
    assert decimals.places(half * 3) == Decimal("0.000000000002")
    assert decimals.places(-half * 3) == Decimal("-0.000000000002")
    assert decimals.places(half + Decimal("1e-40")) == Decimal("0.000000000001")


def test_fits_says_what_can_be_stored() -> None:
    assert decimals.fits(LARGEST)
    assert decimals.fits(-LARGEST)
    assert not decimals.fits(LARGEST + Decimal("0.000000000001"))
    assert not decimals.fits(-(Decimal(10) ** 26))


@given(stored, stored)
def test_products_and_sums_of_stored_numbers_are_exact(a: Decimal, b: Decimal) -> None:
    with decimal.localcontext() as context:
        context.prec = 300
        product, total = a * b, a * b + a
    assert a * b == product
    assert a * b + a == total


@given(stored)
def test_what_is_shown_is_read_back(number: Decimal) -> None:
    shown = decimals.text(number)
    assert decimals.parse(shown, "x") == number
    assert "e" not in shown.lower()
    assert "." not in shown or shown[-1] != "0"


@pytest.mark.parametrize(
    ("number", "shown"),
    [("0E+5", "0"), ("-0.00", "0"), ("1E+3", "1000"), ("1.500", "1.5"), ("-2.0", "-2"), ("100", "100")],
)
def test_numbers_are_shown_in_one_way(number: str, shown: str) -> None:
    assert decimals.text(Decimal(number)) == shown


def test_threads_are_exact_too() -> None:
    found: list[Decimal] = []
    thread = threading.Thread(target=lambda: found.append(LARGEST * LARGEST))
    thread.start()
    thread.join()
    assert len(found[0].as_tuple().digits) == 76
