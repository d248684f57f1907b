"""State on disk: the newest row of every key of a changelog partition, in RocksDB, and the position with it.

What is in there was committed in Kafka before, so it can be behind the changelog and never ahead of it: recovery reads
the changelog from the offset that was stored with the rows. Where that cannot be trusted, it is wiped and built again.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec
import structlog
from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch, WriteOptions

from eventlog.errors import StateUnusable

FORMAT = 1
"""Of the rows and their keys; another one is built anew."""
WRITE_BUFFER_BYTES = 16 << 20
WRITE_BUFFERS = 3
BLOCK_CACHE_BYTES = 32 << 20
LOG_FILES_MAX, LOG_BYTES_MAX = 2, 1 << 20
"""Of RocksDB's own log, which it keeps beside the data."""

_META = b"\xff"
"""Key of what is known of the rows. Theirs begin with a length, which is never as large."""
_UNTRUSTED = "untrusted"
"""File beside the database: reading it failed, so the next owner builds it anew."""

_open_stores: WeakValueDictionary[Path, RocksStore] = WeakValueDictionary()
_opening = threading.Lock()

log = structlog.get_logger()
Row = tuple[bytes | None, bytes | None]


class Meta(msgspec.Struct, frozen=True):
    """Whose rows they are and how far they go."""

    format: int
    role: str
    changelog: str
    topic_id: str
    """The cluster's own id of the changelog topic: another one after the topic was made anew."""
    partition: int
    reached: int = 0
    """Offset in the changelog after the last row that is in here."""
    position: int = 0
    """Offset in the role's input after the last batch that is in here."""


class RocksStore:
    """Rows of one changelog partition on disk; used by one task, from any thread.

    `slotted` rows have keys of a stream and two bytes, and a stream has several of them. Methods raise
    `StateUnusable` when the disk cannot be used, which says where and why; nothing is lost by that.
    """

    def __init__(self, folder: Path, meta: Meta, *, slotted: bool, cache_bytes: int) -> None:
        self.folder = folder
        self.cache_bytes = cache_bytes
        self._meta = meta
        self._slot_bytes = 2 if slotted else 0
        self._database: Rdict | None = None
        self._lock = threading.Lock()

    def open(self, first: int, end: int) -> tuple[int, int]:
        """Offset in the changelog to read from, and the position up to there.

        `first` and `end` are the offsets of the changelog's first record and after its last one. A store of this
        process that has the folder still, because its task was let go of while it recovered, is closed.
        """
        with _opening:
            before = _open_stores.get(self.folder)
            if before is not None and before is not self:
                before.close()
            _open_stores[self.folder] = self
        with self._lock:
            self._open()
            found = self._trusted(first, end)
            if found is None:
                self._wipe()
                self._open()
                self._write([], self._meta, wal=False)
                return first, 0
            self._meta = found
            return found.reached, found.position

    def read(self, key: bytes) -> Sequence[bytes]:
        """Changelog values of the stream, in order of their slots; empty for a stream that is not there."""
        with self._lock:
            database = self._opened()
            prefix = len(key).to_bytes(4, "big") + key
            try:
                if not self._slot_bytes:
                    value = database.get(prefix)
                    return () if value is None else (value,)
                values = []
                rows = database.iter()
                rows.seek(prefix)
                while rows.valid() and rows.key().startswith(prefix):
                    values.append(rows.value())
                    rows.next()
                rows.status()
            except Exception as error:  # noqa: BLE001 - RocksDB's errors have no type of their own
                raise self._unusable(error) from None
            return values

    def write(self, rows: Iterable[Row], position: int, reached: int, *, wal: bool = True) -> None:
        """Take rows that are committed in the changelog up to offset `reached`, and the position, in one write.

        Without `wal` a crash loses what came after the last `flush`, from its end on; for recovery, which reads on.
        """
        with self._lock:
            meta = msgspec.structs.replace(self._meta, position=position, reached=reached)
            self._write(rows, meta, wal=wal)
            self._meta = meta

    def flush(self) -> None:
        """Have on disk what was written without a log. Before anything is written with one: order is kept that way."""
        with self._lock:
            try:
                self._opened().flush()
            except Exception as error:  # noqa: BLE001 - RocksDB's errors have no type of their own
                raise self._unusable(error) from None

    def close(self) -> None:
        """Let another process have the folder; never raises."""
        with self._lock:
            database, self._database = self._database, None
            if database is not None:
                try:
                    database.close()
                except Exception as error:  # noqa: BLE001 - what it could not write is in the changelog
                    log.warning("state not closed in order", folder=str(self.folder), error=str(error))

    def _write(self, rows: Iterable[Row], meta: Meta, *, wal: bool) -> None:
        batch, slot_bytes = WriteBatch(raw_mode=True), self._slot_bytes
        for key, value in rows:
            if key is not None and value is not None:
                batch[(len(key) - slot_bytes).to_bytes(4, "big") + key] = value
        batch[_META] = msgspec.msgpack.encode(meta)
        options = WriteOptions()
        options.disable_wal = not wal  # type: ignore[method-assign, assignment]  # a property at run time
        try:
            self._opened().write(batch, options)
        except Exception as error:  # noqa: BLE001 - RocksDB's errors have no type of their own
            raise self._unusable(error) from None

    def _opened(self) -> Rdict:
        if self._database is None:
            raise StateUnusable(f"the state in {self.folder} is closed")
        return self._database

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if (self.folder / _UNTRUSTED).exists():
                self._wipe()
            self._database = Rdict(str(self.folder / "rocksdb"), _options())
        except OSError as error:
            raise StateUnusable(f"the state in {self.folder} cannot be used: {error}") from None
        except Exception as error:  # noqa: BLE001 - RocksDB's errors have no type of their own
            if _is_corrupt(error):
                log.warning("state on disk is broken and built anew", folder=str(self.folder), error=str(error))
                self._wipe()
                self._database = Rdict(str(self.folder / "rocksdb"), _options())
                return
            raise self._unusable(error) from None

    def _trusted(self, first: int, end: int) -> Meta | None:
        """What is known of the rows; None where they are another's, or the changelog is not what they came from."""
        try:
            raw = self._opened().get(_META)
            if raw is None:
                return None
            found = msgspec.msgpack.decode(raw, type=Meta)
        except Exception as error:  # noqa: BLE001 - RocksDB's errors have no type of their own
            if not isinstance(error, msgspec.DecodeError) and not _is_corrupt(error):
                raise self._unusable(error) from None
            why = f"cannot be read: {error}"
        else:
            own = msgspec.structs.replace(self._meta, reached=found.reached, position=found.position)
            if found != own:
                why = f"is of another log: {found}"
            elif found.reached > end:
                why = f"goes to {found.reached}, but the changelog ends at {end}"
            elif found.reached < first:
                why = f"goes to {found.reached}, but the changelog begins at {first}"
            else:
                return found
        log.warning("state on disk is not to be trusted and built anew", folder=str(self.folder), reason=why)
        return None

    def _wipe(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
        try:
            shutil.rmtree(self.folder / "rocksdb", ignore_errors=False)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StateUnusable(f"the state in {self.folder} cannot be removed: {error}") from None
        (self.folder / _UNTRUSTED).unlink(missing_ok=True)

    def _unusable(self, error: Exception) -> StateUnusable:
        text = str(error)
        if "lock" in text.lower() and "LOCK" in text:
            return StateUnusable(
                f"the state in {self.folder} is open in another process; give each worker a name of its own "
                "(ONEFACT_WORKER_NAME)"
            )
        if _is_corrupt(error):
            (self.folder / _UNTRUSTED).touch()
            return StateUnusable(f"the state in {self.folder} is broken and will be built anew: {text}")
        return StateUnusable(f"the state in {self.folder} cannot be used: {text}")


def _is_corrupt(error: Exception) -> bool:
    return str(error).startswith(("Corruption", "Invalid argument", "Not implemented"))


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(WRITE_BUFFERS)
    options.set_max_total_wal_size(4 * WRITE_BUFFER_BYTES)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_open_files(256)
    options.set_keep_log_file_num(LOG_FILES_MAX)
    options.set_max_log_file_size(LOG_BYTES_MAX)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    table.set_cache_index_and_filter_blocks(True)  # within the cache's bound
    table.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(table)
    return options
