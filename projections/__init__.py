"""Read models: how facts are folded into them, where they are kept, how they are read and rebuilt."""

from projections.reader import AsyncReader, Reader

__all__ = ["AsyncReader", "Reader"]
