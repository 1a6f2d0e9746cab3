"""Teacher forcing and embeddings: a text's tokens through the network in pieces, from an empty cache each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.generate import generation_stream

from ultralab.engines.mlx.engine import SCORED
from ultralab.engines.mlx.network import Network
from ultralab.engines.mlx.sampling import normal
from ultralab.engines.types import TokenScore
from ultralab.kernel.language import _


def score(network: Network, tokens: Sequence[int]) -> Iterator[TokenScore]:
    """A score for each token but the first, a piece at a time. The pieces follow from the model and options alone."""
    cache = network.new_cache()[: network.layers]
    piece = max(1, min(network.piece, SCORED // (4 * network.vocabulary)))
    for begin in range(0, len(tokens) - 1, piece):
        end = min(begin + piece, len(tokens) - 1)
        wanted = tokens[begin + 1 : end + 1]
        with mx.stream(generation_stream):
            rows = normal(network.logits(tokens[begin:end], cache))
            found = mx.take_along_axis(rows, mx.array(list(wanted), mx.int32)[:, None], axis=-1)[:, 0]
            best = mx.argmax(rows, axis=-1)
            mx.eval(found, best)
            network.settle(cache)
        scores: Any = found.tolist()
        favourites: Any = best.tolist()
        del rows, found, best
        mx.clear_cache()
        for token, value, favourite in zip(wanted, scores, favourites, strict=True):
            yield TokenScore(int(token), float(value), int(favourite))


def embeds(network: Network, width: object) -> bool:
    """Whether the network shows its last hidden states: ``model.model`` gives them as wide as the config says.

    Nothing is computed: MLX knows an array's shape before.
    """
    inner = getattr(network.model, "model", None)
    if not callable(inner) or not width or width == network.vocabulary:
        return False
    try:
        shape = inner(mx.array([[0]], mx.int32), cache=network.new_cache()[: network.layers]).shape
    except Exception:  # noqa: BLE001 - architectures differ in what their inner part takes
        return False
    return tuple(shape) == (1, 1, width)


def embed(network: Network, tokens: Sequence[int]) -> list[float]:
    """The mean of the last hidden states (after the final norm), of unit length. Raises ValueError: no tokens."""
    if not tokens:
        raise ValueError(_("a text without tokens has no embedding"))
    cache: list[Any] = network.new_cache()[: network.layers]
    total = mx.array(0.0)
    for begin in range(0, len(tokens), network.piece):
        with mx.stream(generation_stream):
            block = mx.array(list(tokens[begin : begin + network.piece]), mx.int32)[None]
            states = network.model.model(block, cache=cache)[0].astype(mx.float32)
            total = total + states.sum(axis=0)
            mx.eval(total)
            network.settle(cache)
        mx.clear_cache()
    unit = total / mx.maximum(mx.sqrt(mx.sum(total * total)), 1e-12)
    found: Any = unit.tolist()
    return [float(one) for one in found]
