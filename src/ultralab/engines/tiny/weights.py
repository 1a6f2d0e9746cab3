"""The tiny model's weights: the same bytes on every machine, every number exact in 16 bits.

The numbers come straight from PCG64's output, whose stream numpy promises never to change (NEP 19), without a library's
logarithm or cosine in between. Only tokens of printable ASCII can win: the others' rows of the output matrix are zero, so
that greedy text is readable and never ends by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ultralab.engines.tiny.shape import SHAPE, Shape
from ultralab.engines.tiny.vocabulary import SPECIAL, text_of, tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED: Final = 354
"""Of the first 480, the one whose greedy choices for ``reference.PROMPTS`` have the clearest leads."""

_EMBEDDING: Final = 0.1  # small against the norms' eps, so that eps is felt
_GAINS: Final = {"self_attn.q_proj": 1.5, "self_attn.k_proj": 1.5, "mlp.gate_proj": 1.5}  # felt positions, a felt gate


def weights(shape: Shape = SHAPE, seed: int = SEED) -> dict[str, NDArray[np.float16]]:
    """The tensors by their names in a Hugging Face checkpoint; matrices are (outputs, inputs)."""
    source = np.random.PCG64(seed)
    count = len(tokens())

    def matrix(outputs: int, inputs: int, deviation: float) -> NDArray[np.float16]:
        return _uniform(source, (outputs, inputs), deviation).astype(np.float16)

    def norm() -> NDArray[np.float16]:
        return (1 + _uniform(source, (shape.hidden,), 0.2)).astype(np.float16)

    found = {"model.embed_tokens.weight": matrix(count, shape.hidden, _EMBEDDING)}
    for layer in range(shape.layers):
        place = f"model.layers.{layer}"
        for name, (outputs, inputs) in _matrices(shape).items():
            deviation = _GAINS.get(name, 1.0) / inputs**0.5
            found[f"{place}.{name}.weight"] = matrix(outputs, inputs, deviation)
        found[f"{place}.input_layernorm.weight"] = norm()
        found[f"{place}.post_attention_layernorm.weight"] = norm()
    found["model.norm.weight"] = norm()
    found["lm_head.weight"] = matrix(count, shape.hidden, 4 / shape.hidden**0.5)
    found["lm_head.weight"][[token for token in range(count) if not _readable(token)]] = 0
    return found


def _matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    return {
        "self_attn.q_proj": (shape.hidden, shape.hidden),
        "self_attn.k_proj": (shape.kv, shape.hidden),
        "self_attn.v_proj": (shape.kv, shape.hidden),
        "self_attn.o_proj": (shape.hidden, shape.hidden),
        "mlp.gate_proj": (shape.inner, shape.hidden),
        "mlp.up_proj": (shape.inner, shape.hidden),
        "mlp.down_proj": (shape.hidden, shape.inner),
    }


def _uniform(source: Any, dimensions: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
    """Evenly spread around zero with the given standard deviation."""
    raw = source.random_raw(int(np.prod(dimensions)))
    centred = (raw >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    return np.asarray(centred * (deviation * 3**0.5)).reshape(dimensions)


def _readable(token: int) -> bool:
    return token >= len(SPECIAL) and all(0x20 <= byte < 0x7F for byte in text_of(token))
