"""An engine without a model: every answer follows from the request alone, at once. For tests, demonstrations of the
interface, and developing what stands above the engines. It serves from a small process, as Python frameworks do.

It accepts any file. A file that starts with ``{`` is read as JSON and may ask for trouble (``engines.fake.trouble``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ultralab import __version__
from ultralab.engines.options import LoadOptions, Takes
from ultralab.engines.serving.launch import launch
from ultralab.engines.types import Availability, Capability, Endpoint, Launch, ModelFile, Refusal
from ultralab.kernel.language import N_
from ultralab.planner.types import Amount, MemoryPlan, ModelShape

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.settings.schema import EngineSettings

_PROCESS_BYTES = 30_000_000  # an interpreter with a small HTTP server


class Fake:
    """The fake engine."""

    name = "fake"
    title = "fake"
    formats: frozenset[str] = frozenset({"gguf"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "scoring", "embeddings", "tools"})
    options: Mapping[str, Takes] = {
        "context": Takes(N_("as given")),
        "threads": Takes(N_("has no effect")),
        "seed": Takes(N_("as given")),
        "parallel": Takes(N_("as given")),
        "batch": Takes(N_("has no effect")),
        "ubatch": Takes(N_("as given")),
        "prompt_cache": Takes(N_("keeps the newest prompt")),
        "chat_template": Takes(N_("as given; its own answers need its own template")),
        "embeddings": Takes(N_("counts of bytes")),
    }

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> Fake:
        """As it is."""
        return self

    def availability(self) -> Availability:
        """Always there."""
        return Availability(f"fake {__version__}")

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """Any file will do."""
        return None

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """Only its own process: no weights are read."""
        basis = N_("the fake engine holds no weights")
        nothing = Amount(0)
        return MemoryPlan(nothing, nothing, nothing, Amount(_PROCESS_BYTES, 0.25, basis), basis)

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch:
        """See ``engines.fake.model``."""
        return launch("ultralab.engines.fake.model:load", model.path, options, secret)

    def connect(self, endpoint: Endpoint) -> Client:
        """It is served as Python frameworks are."""
        from ultralab.engines.clients.served import ServedClient

        return ServedClient(endpoint)


ENGINE = Fake()
