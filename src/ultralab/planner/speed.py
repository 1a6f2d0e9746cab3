"""Decode speed from bandwidth: each token reads every active weight once; short contexts, whose KV cache is small."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.types import Prediction

# Share of the nominal bandwidth that decoding reaches on an Apple GPU: 0.73-0.82 for dense models of 70B and more,
# 0.43-0.58 for mixtures of experts and for small models, whose fixed cost per layer weighs more. Sources: Llama 3.1
# 70B Q4_K_M at 14.08 tok/s on an M3 Ultra (geerlingguy/ai-benchmarks); 7B Q4_0 at 92.1 tok/s
# (ggml-org/llama.cpp discussion 4167); DeepSeek R1 Q4_K_M at 20.2 tok/s (geerlingguy/beowulf-ai-cluster#17).
_APPLE: Final = (0.40, 0.62, 0.85)

# Without a GPU the cores, not the memory, are the limit: bytes of quantized weights that one x86-64 core with AVX2
# turns into products per second. Measured with SmolLM2-135M, two cores (benchmarks/README.md).
_PER_CORE: Final = (2.5e9, 5.5e9, 9.0e9)
_COPY_SHARE: Final = 0.8  # of a measured copy bandwidth, that reading alone can reach at best


def decode_speed(bytes_per_token: int, *, bandwidth: float, cores: int, gpu: bool) -> Prediction:
    """Tokens per second of one sequence.

    ``bytes_per_token``: weights read per token; ``bandwidth`` in bytes/s (nominal with a GPU, measured by copying
    without one); ``cores`` that compute when there is no GPU.
    """
    traffic = max(1, bytes_per_token)
    if gpu:
        low, middle, high = (bandwidth * share / traffic for share in _APPLE)
        basis = N_("chip's bandwidth × 0.62 (0.40–0.85 in published measurements)")
    else:
        ceiling = bandwidth * _COPY_SHARE if bandwidth > 0 else float("inf")
        low, middle, high = (min(rate * cores, ceiling) / traffic for rate in _PER_CORE)
        basis = N_("5.5 GB/s of weights per CPU core (2.5–9), at most 80 % of the copy bandwidth")
    return Prediction(middle, low, high, basis)
