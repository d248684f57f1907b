"""From instances to bytes."""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from eventlog.message import Digits
from eventlog.schema import time_to_micros


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
    return _compile_encoder(cls, prefix, ())


Within = tuple[type[msgspec.Struct], ...]
"""The classes inside which one is compiled: one that holds itself is not."""


def _compile_encoder(cls: type[msgspec.Struct], prefix: bytes, within: Within) -> Callable[[Any], bytes] | None:
    if cls in within:
        return None
    hints = get_type_hints(cls, include_extras=True)
    body, parts = [], ["_prefix"]
    scope: dict[str, Any] = {**_GLOBALS, **_TENS, "_prefix": prefix, "_cls": cls, "_within": (*within, cls)}
    for number, field in enumerate(msgspec.structs.fields(cls)):
        lines = _field_lines(hints[field.name], f"m.{field.name}", number, scope)
        if lines is None:
            return None
        body += lines
        parts.append(f"b{number}")
    if within:
        body.insert(0, f"if type(m) is not _cls: raise _wrong(m, 'a {cls.__name__}')")
    source = "\n".join(
        ["def encode(m):", *("    " + line for line in body), f"    return b''.join(({', '.join(parts)},))"]
    )
    exec(compile(source, f"<encoder of {cls.__name__}>", "exec"), scope)  # noqa: S102 - made of field names alone
    encode: Callable[[Any], bytes] = scope["encode"]
    return encode


def _compile_item_encoder(hint: Any, scope: dict[str, Any]) -> Callable[[Any], bytes] | None:
    """A function for one item of a list."""
    lines = _field_lines(hint, "m", 0, scope)
    if lines is None:
        return None
    source = "\n".join(["def encode(m):", *("    " + line for line in lines), "    return b0"])
    own = dict(scope)
    exec(compile(source, "<encoder of an item>", "exec"), own)  # noqa: S102 - made of types alone
    encode: Callable[[Any], bytes] = own["encode"]
    return encode


def _field_lines(hint: Any, value: str, number: int, scope: dict[str, Any]) -> list[str] | None:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        inner = _value_lines(next(a for a in args if a is not type(None)), number, scope)
        if inner is None:
            return None
        present = ["    " + line for line in [*inner, f"b{number} = b'\\x02' + b{number}"]]
        return [f"v = {value}", "if v is None:", f"    b{number} = b'\\x00'", "else:", *present]
    lines = _value_lines(hint, number, scope)
    return lines and [f"v = {value}", *lines]


def _value_lines(hint: Any, number: int, scope: dict[str, Any]) -> list[str] | None:
    out = f"b{number}"
    if get_origin(hint) is Annotated:
        base, digits = get_args(hint)[:2]
        if not isinstance(digits, Digits):
            return _value_lines(base, number, scope)
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
    return _parts_lines(hint, number, scope)


def _parts_lines(hint: Any, number: int, scope: dict[str, Any]) -> list[str] | None:
    """A list, or a record within the record."""
    out = f"b{number}"
    if get_origin(hint) in (tuple, list):
        each = scope[f"_each{number}"] = _compile_item_encoder(get_args(hint)[0], scope)
        return each and [
            "if type(v) is not tuple and type(v) is not list: raise _wrong(v, 'a list')",
            f"{out} = _len(len(v)) + b''.join([_each{number}(i) for i in v]) + b'\\x00' if v else b'\\x00'",
        ]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        inner = scope[f"_each{number}"] = _compile_encoder(hint, b"", scope["_within"])
        return inner and [f"{out} = _each{number}(v)"]
    return None
