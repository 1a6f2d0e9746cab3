"""Advice as data: what ``--json`` prints, with stable keys. Bytes, tok/s and seconds as plain numbers."""

from __future__ import annotations

from typing import Any

from ultralab.assess.advice import quality
from ultralab.assess.advice.changes import CLUSTERS
from ultralab.assess.advice.types import Advice, Change, Row
from ultralab.assess.data import place_data, prediction_data, speed_data


def to_data(advice: Advice) -> dict[str, Any]:
    """``chosen`` is the row that the rule takes, null for none; ``why`` are sentences."""
    wish = advice.wish
    return {
        "model": advice.name,
        "machine": place_data(advice.place),
        "context": wish.context,
        "sequences": wish.sequences,
        "least_decode_tok_s": wish.least_decode,
        "margin": wish.margin,
        "rows": [row_data(row) for row in advice.rows],
        "chosen": row_data(advice.chosen) if advice.chosen else None,
        "why": list(advice.why),
        "changes": [change_data(change) for change in advice.changes],
        "machines": advice.machines,
        "several_machines": [
            {"way": one.way, "model": one.model, "decode_tok_s": dict(zip(("1", "2", "4"), one.tok_s, strict=True)),
             "source": one.source}
            for one in CLUSTERS
        ],
    }  # fmt: skip


def row_data(row: Row) -> dict[str, Any]:
    """One line of the table."""
    candidate, demand = row.candidate, row.question.demand
    known = row.memory.known
    return {
        "model": candidate.name,
        "ref": candidate.ref or None,
        "format": candidate.format,
        "quantization": candidate.quantization,
        "bits_per_weight": round(candidate.bits_per_weight, 3),
        "engine": row.question.engine,
        "context": demand.context,
        "key_type": demand.key_type,
        "value_type": demand.value_type,
        "weights_bytes": row.memory.weights.bytes,
        "size_error_band": candidate.size_band,
        "kv_cache_bytes": row.memory.kv_cache.bytes if row.memory.kv_cache.known else None,
        "total_bytes": row.memory.total if known else None,
        "needed_bytes": row.needed,
        "fits": row.fits,
        "tight": row.tight,
        "decode_tok_s": row.decode.prediction.value or None,
        "prefill_tok_s": row.prefill.prediction.value or None,
        "ttft_s": row.ttft.value or None,
        "decode": speed_data(row.decode),
        "prefill": speed_data(row.prefill),
        "ttft": prediction_data(row.ttft),
        "loss": quality.to_data(row.loss),
    }


def change_data(change: Change) -> dict[str, Any]:
    """Something that could be changed."""
    return {
        "kind": change.kind,
        "sentence": change.sentence,
        "total_bytes": change.total_bytes,
        "fits": change.fits,
    }
