"""A plan as data: what ``--json`` prints, with stable keys."""

from __future__ import annotations

from typing import Any

from ultralab.assess.plan import fits
from ultralab.assess.types import Place, Plan
from ultralab.kernel.language import _
from ultralab.planner.hardware import Speed
from ultralab.planner.types import Amount, Prediction


def to_data(plan: Plan) -> dict[str, Any]:
    """Bytes, tok/s and seconds as plain numbers, null where nobody can say; ``predictions`` has, under the same keys,
    ``value``, ``low``, ``high``, ``error_band`` (a part of the value), ``basis`` (a sentence) and ``known``: where that
    is false, ``high`` is an upper bound. ``decode_tok_s`` is with the context full, ``decode_begun_tok_s`` with ``prompt``
    tokens in the cache. ``available_bytes`` and ``fits_now``: what reservations leave of the limit on this machine.
    """
    memory, demand, shape = plan.memory, plan.question.demand, plan.header.shape
    amounts = {
        "weights_bytes": memory.weights,
        "kv_cache_bytes": memory.kv_cache,
        "compute_bytes": memory.compute,
        "overhead_bytes": memory.overhead,
        "total_bytes": Amount(memory.total, memory.error_band, memory.basis, memory.known),
    }
    rates = {
        "decode_tok_s": plan.decode.prediction,
        "decode_begun_tok_s": plan.decode_begun.prediction,
        "prefill_tok_s": plan.prefill.prediction,
        "ttft_s": plan.ttft,
    }
    available = max(0, plan.place.limit_bytes - plan.place.in_use_bytes)
    return {
        "model": plan.name,
        "format": plan.header.format,
        "architecture": shape.architecture,
        "quantization": plan.header.quantization,
        "parameters": shape.parameters,
        "active_parameters": shape.active_parameters or shape.parameters,
        "trained_context": shape.trained_context,
        "engine": plan.question.engine,
        "context": demand.context,
        "sequences": demand.sequences,
        "unified": demand.unified,
        "key_type": demand.key_type,
        "value_type": demand.value_type,
        "flash_attention": demand.flash,
        "ubatch": demand.ubatch,
        "prompt": plan.question.prompt,
        **{name: amount.bytes if amount.known else None for name, amount in amounts.items()},
        "unloaded_bytes": shape.unloaded_bytes,
        "host_bytes": shape.lookup_bytes,
        "limit_bytes": plan.place.limit_bytes,
        "available_bytes": available,
        "fits": plan.fits,
        "fits_now": fits(memory, available) if plan.place.is_this else None,
        "max_context": plan.max_context,
        **{name: rate.value or None for name, rate in rates.items()},
        "decode_of_nominal_bandwidth": plan.decode.of_nominal,
        "decode_of_measured_bandwidth": plan.decode.of_measured,
        "predictions": {
            **{name: amount_data(amount) for name, amount in amounts.items()},
            **{name: prediction_data(rate) for name, rate in rates.items()},
        },
        "machine": place_data(plan.place),
        "warnings": list(plan.warnings),
    }


def amount_data(amount: Amount) -> dict[str, Any]:
    """A part of the memory."""
    spread = round(amount.bytes * amount.error_band)
    return {
        "value": amount.bytes if amount.known else None,
        "low": amount.bytes - spread if amount.known else None,
        "high": amount.bytes + spread,
        "error_band": amount.error_band if amount.known else None,
        "basis": _(amount.basis) if amount.basis else "",
        "known": amount.known,
    }


def prediction_data(prediction: Prediction) -> dict[str, Any]:
    """A speed or a time; unknown where it is 0."""
    known = prediction.value > 0
    return {
        "value": prediction.value if known else None,
        "low": prediction.low if known else None,
        "high": prediction.high or None,
        "error_band": round(prediction.error_band, 4) if known else None,
        "basis": _(prediction.basis) if prediction.basis else "",
        "known": known,
    }


def speed_data(speed: Speed) -> dict[str, Any]:
    """A speed with its two efficiencies."""
    return {
        **prediction_data(speed.prediction),
        "of_nominal_bandwidth": speed.of_nominal,
        "of_measured_bandwidth": speed.of_measured,
    }


def place_data(place: Place) -> dict[str, Any]:
    """A machine."""
    hardware = place.hardware
    return {
        "name": place.name,
        "chip": hardware.chip,
        "gpu_cores": hardware.gpu_cores,
        "memory_bytes": place.memory_bytes,
        "limit_bytes": place.limit_bytes,
        "limit_basis": place.basis,
        "in_use_bytes": place.in_use_bytes,
        "free_bytes": place.free_bytes,
        "bandwidth": hardware.bandwidth or None,
        "measured_bandwidth": hardware.measured_bandwidth or None,
    }
