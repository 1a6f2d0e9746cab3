"""Quantities as people read and write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.units import (
    GIB,
    MIB,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
    parse_bytes,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (98_362_432, "93.8 MiB"),
        (10 * MIB - 1, "10.0 MiB"),
        (100 * MIB - 1, "100 MiB"),
        (512 * GIB, "512 GiB"),
        (2 * 1024**4, "2.00 TiB"),
        (-3 * MIB, "-3.00 MiB"),
    ],
)
def test_format_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1000000", 1_000_000),
        ("48G", 48 * GIB),
        ("48 gb", 48_000_000_000),
        (" 1.5 GiB ", 3 * GIB // 2),
        ("2k", 2048),
        ("7B", 7),
        ("1T", 1024**4),
    ],
)
def test_parse_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "G", "-1", "1e9", "1.5.2", "1 GiBs", "1 X", "0x10", "1,5G", "9" * 400, "1G\n2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        parse_bytes(text)
    assert str(caught.value) == text


@given(st.integers(0, 2**55))
def test_what_is_shown_can_be_typed(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.006, abs=1)  # three digits


@given(st.integers(0, 2**50))
def test_three_digits_are_shown(count: int) -> None:
    number, unit = format_bytes(count).split()
    digits = number.replace(".", "")
    assert len(digits) == 3 or unit == "B" or (1000 <= float(number) <= 1024 and len(digits) == 4)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        size = parse_bytes(text)
    except ValueError:
        return
    assert 0 <= size < 2**63


@pytest.mark.parametrize(
    ("count", "text"),
    [(134_515_008, "135M"), (1_000, "1.00K"), (999, "999"), (8.03e9, "8.03B"), (1.2e12, "1.20T"), (-2e6, "-2.00M")],
)
def test_format_count(count: float, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 ms"),
        (0.0123, "12.3 ms"),
        (1, "1.00 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.6, "1 h 00 min"),
        (7260, "2 h 01 min"),
    ],
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_format_rate() -> None:
    assert [format_rate(rate) for rate in (819e9, 25.6e9, 5.5e9)] == ["819 GB/s", "25.6 GB/s", "5.50 GB/s"]
