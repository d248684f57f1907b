"""Encoders and decoders compiled per class: what fastavro writes and reads, at less than half its cost.

A record of strings, numbers, booleans, decimals and times (each of them optional or not) becomes one
Python function without a loop, a dict or a dispatch by type, the way dataclasses make their `__init__`.
Other shapes are left to fastavro. The encodings are those of the Avro specification, "Binary Encoding".
"""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from eventlog.message import Digits
from eventlog.schema import DECIMAL_BYTES_MAX, micros_to_time, time_to_micros


def varint(number: int) -> bytes:
    """Avro's `long`: zigzag, then seven bits a byte, lowest first. Raises `ValueError` beyond 64 bits."""
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"{number} does not fit in 64 bits")
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SMALL = tuple(varint(number) for number in range(1024))


def _length(number: int) -> bytes:
    return _SMALL[number] if number < 1024 else varint(number)


def _inexact(number: Any, scale: int) -> ValueError:
    return ValueError(f"{number} has more than {scale} places; round it with eventlog.decimals.places")


def _wrong(value: Any, expected: str) -> TypeError:
    return TypeError(f"{value!r:.80} is {type(value).__name__}, not {expected}")


_TENS = {f"_ten_{scale}": Decimal(10) ** scale for scale in range(100)}
_GLOBALS = {
    "_len": _length, "_varint": varint, "_micros": time_to_micros, "_inexact": _inexact, "_wrong": _wrong,
    "_SMALL": _SMALL,
}  # fmt: skip


def compile_encoder(cls: type[msgspec.Struct], prefix: bytes) -> Callable[[Any], bytes] | None:
    """A function from an instance to `prefix` + its Avro record; None where a field has another shape."""
    hints = get_type_hints(cls, include_extras=True)
    body, parts = [], ["_prefix"]
    for number, field in enumerate(msgspec.structs.fields(cls)):
        lines = _field_lines(hints[field.name], f"m.{field.name}", number)
        if lines is None:
            return None
        body += lines
        parts.append(f"b{number}")
    source = "\n".join(
        ["def encode(m):", *("    " + line for line in body), f"    return b''.join(({', '.join(parts)},))"]
    )
    scope: dict[str, Any] = {**_GLOBALS, **_TENS, "_prefix": prefix}
    exec(compile(source, f"<encoder of {cls.__name__}>", "exec"), scope)  # noqa: S102 - made of field names alone
    encode: Callable[[Any], bytes] = scope["encode"]
    return encode


def _field_lines(hint: Any, value: str, number: int) -> list[str] | None:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        inner = _value_lines(next(a for a in args if a is not type(None)), number)
        if inner is None:
            return None
        present = ["    " + line for line in [*inner, f"b{number} = b'\\x02' + b{number}"]]
        return [f"v = {value}", "if v is None:", f"    b{number} = b'\\x00'", "else:", *present]
    lines = _value_lines(hint, number)
    return lines and [f"v = {value}", *lines]


def _value_lines(hint: Any, number: int) -> list[str] | None:
    out = f"b{number}"
    if get_origin(hint) is Annotated:
        base, digits = get_args(hint)[:2]
        if not isinstance(digits, Digits):
            return _value_lines(base, number)
        return [
            f"s = v * _ten_{digits.scale}",
            "i = int(s)",
            f"if i != s: raise _inexact(v, {digits.scale})",
            "n = (i.bit_length() >> 3) + 1",
            f"{out} = _len(n) + i.to_bytes(n, 'big', signed=True)",
        ]
    if hint is str:
        return [
            "if type(v) is not str: raise _wrong(v, 'text')",
            "v = v.encode()",
            "n = len(v)",
            f"{out} = (_SMALL[n] if n < 1024 else _varint(n)) + v",
        ]
    if hint is bool:
        return ["if type(v) is not bool: raise _wrong(v, 'a boolean')", f"{out} = b'\\x01' if v else b'\\x00'"]
    if hint is int:
        return ["if type(v) is not int: raise _wrong(v, 'a whole number')", f"{out} = _varint(v)"]
    if hint is datetime:
        return [f"{out} = _varint(_micros(v))"]
    return None


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


def compile_decoder(
    cls: type[msgspec.Struct], begin: int, broken: Callable[[Exception], Exception]
) -> Callable[[bytes], Any] | None:
    """A function from bytes, whose record starts at `begin`, to an instance; None where a field has another shape.

    Where the bytes are no such record it raises what `broken` makes of the error.
    """
    hints = get_type_hints(cls, include_extras=True)
    names, body = [], []
    scope: dict[str, Any] = {
        "_cls": cls, "_long": long_at, "_span": _span, "_branch": _branch, "_time": micros_to_time,
        "_decimal": Decimal, "_int": int.from_bytes, "_too_long": _too_long,
        "_broken": broken,
    }  # fmt: skip
    for number, field in enumerate(msgspec.structs.fields(cls)):
        lines = _read_lines(hints[field.name], f"f{number}", scope)
        if lines is None:
            return None
        body += lines
        names.append(f"{field.name}=f{number}")
    source = "\n".join(
        [
            "def decode(v):",
            "    try:",
            f"        p = {begin}",
            *("        " + line for line in body),
            "        if p != len(v): raise ValueError(f'{len(v) - p} bytes follow' if p < len(v) else 'cut off')",
            f"        return _cls({', '.join(names)})",
            "    except Exception as error: raise _broken(error) from None",
        ]
    )
    exec(compile(source, f"<decoder of {cls.__name__}>", "exec"), scope)  # noqa: S102 - made of field names alone
    decode: Callable[[bytes], Any] = scope["decode"]
    return decode


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
    return None
