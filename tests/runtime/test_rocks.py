"""What is on disk is trusted only where the log explains it, and a disk that cannot be used says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from rocksdict import Options, Rdict

from eventlog.errors import BadInput, StateUnusable
from eventlog.runtime.rocks import FORMAT, Meta, RocksStore
from eventlog.state import chosen

META = Meta(FORMAT, "counting.decider", "counting.decider.changelog", "id-1", 0)


def new_store(folder: Path, meta: Meta = META, *, slotted: bool = True, cache_bytes: int = 1 << 20) -> RocksStore:
    return RocksStore(folder, meta, slotted=slotted, cache_bytes=cache_bytes)


ROW = [(b"key\x00\x01", b"value")]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    store = new_store(tmp_path)
    store.open(0, 0)
    store.write(ROW, 7, 10)
    store.close()
    return tmp_path


def opened(folder: Path, meta: Meta = META, first: int = 0, end: int = 20) -> tuple[int, int, list[bytes]]:
    store = new_store(folder, meta)
    begin, position = store.open(first, end)
    rows = list(store.read(b"key"))
    store.close()
    return begin, position, rows


KEPT = (10, 7, [b"value"])


def test_rows_and_position_are_there_again(filled: Path) -> None:
    assert opened(filled) == KEPT
    assert opened(filled, first=10, end=10) == KEPT


@pytest.mark.parametrize(
    "other",
    [
        {"topic_id": "id-2"}, {"partition": 1}, {"role": "other"}, {"changelog": "other"}, {"format": FORMAT + 1},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_rows_of_another_log_are_wiped(filled: Path, other: dict[str, Any]) -> None:
    assert opened(filled, msgspec.structs.replace(META, **other)) == (0, 0, [])


@pytest.mark.parametrize("first, end", [(0, 9), (11, 20)], ids=["log ends before", "log begins after"])
def test_rows_that_the_log_does_not_explain_are_wiped(filled: Path, first: int, end: int) -> None:
    assert opened(filled, first=first, end=end) == (first, 0, [])


def test_a_folder_that_is_no_database_is_wiped(filled: Path) -> None:
    (current,) = filled.glob("rocksdb/CURRENT")
    current.write_bytes(b"nonsense")
    assert opened(filled) == (0, 0, [])


def test_rows_without_what_is_known_of_them_are_wiped(filled: Path) -> None:
    database = Rdict(str(filled / "rocksdb"), Options(raw_mode=True))
    del database[b"\xff"]
    database.close()
    assert opened(filled) == (0, 0, [])


def test_a_broken_table_is_found_when_it_is_read_and_built_anew(filled: Path) -> None:
    draw = Random(1)
    store = new_store(filled)
    store.open(0, 20)
    store.write([(b"%05d\x00\x01" % n, draw.randbytes(200)) for n in range(5000)], 8, 12)
    store.flush()
    store.close()
    table = max(filled.glob("rocksdb/*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    data[100_000:200_000] = bytes(100_000)
    table.write_bytes(data)
    store = new_store(filled)
    assert store.open(0, 20) == (12, 8)
    with pytest.raises(StateUnusable, match="built anew"):
        list(map(store.read, (b"%05d" % n for n in range(5000))))
    store.close()
    assert opened(filled) == (0, 0, [])


def test_a_crash_while_it_is_built_leaves_a_beginning_of_it(tmp_path: Path) -> None:
    """Rows of a rebuild go without a log of their own: what is there after a kill is whole up to where it says."""
    program = f"""
import os, signal
from pathlib import Path
from tests.runtime.test_rocks import META, new_store
store = new_store(Path({str(tmp_path)!r}))
store.open(0, 10**9)
for n in range(60):
    rows = [(b"%09d\\x00\\x01" % (n * 1000 + i), os.urandom(1000)) for i in range(1000)]
    store.write(rows, n, (n + 1) * 1000, wal=False)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    store = new_store(tmp_path)
    reached, _ = store.open(0, 10**9)
    assert 0 < reached <= 60_000, "60 MB should have filled buffers of 16 MB"
    missing = [n for n in range(0, reached, 97) if not store.read(b"%09d" % n)]
    assert not missing
    store.close()


def test_two_processes_on_one_folder_are_told(filled: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from tests.runtime.test_rocks import new_store
store = new_store(Path({str(filled)!r}))
store.open(0, 20)
print("open", flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout
    assert other.stdin
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(StateUnusable, match=r"open in another process.*ONEFACT_WORKER_NAME"):
        new_store(filled).open(0, 20)
    other.stdin.close()
    assert other.wait(30) == 0
    other.stdout.close()
    assert opened(filled) == KEPT


def test_a_task_that_was_let_go_of_while_it_recovered_does_not_keep_the_folder(filled: Path) -> None:
    left = new_store(filled)
    left.open(0, 20)
    assert opened(filled) == KEPT
    with pytest.raises(StateUnusable, match="closed"):
        left.write(ROW, 8, 11)


def test_a_full_disk_is_said_and_loses_nothing(filled: Path, tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from eventlog.errors import StateUnusable
from tests.runtime.test_rocks import ROW, new_store
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = new_store(Path({str(filled)!r}))
store.open(0, 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    store.write([(b"big\\x00\\x01", bytes(100_000))], 8, 12)
except StateUnusable as error:
    print(error)
store.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store = new_store(Path({str(filled)!r}))
print(store.open(0, 20), store.read(b"key"), store.read(b"big"))
store.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    said, *_, after = done.stdout.splitlines()
    assert str(filled) in said
    assert "cannot be used" in said
    assert after == "(10, 7) [b'value'] []"


@pytest.mark.parametrize(
    "override, kind",
    [
        ("", "rocksdb"), ("memory", "memory"), ("a=memory", "memory"), ("b=memory", "rocksdb"),
        ("memory, a=rocksdb", "rocksdb"),
    ],
)  # fmt: skip
def test_a_setting_goes_over_what_is_declared(override: str, kind: str) -> None:
    assert chosen("a", "rocksdb", override) == kind


@pytest.mark.parametrize("override", ["disk", "a=", "=memory", "a=b=memory2"])
def test_a_setting_that_means_nothing_is_refused(override: str) -> None:
    with pytest.raises(BadInput, match="ONEFACT_STATE_STORE"):
        chosen("a", "memory", override)
