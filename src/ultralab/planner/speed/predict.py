"""The three answers: decode, prefill, time to the first token."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.hardware import Hardware, Speed, Work
from ultralab.planner.speed.calibration import Calibration
from ultralab.planner.speed.cpu import cpu_decode, cpu_prefill
from ultralab.planner.speed.defaults import PUBLIC
from ultralab.planner.speed.estimate import Estimate, corrected
from ultralab.planner.speed.gpu import gpu_decode, gpu_prefill
from ultralab.planner.types import Prediction

_OWN: Final = N_("corrected by what this machine measured itself")
_FIRST: Final = N_("the prompt's prefill, one token's decode, and 0.05 s for the request (0–0.15)")

# What a request takes beside its tokens, seconds: prompts of 11 to 73 tokens took 0.1 to 0.3 s to the first token on M4
# and M5 Max (itsmostafa/inference-speed-tests), 512 tokens of a 0.6B model 0.06 s in all on an M3 Ultra
# (raullenchai/Rapid-MLX community-benchmarks): from nothing to 0.15.
_REQUEST: Final = (0.0, 0.05, 0.15)


def decode(work: Work, hardware: Hardware, engine: str, calibration: Calibration | None = None) -> Speed:
    """Tokens per second of one sequence, with the bandwidth that it would use.

    ``calibration``: what :func:`ultralab.planner.speed.fit` made of own measurements; None for public ones alone. An
    unknown bandwidth gives the value 0 and a basis that says so, an unknown architecture a wide band.
    """
    used = calibration or PUBLIC
    own = used.decode_corrections.get((engine, work.routed))
    prediction = corrected(decode_estimate(work, hardware, engine, used), own, _OWN)
    rate = (work.weight_bytes + (work.kv_bytes if work.kv_known else 0)) * prediction.value
    return Speed(
        prediction,
        of_nominal=rate / hardware.bandwidth if hardware.bandwidth > 0 and rate else None,
        of_measured=rate / hardware.measured_bandwidth if hardware.measured_bandwidth > 0 and rate else None,
    )


def prefill(work: Work, tokens: int, hardware: Hardware, engine: str, calibration: Calibration | None = None) -> Speed:
    """Tokens per second of a prompt of ``tokens``, as :func:`decode` says it. It falls with the prompt's length."""
    used = calibration or PUBLIC
    own = used.prefill_corrections.get((engine, work.routed))
    return Speed(corrected(prefill_estimate(work, max(1, tokens), hardware, engine, used), own, _OWN))


def ttft(
    work: Work, tokens: int, hardware: Hardware, engine: str, calibration: Calibration | None = None
) -> Prediction:
    """Seconds from a request with a prompt of ``tokens`` to its first token, nothing of it cached; 0 where unknown."""
    first = decode(work, hardware, engine, calibration).prediction
    prompt = prefill(work, tokens, hardware, engine, calibration).prediction
    for part in (prompt, first):
        if part.value <= 0:
            return Prediction(0.0, 0.0, 0.0, part.basis)
    fastest, usual, slowest = _REQUEST
    return Prediction(
        tokens / prompt.value + 1 / first.value + usual,
        tokens / prompt.high + 1 / first.high + fastest,
        tokens / prompt.low + 1 / first.low + slowest,
        _FIRST,
    )


def decode_estimate(work: Work, hardware: Hardware, engine: str, calibration: Calibration) -> Estimate:
    """Decode without own corrections."""
    if hardware.gpu:
        return gpu_decode(work, hardware, engine, calibration)
    return cpu_decode(work, hardware)


def prefill_estimate(work: Work, tokens: int, hardware: Hardware, engine: str, calibration: Calibration) -> Estimate:
    """Prefill without own corrections."""
    if hardware.gpu:
        return gpu_prefill(work, tokens, hardware, engine, calibration)
    return cpu_prefill(work, tokens, hardware)
