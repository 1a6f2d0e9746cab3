"""Whether two engines said the same, and if not, where they parted and why. Pure.

Greedy decoding takes the likeliest token. Two correct engines add numbers up in different orders, so their
log-probabilities differ in the third digit or so; where the two likeliest tokens are closer than that, either may win,
and from there on the texts go apart. Anything larger has another cause, and that is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

NEAR_TIE: Final = 0.1
"""Natural log-probability. Rounding in float16 moves a logit by up to about 0.02 here; a tenth leaves room for more layers."""

Cause = Literal["same", "prompt", "text", "tie", "weights", "unexplained"]


@dataclass(frozen=True)
class Answer:
    """What one engine made of a prompt: its tokens (empty where the engine shows none), the tokens that it wrote, the text.

    ``weights`` says how the weights are stored (their quantization); empty where nobody here knows.
    """

    engine: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    weights: str


@dataclass(frozen=True)
class Agreement:
    """How far an answer agrees with the first one. ``agreed`` of ``compared`` tokens (characters, where an engine shows no tokens).

    ``margin``: how much likelier the first engine's token was there, natural log-probability; None where nobody could say.
    """

    cause: Cause
    agreed: int
    compared: int
    by_tokens: bool
    margin: float | None = None

    @property
    def share(self) -> float:
        """The part that agrees, 0 to 1."""
        return self.agreed / self.compared if self.compared else 1.0


def common(left: Sequence[object], right: Sequence[object]) -> int:
    """How many items two sequences begin with alike."""
    for number, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if mine != theirs:
            return number
    return min(len(left), len(right))


def judge(first: Answer, other: Answer, margin: float | None) -> Agreement:
    """Compare an answer with the first one. ``margin`` is for the token where they part; None if it is not known."""
    if not (first.tokens and other.tokens):
        mine, theirs = first.text.strip(), other.text.strip()
        same, whole = common(mine, theirs), _length(first, other)
        return Agreement("same" if same == whole else _cause(first, other, None), same, whole, by_tokens=False)
    same, longest = common(first.tokens, other.tokens), max(len(first.tokens), len(other.tokens))
    if first.prompt != other.prompt:
        return Agreement("prompt", same, longest, by_tokens=True)
    if same == longest:
        return Agreement("same", same, longest, by_tokens=True)
    return Agreement(_cause(first, other, margin), same, longest, by_tokens=True, margin=margin)


def _length(first: Answer, other: Answer) -> int:
    """Characters to compare. Who shows tokens was led past the end of its answer; who does not stops there."""
    lengths = (len(first.text.strip()), len(other.text.strip()))
    if bool(first.tokens) == bool(other.tokens):
        return max(lengths)
    ended = lengths[1] if first.tokens else lengths[0]
    return ended or max(lengths)


def _cause(first: Answer, other: Answer, margin: float | None) -> Cause:
    if first.prompt and other.prompt and first.prompt != other.prompt:
        return "prompt"
    if first.weights and other.weights and first.weights != other.weights:
        return "weights"
    if margin is not None:
        return "tie" if abs(margin) <= NEAR_TIE else "unexplained"
    return "text"
