"""MLX: ``mlx_lm`` loads and computes in a child process (``engines.serving.child`` with ``engines.mlx.model``).

Only SafeTensors are loaded, and never a model's own Python code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ultralab.engines.mlx import installed, refusals
from ultralab.engines.options import LoadOptions, Takes
from ultralab.engines.serving.launch import launch
from ultralab.engines.types import Availability, Capability, Endpoint, Launch, ModelFile, Refusal
from ultralab.kernel.language import N_
from ultralab.planner.mlx import mlx_memory
from ultralab.planner.types import Demand, MemoryPlan, ModelShape

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.settings.schema import EngineSettings

KEPT: Final = "ULTRALAB_MLX_CACHE_BYTES"
"""The variable that tells the child how many bytes all its caches may take, those of earlier prompts included."""

SCORED: Final = 64 * 1024 * 1024
"""Bytes of float32 logits that scoring a text holds at once; ``engines.mlx.scoring`` cuts its pieces by it."""

_WHOLE_NUMBERS: Final = 3.5  # bytes per parameter above which the weights, and so the activations, are float32


class Mlx:
    """The MLX engine."""

    name = "mlx"
    title = "MLX"
    formats: frozenset[str] = frozenset({"mlx", "safetensors", "awq"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "scoring", "embeddings", "tools"})
    options: Mapping[str, Takes] = {
        "context": Takes(N_("a limit for prompt and answer together; memory is taken as they grow")),
        "threads": Takes(N_("has no effect: the GPU computes, and MLX's build for processors uses one thread")),
        "seed": Takes(N_("as given")),
        "parallel": Takes(N_("one batch; not with a quantized cache or a draft model")),
        "key_type": Takes(N_("f16 is the model's own type; values are stored like keys"), ("f16", "q8_0", "q4_0")),
        "value_type": Takes(N_("f16 is the model's own type; values are stored like keys"), ("f16", "q8_0", "q4_0")),
        "ubatch": Takes(N_("mlx-lm's prefill step size")),
        "draft": Takes(N_("an MLX or SafeTensors folder with the same vocabulary")),
        "adapters": Takes(N_("one adapter that mlx-lm trained")),
        "prompt_cache": Takes(N_("as mlx-lm's own prompt cache files")),
        "chat_template": Takes(N_("as given")),
    }

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> Mlx:
        """As it is."""
        return self

    def availability(self) -> Availability:
        """Whether mlx-lm and a backend of MLX are installed; nothing of them is imported."""
        return installed.availability()

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """See ``engines.mlx.refusals``."""
        return refusals.refusal(model, options)

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """What ``planner.mlx`` says, with the logits of a text that is scored.

        Caches of earlier prompts are kept only where the planned cache leaves room, so they need none of their own. A
        draft model is not in it: its shape is not known here, whoever loads one adds its plan.
        """
        element = _element(shape)
        demand = Demand(
            options.context,
            sequences=options.parallel,
            key_type=options.key_type,
            value_type=options.value_type,
            ubatch=options.ubatch,
        )
        plan = mlx_memory(shape, demand, element=element, chunk=options.ubatch, fused=sys.platform == "darwin")
        rows = min(options.ubatch, options.context, max(1, SCORED // (4 * max(1, shape.vocabulary))))
        logits = rows * shape.vocabulary * (4 + 4 + element)  # as computed, in float32, and their exponentials
        return replace(plan, compute=replace(plan.compute, bytes=plan.compute.bytes + logits))

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch:
        """Start ``engines.mlx.model`` in a child. Nothing is asked from a hub, whatever a tokenizer's files say."""
        room = self.plan(model.shape, options).kv_cache.bytes
        environment = {KEPT: str(room), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        return launch("ultralab.engines.mlx.model:load", model.path, options, secret, environment=environment)

    def connect(self, endpoint: Endpoint) -> Client:
        """The dialect of ``engines.serving``."""
        from ultralab.engines.clients.served import ServedClient

        return ServedClient(endpoint)


def _element(shape: ModelShape) -> int:
    """Bytes of an activation: those of the weights where they are stored whole, else 2."""
    return 4 if shape.weight_bytes > _WHOLE_NUMBERS * max(1, shape.parameters) else 2


ENGINE = Mlx()
