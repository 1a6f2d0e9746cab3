"""Identifiers and names."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.ids import is_name, new_id, slug

MOMENT = datetime(2026, 11, 23, 4, 15, 7, tzinfo=UTC)


def test_an_id_shows_its_moment_and_is_a_name() -> None:
    made = new_id(MOMENT)
    assert re.fullmatch(r"20261123_041507_[0-9a-hjkmnp-tv-z]{4}", made)
    assert is_name(made)


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_id(MOMENT + timedelta(seconds=number)) for number in range(200)]
    assert ids == sorted(ids)
    assert len({new_id(MOMENT)[-4:] for _ in range(50)}) > 45


@pytest.mark.parametrize("text", ["a", "0", "smollm2-135m", "q4_1", "a.b-c_d", "x" * 100])
def test_names(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", ".", "..", ".hidden", "-x", "_x", "A", "a/b", "a\\b", "a b", "a\n", "é", "模型", "a:b", "x" * 101]
)
def test_no_names(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SmolLM2 135M", "smollm2-135m"),
        ("  --Llama 3.1 (70B)!! ", "llama-3.1-70b"),
        ("../../etc/passwd", "etc-passwd"),
        ("模型", "unnamed"),
        ("", "unnamed"),
        ("Q4_1", "q4_1"),
    ],
)
def test_slug(text: str, name: str) -> None:
    assert slug(text) == name


def test_a_text_without_a_name_takes_the_one_that_is_offered() -> None:
    assert slug("***", "model") == "model"


@given(st.text())
def test_every_slug_is_a_name_and_its_own_slug(text: str) -> None:
    name = slug(text)
    assert is_name(name)
    assert slug(name) == name.strip("-._")
