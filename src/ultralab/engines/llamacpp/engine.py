"""llama.cpp, embedded: ``xllamacpp`` serves in a child process (``engines.llamacpp.child``)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ultralab.engines.options import LoadOptions, Takes, to_json
from ultralab.engines.types import Availability, Capability, Endpoint, Launch, ModelFile, Refusal
from ultralab.kernel.language import N_, _
from ultralab.planner import llamacpp_memory
from ultralab.planner.types import Demand, MemoryPlan, ModelShape

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.settings.schema import EngineSettings


class LlamaCpp:
    """The llama.cpp engine."""

    name = "llamacpp"
    title = "llama.cpp"
    formats: frozenset[str] = frozenset({"gguf"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "scoring"})
    options: Mapping[str, Takes] = {
        "context": Takes(N_("as given")),
        "threads": Takes(N_("as given")),
        "seed": Takes(N_("as given")),
    }

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> LlamaCpp:
        """As it is."""
        return self

    def availability(self) -> Availability:
        """Whether the wheel is installed."""
        if importlib.util.find_spec("xllamacpp") is None:
            return Availability("", _("the package xllamacpp is not installed"), _("Install it: pip install xllamacpp"))
        return Availability(f"xllamacpp {importlib.metadata.version('xllamacpp')}")

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """Nothing is known to speak against a GGUF file."""
        return None

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """See ``planner.llamacpp_memory``."""
        return llamacpp_memory(shape, Demand(options.context, outputs=1))

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch:
        """The child takes its request from its environment: a secret must not stand on a command line."""
        request = {"model": str(model.path), "options": json.loads(to_json(options)), "secret": secret}
        return Launch(
            argv=(sys.executable, "-m", "ultralab.engines.llamacpp.child"),
            environment={"ULTRALAB_ENGINE_REQUEST": json.dumps(request)},
        )

    def connect(self, endpoint: Endpoint) -> Client:
        """llama.cpp's own server dialect."""
        from ultralab.engines.clients.llamaserver import LlamaServerClient

        return LlamaServerClient(endpoint)


ENGINE = LlamaCpp()
