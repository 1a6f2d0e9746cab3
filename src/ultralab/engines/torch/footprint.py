"""What a model in PyTorch will hold: ``planner.torch_memory``, and weights that are quantized while they are loaded."""

from __future__ import annotations

import dataclasses
from typing import Final

from ultralab.engines.options import LoadOptions
from ultralab.kernel.language import N_
from ultralab.planner.torch import torch_memory
from ultralab.planner.types import Amount, Demand, MemoryPlan, ModelShape

SCORED: Final = 16 * 1024 * 1024
"""Numbers of logits at once while a text is scored, at most (but one token's are never parted)."""

_BYTES: Final = {8: 1.0, 4: 0.5 + 4 / 64}  # a float32 scale for each 64 numbers of NF4; for int8 one for each row

_BASIS: Final = N_(
    "bitsandbytes quantizes all linear layers; the tables of the vocabulary, at the start and the end, stay as they are"
)


def plan(shape: ModelShape, options: LoadOptions) -> MemoryPlan:
    """Bytes, part by part. Weights are held as they are stored, on the CPU too: see ``engines.torch.loading``.

    Scoring a text writes down the logits of several tokens, as the model has them, in float32, and as log-probabilities.
    """
    demand = Demand(options.context, sequences=options.parallel, flash=options.flash, ubatch=options.ubatch)
    element = 4 if shape.parameters and shape.weight_bytes > 3 * shape.parameters else 2
    made = torch_memory(shape, demand, element=element, chunk=options.ubatch)
    scored = max(shape.vocabulary, min(SCORED, options.ubatch * shape.vocabulary)) * (element + 2 * 4)
    compute = dataclasses.replace(made.compute, bytes=made.compute.bytes + scored)
    weights = _quantized(shape, options.weight_bits) if options.weight_bits else made.weights
    return dataclasses.replace(made, weights=weights, compute=compute)


def _quantized(shape: ModelShape, bits: int) -> Amount:
    stored = shape.weight_bytes - shape.unloaded_bytes
    each = stored / max(1, shape.parameters)
    tables = min(shape.parameters, 2 * shape.vocabulary * shape.embedding)  # tied ones count twice: a bound
    return Amount(int(tables * each + (shape.parameters - tables) * _BYTES[bits]), 0.15, _BASIS)
