"""The planner against llama.cpp's own answer, of the version that is installed, on its CPU backend."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.architectures.everything import MODELS
from tests.architectures.table import Point, compared, demands, types_of

from ultralab.planner import Demand

if TYPE_CHECKING:
    from tests.architectures.base import Known

FEW = tuple(
    known for known in MODELS if known.name.startswith(("odd-", "Llama-3.1-8B", "gemma-3-4b", "LFM2-1.2B", "Jamba"))
)

QUICK = (
    "Llama-3.1-8B", "Llama-3.1-405B", "Qwen3-0.6B", "Qwen3-30B", "Mixtral-8x7B", "GLM-4.6", "gemma-2-9b", "gemma-3-4b",
    "gpt-oss-20b", "DeepSeek-V2-Lite", "DeepSeek-V3", "Kimi-K2", "Qwen3-Next", "Mamba-2.8B", "Falcon-H1-0.5B", "LFM2-1.2B",
    "Granite-4.0-H-Micro", "phi-4", "Llama-4-Scout", "Olmo", "MiniMax-M2", "odd-",
)  # fmt: skip
"""Names of models that are tried each time; the rest belongs to the long group."""

# What the issue gives for orientation (MiB, micro-batch 512): context, KV type, flash attention; weights, KV, compute.
POINTS = {
    "Llama-3.1-8B-Q8_0": (
        (131072, "f16", True, 8137, 16384, 418.5), (131072, "q8_0", True, 8137, 8704, 418.5),
        (131072, "q4_0", True, 8137, 4608, 418.5), (131072, "f16", False, 8137, 16384, 8500),
    ),
    "gemma-3-4b-Q8_0": ((131072, "f16", True, 3932, 2734, 666.7),),
    "DeepSeek-V3-Q4_0": ((163840, "f16", True, 359969, 10980, 566), (163840, "q8_0", True, 359969, 5833, 566)),
}  # fmt: skip


def _trained(known: Known) -> int:
    return int(str(known.keys.get("context_length", 4096)))


def _agree(points: list[Point], worst: float = 0.02) -> None:
    assert [point.label for point in points if not point.exact] == []
    assert [f"{point.label}: {point.error:.2%}" for point in points if point.error > worst] == []


def test_the_models_are_of_many_architectures() -> None:
    assert len({known.architecture for known in MODELS}) >= 12


def _each() -> list[object]:
    return [
        pytest.param(known, id=known.name, marks=() if known.name.startswith(QUICK) else pytest.mark.slow)
        for known in MODELS
    ]


@pytest.mark.parametrize("known", _each())
def test_every_model_at_a_short_and_at_its_own_context(known: Known, tmp_path: Path) -> None:
    _agree(compared(known, (Demand(4096), Demand(300), *demands((_trained(known),), types_of(known))), tmp_path))


@pytest.mark.slow
def test_the_median_over_all_models(tmp_path: Path) -> None:
    points = [
        point
        for known in MODELS
        for point in compared(known, (Demand(4096), Demand(_trained(known)), Demand(32768, flash=False)), tmp_path)
    ]
    assert statistics.median(point.error for point in points) <= 0.0005


@pytest.mark.slow
@pytest.mark.parametrize("known", MODELS, ids=lambda known: known.name)
def test_every_model_at_more_contexts_and_without_flash_attention(known: Known, tmp_path: Path) -> None:
    plain = tuple(Demand(context, flash=False) for context in (512, 4096, 32768))
    _agree(compared(known, (*demands((512, 4096, 32768), types_of(known)), *plain), tmp_path))


@pytest.mark.parametrize("known", FEW, ids=lambda known: known.name)
def test_sequences_micro_batches_and_few_outputs(known: Known, tmp_path: Path) -> None:
    wanted = [
        Demand(context, sequences, unified, flash=flash, ubatch=ubatch, outputs=outputs)
        for context, sequences, unified, flash, ubatch, outputs in (
            (512, 4, False, True, 512, 0), (4096, 4, False, True, 512, 0), (4096, 4, True, True, 512, 0),
            (4096, 4, False, False, 512, 0), (4096, 1, False, True, 2048, 0), (4096, 4, True, False, 2048, 0),
            (4096, 1, False, True, 512, 1), (4096, 1, False, True, 128, 0),
        )
    ]  # fmt: skip
    points = compared(known, wanted, tmp_path)
    _agree(points)
    assert [
        f"{one.label}: {one.ours[2]:.2f} {one.compute}" for one in points if abs(one.ours[2] - one.compute) > 0.05
    ] == []


@pytest.mark.parametrize("name", POINTS)
def test_the_published_points(name: str, tmp_path: Path) -> None:
    known = next(known for known in MODELS if known.name == name)
    wanted = [
        Demand(context, key_type=kind, value_type=kind, flash=flash) for context, kind, flash, *_rest in POINTS[name]
    ]
    for point, (_context, _kind, _flash, weights, kv_cache, compute) in zip(
        compared(known, wanted, tmp_path), POINTS[name], strict=True
    ):
        assert point.ours[:2] == (weights, kv_cache)
        assert point.ours[2] == pytest.approx(compute, rel=0.002)
