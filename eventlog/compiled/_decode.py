"""From bytes to instances."""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from eventlog.compiled._encode import Within
from eventlog.message import Digits
from eventlog.schema import DECIMAL_BYTES_MAX, micros_to_time


def long_at(value: bytes, at: int) -> tuple[int, int]:
    """Avro's `long` at a place, and the place after it. Raises `ValueError` beyond 64 bits, `IndexError` at the end."""
    number = shift = 0
    while True:
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")
    if number >> 64:
        raise ValueError("a number has more than 64 bits")
    return (number >> 1) ^ -(number & 1), at


def _span(value: bytes, at: int) -> tuple[int, int]:
    """Where the bytes lie whose length stands at a place."""
    length, begin = long_at(value, at)
    if not 0 <= length <= len(value) - begin:
        raise ValueError(f"a length of {length} where {len(value) - begin} bytes are left")
    return begin, begin + length


def _branch(value: bytes, at: int) -> tuple[bool, int]:
    """Whether the union of null and something, at a place, is something."""
    index, at = long_at(value, at)
    if index not in (0, 1):
        raise ValueError(f"a union has no branch {index}")
    return index == 1, at


def _too_long(begin: int, end: int) -> ValueError:
    return ValueError(f"a decimal of {end - begin} bytes")


def _too_many(count: int, left: int) -> ValueError:
    return ValueError(f"a list of {count} where {left} bytes are left")


def compile_decoder(
    cls: type[msgspec.Struct], begin: int, broken: Callable[[Exception], Exception]
) -> Callable[[bytes], Any] | None:
    """A function from bytes, whose record starts at `begin`, to an instance; None where a field has another shape.

    Where the bytes are no such record it raises what `broken` makes of the error.
    """
    scope: dict[str, Any] = _reading() | {"_cls": cls, "_broken": broken, "_within": (cls,)}
    made = _fields_lines(cls, scope)
    if made is None:
        return None
    body, built = made
    source = "\n".join(
        [
            "def decode(v):",
            "    try:",
            f"        p = {begin}",
            *("        " + line for line in body),
            "        if p != len(v): raise ValueError(f'{len(v) - p} bytes follow' if p < len(v) else 'cut off')",
            f"        return {built}",
            "    except Exception as error: raise _broken(error) from None",
        ]
    )
    exec(compile(source, f"<decoder of {cls.__name__}>", "exec"), scope)  # noqa: S102 - made of field names alone
    decode: Callable[[bytes], Any] = scope["decode"]
    return decode


def _reading() -> dict[str, Any]:
    return {
        "_long": long_at, "_span": _span, "_branch": _branch, "_time": micros_to_time, "_decimal": Decimal,
        "_int": int.from_bytes, "_too_long": _too_long, "_too_many": _too_many,
    }  # fmt: skip


def _fields_lines(cls: type[msgspec.Struct], scope: dict[str, Any]) -> tuple[list[str], str] | None:
    """Statements that read a record's fields at `p`, and the expression that builds it of them."""
    hints = get_type_hints(cls, include_extras=True)
    names, body = [], []
    for number, field in enumerate(msgspec.structs.fields(cls)):
        lines = _read_lines(hints[field.name], f"f{number}", scope)
        if lines is None:
            return None
        body += lines
        names.append(f"{field.name}=f{number}")
    return body, f"_cls({', '.join(names)})"


Read = Callable[[bytes, int], tuple[Any, int]]
"""From bytes and a place to what stands there, and the place after it."""


def _compile_reader(hint: Any, within: Within) -> Read | None:
    """A function that reads one item of a list, or a record within another; None where it has another shape."""
    scope: dict[str, Any] = _reading() | {"_within": within}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        # A record without fields takes no bytes: any number of them would fit into none.
        if hint in within or not msgspec.structs.fields(hint):
            return None
        scope |= {"_cls": hint, "_within": (*within, hint)}
        made = _fields_lines(hint, scope)
    else:
        lines = _read_lines(hint, "f", scope)
        made = (lines, "f") if lines else None
    if made is None:
        return None
    body, built = made
    source = "\n".join(["def read(v, p):", *("    " + line for line in body), f"    return {built}, p"])
    exec(compile(source, f"<reader of {hint}>", "exec"), scope)  # noqa: S102 - made of field names alone
    read: Read = scope["read"]
    return read


def _list_lines(hint: Any, out: str, scope: dict[str, Any]) -> list[str] | None:
    """Blocks of items, each after its count; after a negative count stand the bytes that the block takes."""
    read = scope[f"_item_{out}"] = _compile_reader(get_args(hint)[0], scope["_within"])
    if read is None:
        return None
    return [
        f"{out} = []",
        "n, p = _long(v, p)",
        "while n:",
        "    if n < 0: n, (_, p) = -n, _long(v, p)",
        "    if n > len(v) - p: raise _too_many(n, len(v) - p)",
        "    for _ in range(n):",
        f"        i, p = _item_{out}(v, p)",
        f"        {out}.append(i)",
        "    n, p = _long(v, p)",
        *([f"{out} = tuple({out})"] if get_origin(hint) is tuple else []),
    ]


def _read_lines(hint: Any, out: str, scope: dict[str, Any]) -> list[str] | None:
    """Statements that read one field at `p` into `out`, and leave `p` after it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        inner = _read_value(next(a for a in args if a is not type(None)), out, scope)
        if inner is None:
            return None
        return [
            "b = v[p]",
            "p += 1",
            "if b != 0 and b != 2: b, p = _branch(v, p - 1)",
            "if b:",
            *("    " + line for line in inner),
            "else:",
            f"    {out} = None",
        ]
    return _read_value(hint, out, scope)


_READ_SPAN = [
    # A length of one byte, the usual case, has neither the bit of a longer number nor that of a negative one. The
    # end may lie after that of the bytes: whoever reads on from there, or asks at last, finds out.
    "n = v[p]",
    "if n & 0x81: p, n = _span(v, p)",
    "else:",
    "    p += 1",
    "    n = p + (n >> 1)",
]


def _read_value(hint: Any, out: str, scope: dict[str, Any]) -> list[str] | None:
    if get_origin(hint) is Annotated:
        base, digits = get_args(hint)[:2]
        if not isinstance(digits, Digits):
            return _read_value(base, out, scope)
        scope[f"_unit{digits.scale}"] = Decimal(1).scaleb(-digits.scale)
        return [
            *_READ_SPAN,
            f"if n - p > {DECIMAL_BYTES_MAX}: raise _too_long(p, n)",
            f"{out} = _decimal(_int(v[p:n], 'big', signed=True)) * _unit{digits.scale}",
            "p = n",
        ]
    if hint is str:
        return [*_READ_SPAN, f"{out} = v[p:n].decode()", "p = n"]
    if hint is bool:
        return [f"{out} = v[p] != 0", "p += 1"]
    read_long = [
        f"{out} = v[p]",
        f"if {out} < 0x80:",
        "    p += 1",
        f"    {out} = ({out} >> 1) ^ -({out} & 1)",
        f"else: {out}, p = _long(v, p)",
    ]
    if hint is int:
        return read_long
    if hint is datetime:
        return [*read_long, f"{out} = _time({out})"]
    return _read_parts(hint, out, scope)


def _read_parts(hint: Any, out: str, scope: dict[str, Any]) -> list[str] | None:
    """A list, or a record within the record."""
    if get_origin(hint) in (tuple, list):
        return _list_lines(hint, out, scope)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        read = scope[f"_item_{out}"] = _compile_reader(hint, scope["_within"])
        return read and [f"{out}, p = _item_{out}(v, p)"]
    return None
