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
    ``4-bit``). ``attention_per_cell``: multiplications of one token with one cell of the cache, all layers together
    (layers with a window count by the part of the cells that they see). ``latent_layers``: of the layers, those with
    multi-head latent attention, which is several small steps more. ``loaded_bytes``: all weights, of which a batch of
    tokens with different experts reads most; 0 where only those of one token are known. ``kv_known``: else ``kv_bytes``
    is an upper bound. ``experts``, ``experts_used``: of how many experts in a layer how many work on a token; 0 unknown.
    """

    weight_bytes: int
    kv_bytes: int
    parameters: int
    layers: int
    routed: bool
    quantization: str
    attention_per_cell: int = 0
    latent_layers: int = 0
    loaded_bytes: int = 0
    kv_known: bool = True
    experts: int = 0
    experts_used: int = 0


@dataclass(frozen=True)
class Sample:
    """One measured run, from a public source or from this lab, speeds in tok/s, 0 where one was not measured.

    ``prompt_tokens`` were prefilled; ``work`` is that of a token decoded then. ``model`` groups samples of one model.
    ``batch``: tokens computed at once in prefill, 0 for as many as the engine does unasked.
    """

    model: str
    engine: str
    hardware: Hardware
    work: Work
    prompt_tokens: int
    decode_tok_s: float
    prefill_tok_s: float
    source: str
    batch: int = 0


@dataclass(frozen=True)
class Speed:
    """A predicted speed (tok/s), and which part of the bandwidth it would use: of the nominal one, of the measured one.

    ``of_measured`` is None where none was measured; both are None for a prefill, which computing limits.
    """

    prediction: Prediction
    of_nominal: float | None = None
    of_measured: float | None = None
