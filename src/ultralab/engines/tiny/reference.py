"""The tiny model, computed plainly: what every engine has to say. No cache, no tricks, 64-bit numbers.

Source of the formulas: "LLaMA: Open and Efficient Foundation Language Models" (Touvron et al. 2023), §2.2, and the papers
named there: RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021), SwiGLU (Shazeer 2020); grouped queries
are those of Ainslie et al. 2023. A head's rotated pairs are (i, i + half), as in Hugging Face's checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ultralab.engines.tiny.shape import SHAPE, Shape
from ultralab.engines.tiny.weights import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

PROMPTS: Final = ("The quick brown fox jumps over", "def f(x):\n    return", "春天的早晨，你好 🌸")
"""Texts whose greedy answers have clear leads."""

TOKENS: Final = 16
"""How many tokens of each answer have them."""


@dataclass(frozen=True)
class Answer:
    """Greedy tokens, and how far each leads before the second choice, in standard deviations of the logits that are not 0."""

    tokens: tuple[int, ...]
    leads: tuple[float, ...]


def greedy(prompt: Sequence[int], count: int = TOKENS, seed: int | None = None) -> Answer:
    """The model's answer to a prompt's tokens."""
    return answer(_weights(seed), prompt, count)


@cache
def _weights(seed: int | None) -> dict[str, Numbers]:
    found = weights() if seed is None else weights(seed=seed)
    return {name: array.astype(np.float64) for name, array in found.items()}


def answer(model: Mapping[str, Numbers], prompt: Sequence[int], count: int, shape: Shape = SHAPE) -> Answer:
    """Greedy tokens with given weights."""
    sequence = list(prompt)
    leads: list[float] = []
    for _number in range(count):
        last = logits(model, sequence, shape)[-1]
        second, first = np.argsort(last)[-2:]
        leads.append(float((last[first] - last[second]) / np.std(last[last != 0])))
        sequence.append(int(first))
    return Answer(tuple(sequence[len(prompt) :]), tuple(leads))


def logits(model: Mapping[str, Numbers], tokens: Sequence[int], shape: Shape = SHAPE) -> Numbers:
    """(places, vocabulary): what follows each place."""
    x = model["model.embed_tokens.weight"][list(tokens)]
    for layer in range(shape.layers):

        def part(name: str, place: str = f"model.layers.{layer}") -> Numbers:
            return model[f"{place}.{name}.weight"]

        x = x + _attention(_norm(x, part("input_layernorm"), shape.eps), part, shape)
        y = _norm(x, part("post_attention_layernorm"), shape.eps)
        gate = y @ part("mlp.gate_proj").T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ part("mlp.up_proj").T)) @ part("mlp.down_proj").T
    return _norm(x, model["model.norm.weight"], shape.eps) @ model["lm_head.weight"].T


def _norm(x: Numbers, scale: Numbers, eps: float) -> Numbers:
    return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * scale)


def _attention(x: Numbers, part: Any, shape: Shape) -> Numbers:
    places = len(x)

    def heads(name: str, count: int) -> Numbers:
        return np.asarray((x @ part(name).T).reshape(places, count, shape.head).swapaxes(0, 1))

    repeat = shape.heads // shape.kv_heads
    query = _rotated(heads("self_attn.q_proj", shape.heads), shape.theta)
    key = np.repeat(_rotated(heads("self_attn.k_proj", shape.kv_heads), shape.theta), repeat, axis=0)
    value = np.repeat(heads("self_attn.v_proj", shape.kv_heads), repeat, axis=0)
    scores = query @ key.swapaxes(1, 2) / shape.head**0.5
    scores[:, np.triu(np.ones((places, places), bool), 1)] = -np.inf
    share = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = share / share.sum(-1, keepdims=True) @ value
    return np.asarray(mixed.swapaxes(0, 1).reshape(places, shape.hidden) @ part("self_attn.o_proj").T)


def _rotated(x: Numbers, theta: float) -> Numbers:
    """(heads, places, width): each pair turned by its place times its frequency."""
    half = x.shape[-1] // 2
    angle = np.arange(x.shape[1])[:, None] * theta ** (-np.arange(half) / half)
    left, right = x[..., :half], x[..., half:]
    return np.concatenate(
        (left * np.cos(angle) - right * np.sin(angle), right * np.cos(angle) + left * np.sin(angle)), axis=-1
    )
