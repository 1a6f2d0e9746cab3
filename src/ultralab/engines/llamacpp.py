"""llama.cpp, embedded: ``xllamacpp`` serves in a child process (``engines.llamacpp_child``)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

from ultralab.engines.base import Availability, Capability, Client, Endpoint, Launch, LoadOptions
from ultralab.kernel.language import _
from ultralab.planner import llamacpp_memory
from ultralab.planner.types import Demand, MemoryPlan, ModelShape


class LlamaCpp:
    """The embedded llama.cpp engine."""

    name = "llamacpp"
    formats: frozenset[str] = frozenset({"gguf"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "scoring"})

    def availability(self) -> Availability:
        """Whether the wheel is installed."""
        if importlib.util.find_spec("xllamacpp") is None:
            return Availability("", _("the package xllamacpp is not installed"), _("Install it: pip install xllamacpp"))
        return Availability(f"xllamacpp {importlib.metadata.version('xllamacpp')}")

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """See ``planner.llamacpp_memory``."""
        return llamacpp_memory(shape, Demand(options.context, outputs=1))

    def launch(self, model: Path, options: LoadOptions, secret: str) -> Launch:
        """The child takes its request from its environment: a secret must not stand on a command line."""
        request = {
            "model": str(model),
            "context": options.context,
            "threads": options.threads,
            "seed": options.seed,
            "secret": secret,
        }
        return Launch(
            argv=(sys.executable, "-m", "ultralab.engines.llamacpp_child"),
            environment={"ULTRALAB_ENGINE_REQUEST": json.dumps(request)},
        )

    def connect(self, endpoint: Endpoint) -> Client:
        """llama.cpp's own server dialect."""
        from ultralab.engines.llamaserver import LlamaServerClient

        return LlamaServerClient(endpoint)


ENGINE = LlamaCpp()
