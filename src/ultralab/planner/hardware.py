"""What speed depends on, as plain values: a machine's figures, a model's work per token, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from ultralab.planner.types import Prediction


@dataclass(frozen=True)
class Hardware:
    """A machine. Bandwidths in bytes/s: ``bandwidth`` as its maker states it, ``measured_bandwidth`` as it was measured
    here by reading (0: not measured). ``gpu``: whether engines compute on its GPU; ``cpu_cores``: performance cores.
    """

    chip: str
    bandwidth: float
    gpu: bool
    gpu_cores: int
    cpu_cores: int
    measured_bandwidth: float = 0.0


@dataclass(frozen=True)
class Work:
    """What one token asks for: bytes of weights and of KV cache that are read, parameters that multiply, dispatches.

    ``routed``: whether experts are chosen per token. ``quantization``: the type of most weights (``Q4_K``, ``MXFP4``,
    ``4-bit``). ``attention_per_cell``: multiplications of one token with one cell of the cache, all layers together.
    """

    weight_bytes: int
    kv_bytes: int
    parameters: int
    layers: int
    routed: bool
    quantization: str
    attention_per_cell: int = 0


@dataclass(frozen=True)
class Sample:
    """One measured speed, from a public source or from this lab: ``prompt_tokens`` in the cache while it was decoding,
    tok/s, 0 where one of both was not measured. ``model`` groups samples of one model.
    """

    model: str
    engine: str
    hardware: Hardware
    work: Work
    prompt_tokens: int
    decode_tok_s: float
    prefill_tok_s: float
    source: str


@dataclass(frozen=True)
class Speed:
    """A predicted speed (tok/s), and which part of the bandwidth it would use: of the nominal one, of the measured one.

    ``of_measured`` is None where none was measured; both are None for a prefill, which computing limits.
    """

    prediction: Prediction
    of_nominal: float | None = None
    of_measured: float | None = None
