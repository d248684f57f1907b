"""Batches are read as the client reads them, and also where it cannot."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog.runtime import records as reading
from eventlog.runtime.fetch import install
from eventlog.runtime.records import Batches, lenient
from tests.runtime.batches import batch_of

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
contents = st.none() | st.binary(max_size=300)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.encode)
records = st.lists(
    st.tuples(contents, contents, st.lists(st.tuples(texts, contents), max_size=5)), min_size=1, max_size=20
)
anything = st.lists(
    st.tuples(contents, contents, st.lists(st.tuples(st.binary(max_size=20), contents), max_size=5)),
    min_size=1, max_size=20,
)  # fmt: skip


def fields(record):
    return (
        record.offset,
        record.timestamp,
        record.timestamp_type,
        record.key,
        record.value,
        [(name, value) for name, value in record.headers],
    )


def read(data: bytes):
    batches, found = Batches(data), []
    while batches.has_next():
        batch = batches.next_batch()
        assert batch.validate_crc()
        found += [fields(record) for record in batch]
    return found


def test_every_consumer_reads_its_batches_here() -> None:
    install()
    assert fetcher.MemoryRecords is Batches


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(records, st.integers(1, 30))
@settings(max_examples=50)
def test_what_the_client_can_read_is_the_same_in_both_ways(codec: int, made: list, at_once: int) -> None:
    data = batch_of(made, codec, base=77)
    client = [fields(record) for record in MemoryRecords(data).next_batch()]
    assert [fields(record) for record in lenient(memoryview(data))] == client
    with patch.object(reading, "PIECE_RECORDS", at_once):
        assert read(data) == client


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(anything, records, st.integers(1, 4))
@settings(max_examples=50)
def test_any_bytes_may_be_a_name(codec: int, made: list, after: list, at_once: int) -> None:
    data = batch_of(made, codec, base=5) + batch_of(after, codec, base=5 + len(made))
    with patch.object(reading, "PIECE_RECORDS", at_once):
        found = read(data)
    assert [record[0] for record in found] == list(range(5, 5 + len(made) + len(after)))
    for record, (key, value, headers) in zip(found, [*made, *after], strict=True):
        assert record[3:5] == (key, value)
        assert [(name.encode(errors="surrogateescape"), content) for name, content in record[5]] == headers


def test_a_batch_that_is_cut_is_none() -> None:
    whole = batch_of([(b"k", b"v", [(b"\xff", b"1")])])
    batches = Batches(whole + whole[:30])
    batches.next_batch()
    assert not batches.has_next()
