"""Proves that a read model equals a fold of the log, also while it is live and moves on."""

from __future__ import annotations

import hashlib
import heapq
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, Protocol

from eventlog.digest import canonical, digest
from eventlog.errors import OnefactError
from eventlog.models import Feed, Key, Model, Row
from eventlog.sink import Progress, Store
from projections.folding import Keep, Touched
from projections.keys import row_key

SAMPLE_MAX = 10
"""Differing rows that are shown."""
LOOKED_MAX = 20_000
"""Rows that differed in a scan and are looked at again; where more differ, the others count as they were seen."""
KEYS_MAX = 500_000
"""Rows whose digests are held at a time, of either version: some 600 bytes for both. Of more, part after part."""
CHUNK_KEYS = 256
STILL_ATTEMPTS = 3
STILL_S_MAX = 0.5
"""A scan that took longer is not tried again: the live version will not stand still so long the next time either."""
EXPIRY_LOOKS = 3
"""At a row of a feed: an entry may expire between a look at the one version and a look at the other."""

Kind = Literal["changed", "missing", "extra"]


class Folded(Protocol):
    """A fold that can be brought to a position, and shows its rows as a store does."""

    model: Model

    def fold(self, target: Progress, *, touched: Touched | None = None) -> None:
        """Bring it to exactly the target, noting the rows that facts changed."""

    def rows(self) -> Iterator[Row]:
        """Every row."""

    def row(self, key: Key) -> Row | None:
        """One row."""


@dataclass(frozen=True)
class Difference:
    """A row that is not the same: `live` as readers see it, `folded` as the log says; None where there is none."""

    key: Key
    live: Row | None
    folded: Row | None

    @property
    def kind(self) -> Kind:
        """`missing` from the live model, `extra` (no fact made it), or `changed`."""
        return "missing" if self.live is None else "extra" if self.folded is None else "changed"

    @property
    def columns(self) -> list[str]:
        """Names of the columns that differ, of a row that both have."""
        if self.live is None or self.folded is None:
            return []
        return [name for name, value in self.live.items() if value != self.folded.get(name)]


@dataclass
class Comparison:
    """What was found: how many rows differ, of which kind, and some of them."""

    rows: int = 0
    """Of the fold."""
    digest_live: str = ""
    digest_rebuilt: str = ""
    counts: Counter[Kind] = field(default_factory=Counter)
    sample: list[Difference] = field(default_factory=list)
    """The first ten by their keys' text."""

    @property
    def differing(self) -> int:
        return self.counts.total()

    @property
    def named(self) -> list[Key]:
        return [difference.key for difference in self.sample]

    @property
    def identical(self) -> bool:
        return self.differing == 0

    def note(self, found: list[Difference]) -> None:
        """Count differences, and keep the first ones."""
        self.counts.update(difference.kind for difference in found)
        self._show(found)

    def merge(self, other: Comparison) -> None:
        """Add what was found of other rows."""
        self.rows += other.rows
        self.digest_live = _added(self.digest_live, other.digest_live)
        self.digest_rebuilt = _added(self.digest_rebuilt, other.digest_rebuilt)
        self.counts += other.counts
        self._show(other.sample)

    def _show(self, found: list[Difference]) -> None:
        self.sample = heapq.nsmallest(SAMPLE_MAX, [*self.sample, *found], key=lambda each: str(each.key))


def part_of_keys(number: int, parts: int) -> Keep:
    """Whether a key belongs to this part of all keys."""
    return lambda key: zlib.crc32(canonical({"key": list(key)})) % parts == number


class Moving(Exception):
    """The live version moved during the comparison, more often than was tried."""


def progress_of(store: Store, model: Model, version: int) -> Progress:
    """Progress without the partitions at 0."""
    return {place: n for place, n in store.progress(model, version).items() if n}


class Comparer:
    """Compares a fold with the live version, bringing it to the live one's position as it goes.

    `keep` says which rows count; the fold has no others.
    """

    def __init__(self, store: Store, live: int, folded: Folded, keep: Keep | None = None) -> None:
        self._store = store
        self._model = folded.model
        self._live = live
        self._folded = folded
        self._keep = keep
        model = self._model
        self._looks = EXPIRY_LOOKS if isinstance(model, Feed) and model.expires else 1

    def catch_up(self, touched: Touched | None = None) -> Progress:
        """Fold up to where the live version is, and say where that is."""
        vector = progress_of(self._store, self._model, self._live)
        # Rows of a version go after its progress: those that were looked at before were there.
        if not vector and self._live not in self._store.versions(self._model):
            raise OnefactError(
                f"version {self._live} of {self._model.name}, which was live, was removed meanwhile by replays that "
                "put others in its place; nothing is known of it. Try again"
            )
        self._folded.fold(vector, touched=touched)
        return vector

    def compare(self) -> Comparison:
        """Digests of both at the same vector; where live does not stand still so long, row by row."""
        there = rows = 0
        for _ in range(STILL_ATTEMPTS):
            vector = self.catch_up()
            started = time.monotonic()
            there, live = digest(self._scan())
            if self._stands(vector):
                rows, folded = digest(self._folded.rows())
                if live == folded:
                    return Comparison(rows, live, folded)
                break  # find out where, which takes the rows themselves
            if time.monotonic() - started > STILL_S_MAX:
                break
        if self._keep is not None or max(there, rows) <= KEYS_MAX:
            return self._compare_rows(self._keep)
        found, parts = Comparison(), 1 + max(there, rows) // KEYS_MAX
        for number in range(parts):
            found.merge(self._compare_rows(part_of_keys(number, parts)))
        return found

    def _scan(self) -> Iterator[Row]:
        rows, keep = self._store.scan(self._model, self._live), self._keep
        return rows if keep is None else (row for row in rows if keep(row_key(self._model, row)))

    def _stands(self, vector: Progress) -> bool:
        return progress_of(self._store, self._model, self._live) == vector

    def _compare_rows(self, keep: Keep | None) -> Comparison:
        """Every row was equal at some moment of a known position; from there on both are the same fold.

        A row that a fact changed while it was read proves nothing, and is read again. One that was only made
        meanwhile is never changed again: it is equal as it was read, or was not there yet in either version.
        """
        vector = self.catch_up()
        live = self._hashes(self._store.scan(self._model, self._live), keep)
        touched = Touched()
        self.catch_up(touched)
        folded = self._hashes(self._folded.rows(), keep)
        if keep is not None:
            touched.keep(keep)
        made_later = touched.appended - live.keys()
        differ = {key for key in live.keys() | folded.keys() if live.get(key) != folded.get(key)} - made_later
        moved = touched.changed | made_later
        found = Comparison(len(folded), _sum(live), _sum(folded))
        if moved or not self._stands(vector):
            # The sums of what stood still, which is all that a sum can be of.
            found.digest_live = _sum({k: h for k, h in live.items() if k not in moved})
            found.digest_rebuilt = _sum({k: h for k, h in folded.items() if k not in moved})
        # A scan of a store that is written to may miss rows that only moved: what differs is looked at once more.
        first = set(heapq.nsmallest(LOOKED_MAX, differ, key=str))
        self._look(first | touched.changed, found)
        for key in differ - first - touched.changed:
            found.counts["missing" if key not in live else "extra" if key not in folded else "changed"] += 1
        return found

    def _hashes(self, rows: Iterator[Row], keep: Keep | None) -> dict[Key, bytes]:
        keyed = ((row_key(self._model, row), row) for row in rows)
        return {key: hashlib.sha256(canonical(row)).digest() for key, row in keyed if keep is None or keep(key)}

    def _look(self, keys: set[Key], found: Comparison) -> None:
        """Note those of the keys whose rows differ when both versions are at the same position."""
        left, looks = set(keys), Counter[Key]()
        size, fruitless = CHUNK_KEYS, 0
        while left:
            chunk = set(islice(left, size))
            self.catch_up()
            live = {key: self._store.get(self._model, key, self._live) for key in chunk}
            touched = Touched()
            self.catch_up(touched)
            proven = chunk - touched.changed - touched.appended
            pairs = [Difference(key, live[key], self._folded.row(key)) for key in proven]
            differing = [pair for pair in pairs if _canonical(pair.live) != _canonical(pair.folded)]
            looks.update(pair.key for pair in differing)
            certain = [pair for pair in differing if looks[pair.key] >= self._looks]
            found.note(certain)
            left -= proven - {pair.key for pair in differing} | {pair.key for pair in certain}
            if proven:
                fruitless = 0
                continue
            size, fruitless = max(1, size // 2), fruitless + 1
            if fruitless > 100:
                raise Moving


def _canonical(row: Row | None) -> bytes | None:
    return None if row is None else canonical(row)


def _sum(hashes: dict[Key, bytes]) -> str:
    """The digest that `eventlog.digest` makes of the same rows."""
    return f"{sum(int.from_bytes(h, 'big') for h in hashes.values()) % (1 << 256):064x}"


def _added(one: str, other: str) -> str:
    """The digest of two sets of rows together."""
    return f"{(int(one or '0', 16) + int(other or '0', 16)) % (1 << 256):064x}"
