"""Where two engines part, and why."""

from __future__ import annotations

import pytest

from ultralab.assess.agreement import NEAR_TIE, Agreement, Answer, common, judge

PROMPT = (1, 2, 3)
FIRST = Answer("llamacpp", PROMPT, (10, 11, 12, 13), "one two", "F16")


def answer(
    tokens: tuple[int, ...] = FIRST.tokens,
    prompt: tuple[int, ...] = PROMPT,
    weights: str = "F16",
    text: str = FIRST.text,
) -> Answer:
    return Answer("mlx", prompt, tokens, text, weights)


@pytest.mark.parametrize(
    ("other", "margin", "expected"),
    [
        (answer(), None, Agreement("same", 4, 4, by_tokens=True)),
        (answer(weights="Q4_0"), None, Agreement("same", 4, 4, by_tokens=True)),
        (answer((10, 11, 99, 13)), 0.02, Agreement("tie", 2, 4, by_tokens=True, margin=0.02)),
        (answer((10, 11, 99, 13)), -NEAR_TIE, Agreement("tie", 2, 4, by_tokens=True, margin=-NEAR_TIE)),
        (answer((10, 11, 99, 13)), 1.5, Agreement("unexplained", 2, 4, by_tokens=True, margin=1.5)),
        (answer((10, 11, 99, 13)), None, Agreement("text", 2, 4, by_tokens=True)),
        (answer((10, 11, 99), weights="Q4_0"), 1.5, Agreement("weights", 2, 4, by_tokens=True, margin=1.5)),
        (answer((10, 11)), None, Agreement("text", 2, 4, by_tokens=True)),
        (answer(prompt=(0, 1, 2, 3)), None, Agreement("prompt", 4, 4, by_tokens=True)),
        (answer((), (), text="one two"), None, Agreement("same", 7, 7, by_tokens=False)),
        (answer((), (), text="one ten"), None, Agreement("text", 5, 7, by_tokens=False)),
        (
            answer((), (), text=" one "),
            None,
            Agreement("same", 3, 3, by_tokens=False),
        ),  # it ended, the first was led on
        (answer((), (), text=""), None, Agreement("text", 0, 7, by_tokens=False)),
        (answer((), (), "", "one ten"), None, Agreement("text", 5, 7, by_tokens=False)),  # nobody knows its weights
        (answer((), (), "Q8_0", "one ten"), None, Agreement("weights", 5, 7, by_tokens=False)),
    ],
)
def test_judge(other: Answer, margin: float | None, expected: Agreement) -> None:
    assert judge(FIRST, other, margin) == expected


@pytest.mark.parametrize(
    ("left", "right", "same"), [("", "", 0), ("ab", "", 0), ("ab", "abc", 2), ("xb", "ab", 0), ("abc", "abd", 2)]
)
def test_common(left: str, right: str, same: int) -> None:
    assert common(left, right) == same


def test_nothing_said_agrees_wholly() -> None:
    assert judge(answer((), (), text=""), answer((), (), text=""), None).share == 1.0
    assert Agreement("tie", 1, 4, by_tokens=True).share == 0.25
