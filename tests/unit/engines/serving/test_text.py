"""Tokens become text: nothing is lost, nothing is shown too early, however the pieces fall."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.engines.serving.text import Detokenizer, Part, Splitter, Stops, opens_thinking

THINKING = ("<think>", "</think>")
CALLING = ("<call>", "</call>")


def _bytes(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode(errors="replace")


def _words(tokens: Sequence[int]) -> str:
    """Like SentencePiece: each token is a word with a blank before it, but for the first of a text."""
    return " ".join(f"w{token}" for token in tokens)


@settings(deadline=None)
@given(st.text(), st.binary())
def test_bytes_come_out_as_the_text_they_are(text: str, prompt: bytes) -> None:
    machine = Detokenizer(_bytes, [*prompt, 10])
    pieces = [machine.feed(token) for token in text.encode()]
    assert "".join(pieces) + machine.finish() == text


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\ufffd"), min_size=1))
def test_a_character_is_held_back_until_it_is_whole(text: str) -> None:
    machine = Detokenizer(_bytes)
    shown = ""
    for end, token in enumerate(text.encode(), 1):
        shown += machine.feed(token)
        assert shown == text.encode()[:end].decode(errors="ignore")


def test_tokens_that_always_end_inside_a_character_lose_none() -> None:
    content = ("你好吗" * 30).encode()
    cuts = [content[:1], *(content[at : at + 3] for at in range(1, len(content), 3))]
    machine = Detokenizer(lambda tokens: b"".join(cuts[token] for token in tokens).decode(errors="replace"))
    assert "".join(machine.feed(token) for token in range(len(cuts))) + machine.finish() == content.decode()


def test_bytes_that_are_no_text_are_shown_in_the_end() -> None:
    machine = Detokenizer(_bytes)
    assert [machine.feed(token) for token in b"a\xff\xe4"] == ["a", "", ""]
    assert machine.finish() == "\ufffd\ufffd"
    assert machine.finish() == ""


def test_bytes_that_are_no_text_are_not_held_back_for_ever() -> None:
    machine = Detokenizer(_bytes)
    assert "".join(machine.feed(0xFF) for _number in range(100)).count("\ufffd") >= 80


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1), st.lists(st.integers(0, 99), min_size=1, max_size=60))
def test_a_word_is_written_as_it_follows_the_prompt(prompt: list[int], tokens: list[int]) -> None:
    machine = Detokenizer(_words, prompt)
    text = "".join(machine.feed(token) for token in tokens) + machine.finish()
    assert _words(prompt) + text == _words(prompt + tokens)


@settings(deadline=None)
@given(st.text("ab\n", max_size=40), st.lists(st.text("ab\n", max_size=4), max_size=3), st.data())
def test_text_ends_before_the_first_stop_text(text: str, stops: list[str], data: st.DataObject) -> None:
    machine = Stops(stops)
    shown, rest = "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += machine.feed(rest[:size])
        rest = rest[size:]
        if machine.hit:
            break
    shown += machine.finish()
    if machine.hit:
        assert machine.hit in stops
        assert text.startswith(shown + machine.hit)
        assert not any(stop and stop in shown for stop in stops)
    else:
        assert shown == text
        assert not any(stop and stop in text for stop in stops)


def test_only_what_may_be_a_stop_text_is_held_back() -> None:
    machine = Stops(["END", "\n\n"])
    assert [machine.feed(piece) for piece in ("a", "E", "N", "x", "\n", "b", "E", "ND", "more")] == [
        "a",
        "",
        "",
        "ENx",
        "",
        "\nb",
        "",
        "",
        "",
    ]
    assert machine.hit == "END"


def _split(machine: Splitter, pieces: Sequence[str]) -> list[Part]:
    """The parts, neighbours of one kind joined (calls are never parted)."""
    found: list[Part] = []
    for part in [part for piece in pieces for part in machine.feed(piece)] + list(machine.finish()):
        if found and part.kind != "call" and found[-1].kind == part.kind:
            found[-1] = Part(part.kind, found[-1].text + part.text)
        else:
            found.append(part)
    return found


@pytest.mark.parametrize(
    ("inside", "text", "parts"),
    [
        (False, "plain", [("text", "plain")]),
        (False, "<think>\nhm \n</think>\n\nyes", [("reasoning", "hm"), ("text", "yes")]),
        (False, "first <think>a</think>b", [("text", "first "), ("reasoning", "a"), ("text", "b")]),
        (True, "hm</think>yes", [("reasoning", "hm"), ("text", "yes")]),
        (True, "never closed ", [("reasoning", "never closed")]),
        (False, "<think></think>\n\nyes", [("text", "yes")]),
        (False, "no </think> here", [("text", "no </think> here")]),
        (False, "a < b <thin", [("text", "a < b <thin")]),
        (False, "so <call>{1}</call><call>2</call>", [("text", "so "), ("call", "{1}"), ("call", "2")]),
        (False, "<call>cut", [("call", "cut")]),
        (True, "hm <call>1</call>", [("reasoning", "hm"), ("call", "1")]),
        (False, "<call><think></call>", [("call", "<think>")]),
    ],
)
def test_an_answer_is_told_apart_however_it_is_cut(inside: bool, text: str, parts: list[tuple[str, str]]) -> None:
    for size in (1, 2, 3, 7, 100):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert _split(Splitter(THINKING, CALLING, inside=inside), pieces) == parts, size


def test_a_call_without_a_closing_text_goes_to_the_end() -> None:
    assert _split(Splitter(None, ("[CALL]", "")), list("a[CALL]{}")) == [("text", "a"), ("call", "{}")]


@settings(deadline=None)
@given(st.lists(st.text("<think>/cal ", max_size=5)))
def test_without_markers_everything_is_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert _split(Splitter(None, None, inside=True), pieces) == ([("text", text)] if text else [])


@settings(deadline=None)
@given(st.lists(st.sampled_from(["<think>", "</think>", "<call>", "</call>", "<", "th", "x ", "\n"])))
def test_no_letter_is_lost(pieces: list[str]) -> None:
    parts = _split(Splitter(THINKING, CALLING), pieces)
    letters = "".join(pieces)
    for marker in (*THINKING, *CALLING):
        letters = letters.replace(marker, "")
    assert sum(part.text.count("x") for part in parts) == letters.count("x")


def test_a_prompt_that_opens_the_thinking() -> None:
    assert opens_thinking("<|assistant|>\n<think>\n", THINKING)
    assert not opens_thinking("<|assistant|>\n<think>\n\n</think>\n\n", THINKING)
    assert not opens_thinking("<think>", None)
