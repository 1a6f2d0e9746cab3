"""An engine of a third party: its own model on ultralab's serving process, for the words format.

The engine only says things; ``ultralab.engines.host`` starts what it says. What runs in the child is ``model.load``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from ultralab.engines.base import Client
from ultralab.engines.options import LoadOptions, Takes
from ultralab.engines.serving.launch import launch
from ultralab.engines.types import Availability, Capability, Endpoint, Launch, ModelFile, Refusal
from ultralab.planner.types import Amount, MemoryPlan, ModelShape

if TYPE_CHECKING:
    from ultralab.settings.schema import EngineSettings

_PROCESS_BYTES = 30_000_000  # an interpreter with a small HTTP server; a list of words weighs nothing beside it
_LONGEST_CONTEXT = 100_000


class Parrot:
    """Speaks the words of a list, one after the other. Implements ``ultralab.engines.base.Engine``."""

    name = "parrot"
    title = "Parrot"
    formats: frozenset[str] = frozenset({"words"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "scoring", "embeddings"})
    options: Mapping[str, Takes] = {
        "context": Takes("as given, in bytes of text"),
        "parallel": Takes("as given"),
        "seed": Takes("as given"),
    }

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> Parrot:
        """As it is: there is nothing to set."""
        return self

    def availability(self) -> Availability:
        """Wherever this package is."""
        return Availability(f"parrot {version('ultralab-example')}")

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """A parrot's memory is short."""
        if options.context > _LONGEST_CONTEXT:
            return Refusal(f"a parrot remembers at most {_LONGEST_CONTEXT} bytes", "Ask for a smaller context.")
        return None

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """Its process, and the list."""
        nothing = Amount(0)
        rest = Amount(_PROCESS_BYTES, 0.5, "a small Python process")
        return MemoryPlan(Amount(shape.weight_bytes), nothing, nothing, rest, "a list of words is kept as it is")

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch:
        """ultralab's serving process with our own ``load``."""
        return launch("ultralab_example.model:load", model.path, options, secret)

    def connect(self, endpoint: Endpoint) -> Client:
        """The serving process's own dialect."""
        from ultralab.engines.clients.served import ServedClient

        return ServedClient(endpoint)


ENGINE = Parrot()
