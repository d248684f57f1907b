"""Encoders and decoders compiled per class: what fastavro writes and reads, at less than half its cost.

A record of strings, numbers, booleans, decimals and times (each of them optional or not) becomes one
Python function without a loop, a dict or a dispatch by type, the way dataclasses make their `__init__`. Records and
lists in it have such functions of their own. Other shapes are left to fastavro. The encodings are those of the Avro
specification, "Binary Encoding".
"""

from __future__ import annotations

from eventlog.compiled._decode import compile_decoder, long_at
from eventlog.compiled._encode import compile_encoder, varint

__all__ = ["compile_decoder", "compile_encoder", "long_at", "varint"]
