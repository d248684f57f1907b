"""Decimals that stay exact: wide enough that sums and products of stored numbers never round.

A stored number has at most 38 digits, 12 of them after the point. A product of two has at most 76,
and the sum of a million of those 82, so a context of 100 digits never rounds what a role computes;
rounding happens only where `places` is called.
"""

from __future__ import annotations

import decimal
from decimal import Decimal

from eventlog.errors import Refused

DIGITS_MAX = 38
"""Digits of a stored number, both sides of the point (the most that Avro readers elsewhere hold)."""
PLACES = 12
"""Digits after the point of a stored number."""
INTEGER_DIGITS_MAX = DIGITS_MAX - PLACES

_CONTEXT = decimal.Context(
    prec=100,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
# Threads started from now on take their context from DefaultContext; this one is given it at once.
decimal.DefaultContext.prec = _CONTEXT.prec
decimal.DefaultContext.rounding = _CONTEXT.rounding
decimal.setcontext(_CONTEXT.copy())

ZERO = Decimal(0)
_UNIT = Decimal(1).scaleb(-PLACES)
_LIMIT = Decimal(10) ** INTEGER_DIGITS_MAX
_LIMIT_BELOW = -_LIMIT
_quantize = _CONTEXT.quantize


def places(number: Decimal) -> Decimal:
    """Round half to even to `PLACES` places: the one rounding there is."""
    return _quantize(number, _UNIT)


def fits(number: Decimal) -> bool:
    """Whether the number can be stored: `INTEGER_DIGITS_MAX` digits before the point."""
    return _LIMIT_BELOW < number < _LIMIT


def parse(text: object, field: str) -> Decimal:
    """Read a number of a command, exactly as it was written.

    Raises `Refused` with code `not_a_number` (text that is none, NaN, infinite), `too_many_digits`
    (over 38 digits, over 26 before the point or over 12 after it).
    """
    try:
        # Decimal also takes 1_000 and the digits of other scripts, which other readers of a command do not.
        if isinstance(text, str) and ("_" in text or not text.isascii()):
            raise ValueError
        number = Decimal(text)  # type: ignore[arg-type]
    except (decimal.InvalidOperation, ValueError, TypeError):
        raise Refused("not_a_number", f"{field} is not a number: {str(text)[:60]!r}") from None
    if not number.is_finite():
        raise Refused("not_a_number", f"{field} must be finite, not {str(number)[:60]}")
    if isinstance(text, str) and len(text) <= PLACES + 1 and "e" not in text and "E" not in text:
        return number  # too short to hold too many digits on either side of the point
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if len(digits) > DIGITS_MAX or (len(digits) + exponent > INTEGER_DIGITS_MAX and any(digits)):
        raise Refused("too_many_digits", f"{field} has more than {DIGITS_MAX} digits, {PLACES} of them after the point")
    if exponent < -PLACES and number != places(number):
        raise Refused("too_many_digits", f"{field} has more than {PLACES} digits after the point")
    return number


def text(number: Decimal) -> str:
    """The one way a number is shown: plain digits, no exponent, no trailing zeros."""
    if not number:
        return "0"
    shown = format(number, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
