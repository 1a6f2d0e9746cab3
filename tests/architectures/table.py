"""What the planner says and what llama.cpp answers, point by point: a table over models, contexts and KV types."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.models.formats.gguf import summarize
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.planner import Demand, llamacpp_memory
from ultralab.planner.types import MemoryPlan

if TYPE_CHECKING:
    from tests.architectures.base import Known

MIB = 2**20
_COMPUTE = re.compile(r"compute buffer size = +([\d.]+) MiB")


@dataclass(frozen=True)
class Point:
    """One question with both answers, in MiB: weights and KV cache cut off to whole ones, as llama.cpp prints them."""

    model: str
    demand: Demand
    plan: MemoryPlan
    version: str
    weights: int
    kv_cache: int
    compute: float

    @property
    def ours(self) -> tuple[int, int, float]:
        """Weights, KV cache, compute buffer as planned."""
        plan = self.plan
        return plan.weights.bytes // MIB, plan.kv_cache.bytes // MIB, plan.compute.bytes / MIB

    @property
    def exact(self) -> bool:
        """Whether weights and KV cache agree to the MiB."""
        return self.ours[:2] == (self.weights, self.kv_cache)

    @property
    def error(self) -> float:
        """Of the total, as a part of it."""
        total = self.weights + self.kv_cache + self.compute
        return abs(sum(self.ours) - total) / total

    @property
    def label(self) -> str:
        """For a failing test."""
        one = self.demand
        return f"{self.model} {one.context}×{one.sequences} {one.key_type} {'flash' if one.flash else 'plain'} {one.ubatch}"


def demands(contexts: Iterable[int], types: Iterable[str] = ("f16", "q8_0", "q4_0")) -> tuple[Demand, ...]:
    """Every context with every type."""
    kinds = tuple(types)
    return tuple(
        Demand(context, key_type=kind, value_type=kind) for context in dict.fromkeys(contexts) for kind in kinds
    )


def types_of(known: Known) -> tuple[str, ...]:
    """Types of the KV cache; llama.cpp refuses quantized ones where blocks of 32 do not divide a head."""
    heads = known.keys.get("attention.head_count", 0)
    each = max(int(str(one)) for one in (heads if isinstance(heads, list | tuple) else [heads]))
    width = known.keys.get("attention.key_length") or int(str(known.keys["embedding_length"])) // max(1, each)
    return ("f16",) if int(str(width)) % 32 else ("f16", "q8_0", "q4_0")


def compared(known: Known, wanted: Sequence[Demand], folder: Path) -> list[Point]:
    """Ask both. llama.cpp is asked in one child process for all of ``wanted``."""
    path = known.write(folder)
    shape = summarize(read_gguf(path, weights=False)).shape
    if not shape.vocabulary:
        shape = replace(shape, vocabulary=int(str(known.keys["vocab_size"])))
    lines = "\n".join(json.dumps(_question(path, demand)) for demand in wanted)
    done = subprocess.run(
        [sys.executable, "-m", "ultralab.assess.exact.child"], input=lines, capture_output=True, text=True, check=False
    )
    path.unlink()
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(wanted), f"{known.name}: {done.stderr[-500:]}"
    return [
        _point(known.name, demand, llamacpp_memory(shape, demand), answer)
        for demand, answer in zip(wanted, answers, strict=True)
    ]


def _question(path: Path, demand: Demand) -> dict[str, object]:
    return {
        "path": str(path), "context": demand.context * (1 if demand.unified else demand.sequences),
        "sequences": demand.sequences, "unified": demand.unified, "key_type": demand.key_type,
        "value_type": demand.value_type, "flash": demand.flash, "ubatch": demand.ubatch, "outputs": demand.outputs,
    }  # fmt: skip


def _point(name: str, demand: Demand, plan: MemoryPlan, answer: dict[str, object]) -> Point:
    buffers = _COMPUTE.findall(str(answer["log"]))
    assert buffers, f"{name}: {str(answer['log'])[-500:]}"
    weights, kv_cache = int(str(answer["weights_mib"])), int(str(answer["context_mib"]))
    compute = math.fsum(map(float, buffers[-1:]))
    return Point(name, demand, plan, str(answer["version"]), weights, kv_cache, compute)
