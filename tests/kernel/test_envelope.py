"""Headers are CloudEvents': read when they are whole, poison when they are not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.envelope import (
    HEADER_BYTES_MAX,
    ID_BYTES_MAX,
    REQUIRED,
    UNREADABLE_NAME,
    Headers,
    Meta,
    Record,
    _read_with_care,
    check_passed_on,
    command_headers,
    event_id,
    header_map,
    parse_time,
    read_meta,
    time_text,
)
from eventlog.errors import Poison

TIME = datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
HEADERS = command_headers("c1", "test", "Order", "s", TIME, causation="e0", extra=[("traceparent", b"00-x")])


def record(headers: Headers, key: bytes | None = b"s") -> Record:
    return Record("t", 0, 5, 0, key, b"value", headers)


def without(name: str) -> Headers:
    return [header for header in HEADERS if header[0] != name]


def changed(name: str, value: bytes) -> Headers:
    return [*without(name), (name, value)]


def poison(headers: Headers, key: bytes | None = b"s") -> str:
    with pytest.raises(Poison) as found:
        read_meta(record(headers, key))
    return found.value.code


def test_what_is_written_is_read() -> None:
    assert read_meta(record(HEADERS)) == Meta("c1", "Order", "s", TIME, 0, "test", "e0", "c1")
    assert dict(HEADERS)["traceparent"] == b"00-x"
    assert dict(HEADERS)["ce_specversion"] == b"1.0"


def test_a_correlation_that_is_given_is_kept() -> None:
    headers = command_headers("c1", "test", "Order", "s", TIME, correlation="r")
    assert read_meta(record(headers)).correlation == "r"
    assert "ce_causationid" not in dict(headers)


def test_the_version_is_the_sequence() -> None:
    assert read_meta(record([*HEADERS, ("ce_sequence", b"12")])).version == 12


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_or_empty_header_is_poison(name: str) -> None:
    assert poison(without(name)) == "missing_header"
    assert poison(changed(name, b"")) == "missing_header"


def test_a_missing_key_is_poison() -> None:
    assert poison(HEADERS, None) == "no_key"
    assert poison(HEADERS, b"") == "no_key"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_time", b"yesterday"),
        ("ce_time", b"2024-01-02T03:04:05"),
        ("ce_time", b"\xff"),
        ("ce_id", b"\xff"),
        ("ce_type", b"\xc3"),
        ("ce_sequence", b"x"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"1_0"),
        ("ce_sequence", b"9223372036854775808"),
        ("ce_sequence", b"1" * 5000),
        ("ce_id", b"x" * (ID_BYTES_MAX + 1)),
        ("ce_source", b"x" * (HEADER_BYTES_MAX + 1)),
        ("ce_correlationid", b"\xff"),
        ("x\udcff", b""),
        (UNREADABLE_NAME, b""),
    ],
)
def test_a_header_that_cannot_be_read_is_poison(name: str, value: bytes) -> None:
    assert poison(changed(name, value)) == "bad_header"


some = st.sampled_from([b"", b"a", b"\xff", b"7", b"x" * 1000, b"x" * HEADER_BYTES_MAX, b"x" * (HEADER_BYTES_MAX + 1)])
moments = st.sampled_from([b"2024-01-02T03:04:05Z", b"2024-01-02T03:04:05.000006+02:00", b"2024-01-02T03:04:05", b"?"])
NUMBERS = [b"", b"12", b"x", b"-1", b"1_0", b" 1", b"9223372036854775807", b"9223372036854775808", b"1" * 5000]
sequences = st.sampled_from(NUMBERS)
NAMES = [*REQUIRED, "ce_causationid", "ce_correlationid", "mine", "ce_id\0", "\udcff"]


@given(st.dictionaries(st.sampled_from(NAMES), some), moments, sequences,
       st.sampled_from([b"", None, b"s", b"\xff", b"k" * 4097]))  # fmt: skip
def test_the_short_way_through_the_headers_reads_what_the_careful_one_reads(
    given: dict[str, bytes], moment: bytes, sequence: bytes, key: bytes | None
) -> None:
    headers = {**dict(HEADERS), **given, "ce_time": moment, "ce_sequence": sequence}
    it = record(list(headers.items()), key)
    assert outcome(read_meta, it) == outcome(_read_with_care, it)


def outcome(read: Callable[[Record], Meta], record: Record) -> Meta | str:
    try:
        return read(record)
    except Poison as poison:
        return f"{poison.code}: {poison.reason}"


def test_a_header_without_a_value_is_poison_where_one_is_needed() -> None:
    assert poison([*without("ce_id"), ("ce_id", None)]) == "missing_header"  # type: ignore[list-item]
    assert read_meta(record([*HEADERS, ("ce_causationid", None)])).causation == ""  # type: ignore[list-item]


def test_a_name_ends_at_a_zero_byte_as_librdkafkas_do() -> None:
    assert header_map(record([*without("ce_id"), ("ce_id\0x", b"c1")]))["ce_id"] == b"c1"
    assert header_map(record([*HEADERS, ("ce_id\0x", b"last")]))["ce_id"] == b"last"
    assert header_map(record([*HEADERS, ("mine\0\udcff", b"1")]))["mine"] == b"1"


def test_the_last_header_of_a_name_counts() -> None:
    assert read_meta(record([*HEADERS, ("ce_id", b"last")])).id == "last"
    assert poison([*HEADERS, ("ce_id", None)]) == "missing_header"  # type: ignore[list-item]


@pytest.mark.parametrize("name", ["ce_id", "ce_correlationid", "ce_tenant", "traceparent"])
def test_what_facts_take_over_must_be_readable_there(name: str) -> None:
    check_passed_on(header_map(record(HEADERS)))
    for value in (b"\xff", b"x" * (HEADER_BYTES_MAX + 1)):
        with pytest.raises(Poison, match="bad_header"):
            check_passed_on(header_map(record(changed(name, value))))


def test_a_key_that_cannot_be_read_is_poison() -> None:
    assert poison(HEADERS, b"\xff") == "bad_header"
    assert poison(HEADERS, b"x" * (HEADER_BYTES_MAX + 1)) == "bad_header"


zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)


@given(times)
def test_a_time_is_the_same_moment_after_it_was_written(time: datetime) -> None:
    assert parse_time(time_text(time)) == time
    assert len(time_text(time)) == len("2024-01-02T03:04:05.000006Z")


def test_times_sort_as_their_text_does() -> None:
    assert time_text(TIME) < time_text(TIME + timedelta(microseconds=1)) < time_text(TIME + timedelta(days=300))


@pytest.mark.parametrize("text", ["2024-01-02", "2024-01-02T00:00:00", "", "now", "2024-13-01T00:00:00Z"])
def test_a_time_needs_its_zone(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


def test_an_events_id_is_its_place() -> None:
    assert event_id("a:b", 3) == "a:b:3"


def test_a_time_outside_of_what_utc_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="between the years"):
        parse_time("0001-01-01T00:00:00+05:00")


def test_a_key_that_no_header_could_repeat_is_poison() -> None:
    record = Record("t", 0, 0, 0, b"k" * 4097, b"", [])
    with pytest.raises(Poison, match="bad_header"):
        header_map(record)
