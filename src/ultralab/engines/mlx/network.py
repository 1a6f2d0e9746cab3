"""The networks of one loaded model (its own, and a draft's), their caches, and one piece of a prompt read into them.

Only for the child: importing this imports MLX.

**The wired limit is never set here.** ``mlx_lm.generate.stream_generate``, ``BatchGenerator`` and mlx-lm's server raise
it to all that Metal recommends (``maybe_set_recommended_wired_limit``), and several processes that do so pin more memory
than a Mac has. Kernel panics of Macs were traced to it: https://github.com/ml-explore/mlx/issues/3186 (a comment of
2026-07-07 compares runs that differ in nothing else), https://github.com/ml-explore/mlx-lm/issues/883,
https://github.com/ml-explore/mlx-lm/pull/1252. So this room uses only what lies below those: ``generate_step``,
``speculative_generate_step``, ``PromptProcessingBatch`` and ``GenerationBatch``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx
from mlx_lm.generate import generation_stream, maybe_quantize_kv_cache
from mlx_lm.models.cache import make_prompt_cache

from ultralab.planner.mlx import GROUP

_quantize: Final[Callable[..., None]] = maybe_quantize_kv_cache

Cache = list[Any]
"""One cache per layer, as mlx-lm keeps them; a draft model's follow."""


@dataclass(frozen=True)
class Network:
    """``bits``: of quantized caches, 0 for plain ones. ``piece``: tokens of a prompt that are computed at once.

    ``layers``: how many caches are the model's own. ``vocabulary``: the width of its logits.
    """

    model: Any
    draft: Any
    bits: int
    piece: int
    layers: int
    vocabulary: int

    def new_cache(self) -> Cache:
        """Empty caches."""
        cache = list(make_prompt_cache(self.model))
        return cache if self.draft is None else [*cache, *make_prompt_cache(self.draft)]

    def read(self, tokens: Sequence[int], cache: Cache) -> None:
        """Take one piece of a prompt in. Logits are not computed: nothing asks for them."""
        with mx.stream(generation_stream):
            block = mx.array(list(tokens), mx.int32)[None]
            self.model(block, cache=cache[: self.layers])
            if self.draft is not None:
                self.draft(block, cache=cache[self.layers :])
            self.settle(cache)
        mx.clear_cache()

    def logits(self, tokens: Sequence[int], cache: Cache) -> mx.array:
        """The model's logits after each token of one piece, (tokens, vocabulary); not computed yet."""
        out: mx.array = self.model(mx.array(list(tokens), mx.int32)[None], cache=cache[: self.layers])
        return out[0]

    def settle(self, cache: Cache) -> None:
        """Quantize what is to be quantized, as mlx-lm does after each piece, and compute the caches."""
        if self.bits:
            _quantize(cache, quantized_kv_start=0, kv_group_size=GROUP, kv_bits=self.bits)
        mx.eval([layer.state for layer in cache if not layer.empty()])


def held_bytes(cache: Cache) -> int:
    """Bytes of a cache, cells that are not used yet included."""
    return sum(int(layer.nbytes) for layer in cache)


def merges(cache: Cache) -> bool:
    """Whether several such caches can be computed as one batch (as mlx-lm's server asks)."""
    return all(hasattr(layer, "merge") for layer in cache)
