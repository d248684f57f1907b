"""Proves that two versions of a read model are equal, also while one of them is live and moves on."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from itertools import islice

from eventlog.digest import canonical, digest
from eventlog.models import Key, Model, Row
from eventlog.sink import Progress, Store
from projections.keys import row_key
from projections.rebuild import Rebuild, Touched

NAMED_MAX = 10
"""Differing keys that are named."""
CHUNK_KEYS = 256
STILL_ATTEMPTS = 3
STILL_S_MAX = 0.5
"""A scan that took longer is not tried again: the live version will not stand still so long the next time either."""


@dataclass
class Comparison:
    """What was found. `differing` counts the keys whose rows differ, `named` lists some of them."""

    rows: int = 0
    digest_live: str = ""
    digest_rebuilt: str = ""
    differing: int = 0
    named: list[Key] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        return self.differing == 0


class Moving(Exception):
    """The live version moved during the comparison, more often than was tried."""


def progress_of(store: Store, model: Model, version: int) -> Progress:
    """Progress without the partitions at 0."""
    return {place: n for place, n in store.progress(model, version).items() if n}


class Comparer:
    """Compares a rebuild with the live version, bringing it to the live one's position as it goes."""

    def __init__(self, store: Store, live: int, rebuild: Rebuild) -> None:
        self._store = store
        self._model = rebuild.model
        self._live = live
        self._rebuild = rebuild

    def catch_up(self, touched: Touched | None = None) -> Progress:
        """Fold the rebuild up to where the live version is, and say where that is."""
        vector = progress_of(self._store, self._model, self._live)
        self._rebuild.fold(vector, touched=touched)
        return vector

    def compare(self) -> Comparison:
        """Digests of both at the same vector; where live does not stand still so long, row by row."""
        for _ in range(STILL_ATTEMPTS):
            vector = self.catch_up()
            started = time.monotonic()
            _, live = digest(self._store.scan(self._model, self._live))
            if progress_of(self._store, self._model, self._live) == vector:
                rows, rebuilt = digest(self._store.scan(self._model, self._rebuild.version))
                if live == rebuilt:
                    return Comparison(rows, live, rebuilt)
                break  # find out where, which takes the rows themselves
            if time.monotonic() - started > STILL_S_MAX:
                break
        return self._compare_rows()

    def _compare_rows(self) -> Comparison:
        """Every row was equal at some moment of a known position; from there on both are the same fold.

        A row that a fact changed while it was read proves nothing, and is read again. One that was only made
        meanwhile is never changed again: it is equal as it was read, or was not there yet in either version.
        """
        vector = self.catch_up()
        live = self._hashes(self._live)
        touched = Touched()
        self.catch_up(touched)
        rebuilt = self._hashes(self._rebuild.version)
        made_later = touched.appended - live.keys()
        differ = {key for key in live.keys() | rebuilt.keys() if live.get(key) != rebuilt.get(key)} - made_later
        moved = touched.changed | made_later
        still = not moved and progress_of(self._store, self._model, self._live) == vector
        found = Comparison(len(rebuilt), _sum(live), _sum(rebuilt))
        if not still:
            # The sums of what stood still, which is all that a sum can be of.
            found.digest_live = _sum({k: h for k, h in live.items() if k not in moved})
            found.digest_rebuilt = _sum({k: h for k, h in rebuilt.items() if k not in moved})
        # A scan of a store that is written to may miss rows that only moved: what differs is looked at once more.
        certain = self._differing(differ | touched.changed)
        found.differing = len(certain)
        found.named = sorted(certain, key=str)[:NAMED_MAX]
        return found

    def _hashes(self, version: int) -> dict[Key, bytes]:
        rows = self._store.scan(self._model, version)
        return {row_key(self._model, row): hashlib.sha256(canonical(row)).digest() for row in rows}

    def _differing(self, keys: set[Key]) -> set[Key]:
        """Those of the keys whose rows differ when both versions are at the same position."""
        left, differing = set(keys), set[Key]()
        size, fruitless = CHUNK_KEYS, 0
        while left:
            chunk = set(islice(left, size))
            self.catch_up()
            live = {key: self._get(key, self._live) for key in chunk}
            touched = Touched()
            self.catch_up(touched)
            proven = chunk - touched.changed - touched.appended
            differing |= {key for key in proven if live[key] != self._get(key, self._rebuild.version)}
            left -= proven
            if proven:
                fruitless = 0
                continue
            size, fruitless = max(1, size // 2), fruitless + 1
            if fruitless > 100:
                raise Moving
        return differing

    def _get(self, key: Key, version: int) -> bytes | None:
        row: Row | None = self._store.get(self._model, key, version)
        return None if row is None else canonical(row)


def _sum(hashes: dict[Key, bytes]) -> str:
    """The digest that `eventlog.digest` makes of the same rows."""
    return f"{sum(int.from_bytes(h, 'big') for h in hashes.values()) % (1 << 256):064x}"
