"""Widths of text and foreign text made safe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.text import display_width, printable, shorten


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("abc", 3),
        ("量化", 4),
        ("ａｂ", 4),
        ("é", 1),
        ("e\N{COMBINING ACUTE ACCENT}", 1),
        ("ก็", 1),  # a Thai mark, whose combining class is 0
        ("❤\N{VARIATION SELECTOR-16}", 1),
        ("a\N{ZERO WIDTH JOINER}b", 2),
        ("😀", 2),
        ("…", 1),
    ],
)
def test_display_width(text: str, width: int) -> None:
    assert display_width(text) == width


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("量化对比", 8, "量化对比"),
        ("量化对比", 7, "量化对…"),
        ("量化对比", 6, "量化…"),
        ("ab", 1, "…"),
        ("", 0, ""),
    ],
)
def test_shorten(text: str, width: int, short: str) -> None:
    assert shorten(text, width) == short


@given(st.text(), st.integers(1, 30))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    short = shorten(text, width)
    assert display_width(short) <= width
    assert short == text or (short[-1] == "…" and text.startswith(short[:-1]))


@given(st.text(), st.integers(1, 300))
def test_printable_text_has_no_tricks(text: str, width: int) -> None:
    shown = printable(text, width)
    assert shown.isprintable()
    assert display_width(shown) <= width


def test_printable_replaces_what_a_terminal_would_obey() -> None:
    assert printable("a\x1b[31mb\r\n\t\u202e\x00é 量") == "a�[31mb�����é 量"
    assert len(printable("x" * 10_000)) == 200
