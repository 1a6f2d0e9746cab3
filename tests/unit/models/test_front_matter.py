"""A model card's front matter: what is needed of it, in bounded work."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.models.front_matter import MOST, Card, read_card

FULL = """---
language:
- en
- no
license: apache-2.0
base_model: Qwen/Qwen2.5-7B
tags: [gguf, "聊天", 1.0]
pipeline_tag: text-generation
model-index:
- name: x
  results: [{broken: [
widget:
  - text: "a: b"
---
# Title
license: mit
"""


def test_what_a_card_says() -> None:
    assert read_card(FULL) == Card(
        licence="apache-2.0",
        base_models=("Qwen/Qwen2.5-7B",),
        tags=("gguf", "聊天", "1.0"),
        languages=("en", "no"),
        pipeline="text-generation",
    )
    assert read_card(FULL.replace("\n", "\r\n")) == read_card(FULL)
    assert read_card("\ufeff" + FULL) == read_card(FULL)


def test_a_licence_of_its_own_and_several_parents() -> None:
    card = read_card("---\nlicense: other\nlicense_name: llama3.1\nbase_model:\n  - a/b\n  - c/d\n  - a/b\n---\n")
    assert (card.licence, card.base_models) == ("llama3.1", ("a/b", "c/d"))
    assert read_card("---\nlicense:\n- mit\n- gpl\n---\n").licence == "mit"


@pytest.mark.parametrize(
    "text",
    [
        "", "---", "---\n", "# A\nlicense: mit\n", "---\nlicense: mit\n", "---\nlicense: {a: b}\n---\n",
        "---\nlicense: &a mit\ntags: [*a]\n---\n", "---\nlicense: [\n---\n", "---\ntags: " + "[" * 20_000 + "\n---\n",
        "---\nlicense: '" + "x" * MOST + "'\n---\n", "---\n: :\n- license\n---\n", "---\nlicense: mit\nlicense: [x, *b]\n---\n",
        "---\n\tlicense: mit\n---\n", "---\ntags:\n" + "  - ? \n" * 5000 + "---\n",
    ],
)  # fmt: skip
def test_what_is_no_card_says_nothing(text: str) -> None:
    started = time.process_time()
    assert read_card(text).licence == ""
    assert time.process_time() - started < 1


def test_a_tag_of_python_is_a_text() -> None:
    assert read_card("---\nlicense: !!python/object/apply:os.system ['true']\n---\n").licence == "true"
    assert read_card("---\nlicense: !!python/name:os.system x\n---\n").licence == "x"


def test_a_bomb_of_aliases() -> None:
    lines = [
        "a: &a [x, x, x, x, x, x, x, x, x]",
        *(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    ]
    assert read_card("---\n" + "\n".join(lines) + "\ntags: *i\n---\n") == Card()


def test_foreign_text_is_made_printable() -> None:
    card = read_card('---\nlicense: "a\\e[31m\\u202e"\n---\n')
    assert card.licence.isprintable()


@pytest.mark.parametrize(
    "piece", ["- a\n", "  - [\n", "  a: b\n", "  ? a\n", "  - - - -\n", '  "\n', "  |\n", "  {a\n", "  ,\n"]
)
def test_a_full_block_is_read_in_time(piece: str) -> None:
    started = time.process_time()
    read_card("---\ntags:\n" + piece * (MOST // len(piece) - 10) + "---\n")
    assert time.process_time() - started < 2


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert isinstance(read_card("---\nlicense: " + text + "\n---\n"), Card)


def test_mutants_are_read() -> None:
    rng = random.Random(4)
    for _each in range(500):
        text = list(FULL)
        for _change in range(rng.randint(1, 6)):
            text[rng.randrange(len(text))] = rng.choice("-:[]{}&*!|>'\"%@`\n \t?,#a")
        assert isinstance(read_card("".join(text)), Card)
