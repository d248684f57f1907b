"""Any value that a message may hold, from its type hints: the extremes of every kind among them."""

from __future__ import annotations

import types
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from eventlog.message import Digits

INT64 = 2**63


def values(hint: Any, *, within: bool = False) -> st.SearchStrategy[Any]:
    """Values of a type; those `within` a record or a list are smaller, so that the whole is not too large to try."""
    origin, args = get_origin(hint), get_args(hint)
    few = 2 if within else 4
    if origin is Annotated:
        return decimals(args[1]) if isinstance(args[1], Digits) else values(args[0], within=within)
    if origin in (Union, types.UnionType):
        return st.one_of(*(st.none() if arg is type(None) else values(arg, within=within) for arg in args))
    if origin is tuple:
        return st.lists(values(args[0], within=True), max_size=few).map(tuple)
    if origin is list:
        return st.lists(values(args[0], within=True), max_size=few)
    if origin is dict:
        return st.dictionaries(values(args[0], within=True), values(args[1], within=True), max_size=few)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return messages(hint, within=True)
    return st.text(max_size=10) if within and hint is str else SIMPLE[hint]


def decimals(digits: Digits) -> st.SearchStrategy[Decimal]:
    largest = 10**digits.precision - 1
    unscaled = st.one_of(
        st.sampled_from([0, 1, -1, largest, -largest, 127, 128, -128, -129, 2**63, -(2**63)]),
        st.integers(-largest, largest),
    )
    return unscaled.map(lambda number: Decimal(number).scaleb(-digits.scale))


def messages(cls: type[msgspec.Struct], *, within: bool = False) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    names = [item.name for item in msgspec.structs.fields(cls)]
    return st.builds(cls, **{name: values(hints[name], within=within) for name in names})


SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=200),
    bytes: st.binary(max_size=200),
    bool: st.booleans(),
    int: st.one_of(st.sampled_from([0, INT64 - 1, -INT64]), st.integers(-INT64, INT64 - 1)),
    float: st.floats(allow_nan=False),
    datetime: st.datetimes(timezones=st.just(UTC)),
}
