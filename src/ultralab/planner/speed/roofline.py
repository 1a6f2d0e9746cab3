"""Seconds of decode and prefill on a GPU, from a work, a machine and rates. No bands, no corrections."""

from __future__ import annotations

from typing import Final

from ultralab.planner.hardware import Hardware, Work
from ultralab.planner.speed.calibration import DecodeRates, PrefillRates
from ultralab.planner.speed.chips import flops, slowness

_BATCH: Final = {"llamacpp": 512, "mlx": 2048}
"""Tokens computed at once: llama.cpp's default micro-batch; mlx-lm's ``prefill_step_size``."""
_TILE: Final = 32
"""Tokens that one tile of an expert's multiplication holds (``kernel_mul_mm_id`` of llama.cpp's Metal backend)."""
_STEP_SECONDS: Final = {"mlx": 2e-4}
"""What begins a layer in prefill, beside its work: by how much 0.6B and 1B models of Rapid-MLX's community-benchmarks fall
short of their larger siblings at 512 tokens. llama.cpp's measurements do not show it."""
_READING_SHARE: Final = 0.85
"""Of the nominal bandwidth, what a GPU reads at best: 692 of 819 GB/s on the M3 Ultra (jundot/omlx#2238)."""


def nominal(hardware: Hardware) -> float:
    """The bandwidth that shares are of, bytes/s: the maker's, else from what was measured by reading; 0 if unknown."""
    return hardware.bandwidth or hardware.measured_bandwidth / _READING_SHARE


def decode_terms(work: Work, hardware: Hardware) -> tuple[float, float, float, float, float, float]:
    """What a token takes, to be multiplied by the unknowns of :class:`DecodeRates` in their order: 1/dense, 1/routed,
    1/kv, seconds per dense, routed, and latent layer. The sum of the products is the time in seconds.
    """
    bandwidth, clock = nominal(hardware), slowness(hardware)
    weights, layers = work.weight_bytes / bandwidth, work.layers * clock
    cache, latent = work.kv_bytes / bandwidth, work.latent_layers * clock
    if work.routed:
        return 0.0, weights, cache, 0.0, layers, latent
    return weights, 0.0, cache, layers, 0.0, latent


def decode_seconds(work: Work, hardware: Hardware, rates: DecodeRates) -> float:
    """Seconds per token."""
    unknowns = (
        1 / rates.dense,
        1 / rates.routed,
        1 / rates.kv,
        rates.dense_seconds,
        rates.routed_seconds,
        rates.latent_seconds,
    )
    return sum(term * unknown for term, unknown in zip(decode_terms(work, hardware), unknowns, strict=True))


def prefill_operations(work: Work, tokens: int) -> float:
    """Operations that a prompt takes: two per parameter and token, two per multiplication of a token with a cell before
    it, of which there are half as many as pairs of tokens.
    """
    return 2.0 * work.parameters * tokens + float(work.attention_per_cell) * tokens * tokens


def prefill_computing(work: Work, tokens: int, engine: str, batch: int = 0) -> float:
    """:func:`prefill_operations` as a GPU carries them out: it multiplies experts with tiles of 32 tokens.

    Of a batch's tokens an expert gets few, and its last tile is half empty on average: with 256 experts, of which 8 work
    on a token, 512 tokens give 16 to each, and half of the experts' operations are for nothing.
    """
    share = _expert_share(work)
    wasted = sum(
        count * share * (_rows_per_token(work, size) - 1) * size for count, size in _batches(tokens, engine, batch)
    )
    return prefill_operations(work, tokens) + 2.0 * work.parameters * wasted


def prefill_reading(work: Work, tokens: int, engine: str, bandwidth: float, batch: int = 0) -> float:
    """Seconds in which weights are read for a prompt, once for each batch of tokens computed together.

    A batch reads each expert that any of its tokens chose, as if all chose by chance; where the number of experts is
    unknown, what its tokens read alone, at most all.
    """
    read = sum(count * _read_by_batch(work, size) for count, size in _batches(tokens, engine, batch))
    return read / (bandwidth * _READING_SHARE)


def prefill_seconds(
    work: Work, tokens: int, hardware: Hardware, engine: str, rates: PrefillRates, batch: int = 0
) -> float:
    """Seconds for a prompt of ``tokens``."""
    share = rates.routed if work.routed else rates.dense
    computing = prefill_computing(work, tokens, engine, batch) / (flops(hardware) * share)
    return computing + prefill_fixed(work, tokens, hardware, engine, batch)


def prefill_fixed(work: Work, tokens: int, hardware: Hardware, engine: str, batch: int = 0) -> float:
    """Seconds of a prompt that no share of the peak changes: weights are read, and steps are begun."""
    batches = sum(count for count, _ in _batches(tokens, engine, batch))
    steps = batches * work.layers * _STEP_SECONDS.get(engine, 0.0) * slowness(hardware)
    return prefill_reading(work, tokens, engine, nominal(hardware), batch) + steps


def _batches(tokens: int, engine: str, batch: int) -> tuple[tuple[int, int], ...]:
    """How many batches of which size: full ones, and the rest."""
    size = batch or _BATCH.get(engine, 512)
    full, rest = divmod(tokens, size)
    return ((full, size), (1, rest)) if rest else ((full, size),)


def _expert_share(work: Work) -> float:
    """Of the weights that a token reads, the part that are experts chosen for it, from how many more all are."""
    if not 0 < work.experts_used < work.experts:
        return 0.0
    used = work.experts_used / work.experts
    chosen = used / (1 - used) * (work.loaded_bytes - work.weight_bytes)
    return min(1.0, max(0.0, chosen / max(1, work.weight_bytes)))


def _hit(work: Work, tokens: int) -> float:
    """Of all experts, the part that at least one of ``tokens`` chose."""
    return 1 - (1 - work.experts_used / work.experts) ** tokens


def _rows_per_token(work: Work, tokens: int) -> float:
    """Rows that are multiplied per row that is wanted: each expert that was hit has a last tile, half full on average.
    Fewer tokens than a tile are multiplied one by one.
    """
    if tokens < _TILE or not 0 < work.experts_used < work.experts:
        return 1.0
    wanted, hit = tokens * work.experts_used / work.experts, _hit(work, tokens)
    return hit * (max(wanted / hit, _TILE / 2) + _TILE / 2) / wanted


def _read_by_batch(work: Work, tokens: int) -> float:
    """Bytes."""
    if not 0 < work.experts_used < work.experts:
        return float(min(max(work.loaded_bytes, work.weight_bytes), tokens * work.weight_bytes))
    chosen = _expert_share(work) * work.weight_bytes
    return work.weight_bytes - chosen + chosen * work.experts / work.experts_used * _hit(work, tokens)
