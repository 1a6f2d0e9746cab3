"""Measured speeds as samples of the planner: made of a run's figures, written as data, read back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from ultralab.planner.hardware import Hardware, Sample, Work
from ultralab.planner.speed import decode, work_of
from ultralab.planner.types import Demand, ModelShape

LONGEST_NAME: Final = 500
_DISTURBED: Final = 0.4
_IMPOSSIBLE: Final = 0.25
_FASTEST: Final = 1e7  # tok/s; no machine comes near


def sample_of(
    *,
    model: str,
    engine: str,
    hardware: Hardware,
    shape: ModelShape,
    quantization: str,
    prompt: int,
    decode_tok_s: float,
    prefill_tok_s: float,
    source: str,
    generated: int = 0,
    demand: Demand | None = None,
) -> Sample:
    """A sample of one measured run: ``prompt`` tokens, then ``generated`` ones, in the middle of which the speed counts.

    ``demand``: how the model was loaded, where the cache was not as usual. A speed that was not measured is 0.
    """
    asked = demand or Demand(max(1, prompt + generated))
    return Sample(
        model=model,
        engine=engine,
        hardware=hardware,
        work=work_of(shape, asked, prompt + generated // 2, quantization),
        prompt_tokens=prompt,
        decode_tok_s=decode_tok_s,
        prefill_tok_s=prefill_tok_s,
        source=source,
    )


def merged(*several: Iterable[Sample]) -> tuple[Sample, ...]:
    """All samples, each once; of the same run, the one that comes last."""
    found: dict[tuple[str, str, int, str], Sample] = {}
    for samples in several:
        for sample in samples:
            key = (sample.model, sample.engine, sample.prompt_tokens, sample.source)
            found.pop(key, None)
            found[key] = sample
    return tuple(found.values())


def undisturbed(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Of one model's runs with one engine, those that no other program slowed down.

    Bytes read per second are nearly the same for short and for long prompts; a run with less than 0.4 of the best one's
    had to share the machine, and so had one below a quarter of the least that is predicted. llama.cpp's threads wait for
    each other at every step, so where another program takes one core of two, it decodes a hundred times more slowly
    (seen here: 0.8 instead of 80 tok/s).
    """
    best = max((_traffic(sample) for sample in samples), default=0.0)
    return tuple(
        sample
        for sample in samples
        if _traffic(sample) >= _DISTURBED * best
        and sample.decode_tok_s >= _IMPOSSIBLE * decode(sample.work, sample.hardware, sample.engine).prediction.low
    )


def _traffic(sample: Sample) -> float:
    return sample.decode_tok_s * (sample.work.weight_bytes + sample.work.kv_bytes)


def to_data(sample: Sample) -> dict[str, Any]:
    """A sample for a file; its hardware is the file's."""
    return {
        "model": sample.model,
        "engine": sample.engine,
        "prompt_tokens": sample.prompt_tokens,
        "decode_tok_s": sample.decode_tok_s,
        "prefill_tok_s": sample.prefill_tok_s,
        "source": sample.source,
        "work": {field.name: getattr(sample.work, field.name) for field in fields(Work)},
    }


def from_data(data: Mapping[str, Any], hardware: Hardware) -> Sample:
    """A sample that :func:`to_data` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    return Sample(
        model=_text(data["model"]),
        engine=_text(data["engine"]),
        hardware=hardware,
        work=_work(data["work"]),
        prompt_tokens=_count(data["prompt_tokens"]),
        decode_tok_s=_rate(data["decode_tok_s"]),
        prefill_tok_s=_rate(data["prefill_tok_s"]),
        source=_text(data["source"]),
    )


def _work(data: Mapping[str, Any]) -> Work:
    """Every field by its type; one that an older version did not write has its default."""
    given = {field.name: _CHECKED[str(field.type)](data[field.name]) for field in fields(Work) if field.name in data}
    return Work(**given)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise ValueError(value)
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004
    return value


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _FASTEST or math.isnan(value):
        raise ValueError(value)
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise ValueError(value)
    return value


_CHECKED: Final[Mapping[str, Callable[[object], Any]]] = {"int": _count, "bool": _truth, "str": _text}
