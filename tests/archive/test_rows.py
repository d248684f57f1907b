"""A record comes back from a file byte for byte, whatever is in it."""

from __future__ import annotations

import itertools
from unittest.mock import patch

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from eventlog.archive import rows
from eventlog.envelope import Record

BYTES = st.none() | st.binary(max_size=40)
NAMES = st.binary(max_size=12).map(lambda raw: raw.decode(errors="surrogateescape"))
HEADERS = st.lists(st.tuples(NAMES, BYTES), max_size=5)
"""Names of any bytes, the same name again, no value and an empty one."""
RECORDS = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(0, 2**60), BYTES, BYTES, HEADERS, st.integers(0, 1)), max_size=30
)


def records_of(drawn: list[tuple]) -> list[Record]:
    """Offsets with gaps, as transactions leave them."""
    offset, made = 0, []
    for gap, timestamp, key, value, headers, kind in drawn:
        offset += gap
        made.append(Record("t", 3, offset, timestamp, key, value, headers, kind))
    return made


@given(RECORDS)
def test_what_is_written_is_read(drawn: list[tuple]) -> None:
    records = records_of(drawn)
    data = rows.to_file(rows.to_table(records), "t", 3, 0, 10**6)
    assert list(rows.to_records(rows.from_file(data), "t", 3)) == records


@given(RECORDS, st.integers(1, 10))
def test_headers_of_a_part_are_its_own(drawn: list[tuple], cut: int) -> None:
    records = records_of(drawn)
    part = rows.to_table(records).slice(cut)
    assert list(rows.to_records(part, "t", 3)) == records[cut:]


@given(RECORDS, st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 7), st.integers(1, 7), st.booleans())
def test_a_range_is_read_by_groups(
    drawn: list[tuple], begin: int, length: int, group: int, at_once: int, indexed: bool
) -> None:
    records, end = records_of(drawn), begin + length
    with patch.object(rows, "ROW_GROUP_RECORDS", group):
        data = rows.to_file(rows.to_table(records), "t", 3, 0, 10**6)
    wanted = [record for record in records if begin <= record.offset < end]
    with patch.object(rows, "PYTHON_RECORDS", at_once):
        found = [
            list(rows.to_records(pa.Table.from_batches([batch]), "t", 3))
            for batch in rows.batches_from(data, begin, end, indexed=indexed)
        ]
    assert list(itertools.chain(*found)) == wanted
    assert all(0 < len(each) <= group for each in found)


def test_the_same_records_make_the_same_file() -> None:
    table = rows.to_table(records_of([(1, 5, b"k", b"v", [("n", b"1")], 0)]))
    assert rows.digest_of(rows.to_file(table, "t", 0, 0, 2)) == rows.digest_of(rows.to_file(table, "t", 0, 0, 2))
