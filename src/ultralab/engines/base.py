"""The seam of an engine: say how to start a model, then talk to it. ``engines.host`` runs what it says.

An engine never starts a process, opens a ledger or writes a file itself. Every implementation, the shipped fake
included, passes ``tests/contracts/engine_suite.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ultralab.engines.options import LoadOptions, Takes
from ultralab.engines.types import (
    About,
    Advance,
    Ask,
    Availability,
    Capability,
    Endpoint,
    Generation,
    Health,
    Launch,
    Message,
    ModelFile,
    Piece,
    Refusal,
    Timings,
    TokenScore,
)
from ultralab.planner.types import MemoryPlan, ModelShape

if TYPE_CHECKING:
    from ultralab.settings.schema import EngineSettings

__all__ = [
    "About",
    "Ask",
    "Attachment",
    "Availability",
    "Capability",
    "Client",
    "Endpoint",
    "Engine",
    "Generation",
    "Health",
    "Launch",
    "LoadOptions",
    "Message",
    "ModelFile",
    "Piece",
    "Refusal",
    "Takes",
    "Timings",
    "TokenScore",
]


class Client(Protocol):
    """A conversation with one loaded model. Blocking; not for sharing between threads.

    Every method raises EngineFailed when it answers with an error (EngineDied from ``engines.host`` when its process is
    gone), and Unsupported for what this engine has no way to do. Nothing is retried here.
    """

    def health(self, timeout: float) -> Health:
        """Whether it answers within ``timeout`` seconds, and goes on with its work. Uses a connection of its own."""

    def about(self) -> About:
        """What the loaded model can do."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        """The model's tokens for a text, with the special tokens that the model wants at its start."""

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens; special ones are written out."""

    def template(self, messages: Sequence[Message]) -> str:
        """The prompt that the chat template makes of a conversation."""

    def generate(self, prompt: Sequence[int], count: int, seed: int) -> Generation:
        """Generate exactly ``count`` tokens, greedily, past any end-of-text token, with the prompt cache off."""

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """Teacher forcing: a score for each token but the first, one after the other. Deterministic."""

    def stream(self, ask: Ask) -> Iterator[Piece]:
        """An answer as it comes; the prompt cache is used. Closing the iterator ends the work in the engine."""

    def chat(self, messages: Sequence[Message], max_tokens: int) -> str:
        """One answer to a conversation, greedily."""

    def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """A vector of unit length for each text."""

    def keep(self, name: str) -> int:
        """Write the cached prompt to the folder of the prompt cache under ``name``; its tokens."""

    def recall(self, name: str) -> int:
        """Read what :meth:`keep` wrote; its tokens."""

    def close(self) -> None:
        """Release the connection; the model stays loaded. Idempotent."""


class Attachment(Protocol):
    """A model in a server that is not ours: no process is started, no memory of ours is taken."""

    def models(self) -> tuple[str, ...]:
        """The names of the models that the server has; nothing is loaded for that. Raises EngineFailed."""

    def open(self, advance: Advance) -> Endpoint:
        """Make the server ready for the model (register it, load it). Raises EngineFailed, NotFound."""

    def footprint(self) -> int:
        """Bytes that the server says it holds for the model; 0 where it does not say."""

    def version(self) -> str:
        """What the server calls itself."""

    def close(self) -> None:
        """Let the model go, as far as the server allows. Idempotent, never raises."""


class Engine(Protocol):
    """One framework. Stateless: what the settings say of it is in the value that :meth:`configured` returns."""

    name: str
    title: str
    formats: frozenset[str]
    capabilities: frozenset[Capability]
    options: Mapping[str, Takes]

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> Engine:
        """The engine as the settings want it. ``which``: what follows the colon in ``external:studio``, else empty.

        ``secret`` reads one from the store, empty where there is none. Raises UnknownChoice (no such ``which``).
        """

    def availability(self) -> Availability:
        """Whether it can run here. Cheap (no model), no effects, never raises."""

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """Why this model cannot be loaded so (its architecture, its options); None where nothing speaks against it.

        Reads at most small files beside the model, no weights. Format and taken options are checked by others.
        """

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """What loading this model so will hold. Pure. Raises Unsupported for a shape nobody can plan yet."""

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch | Attachment:
        """The program to start, or the model in a server that is not ours. Pure. Raises Unsupported."""

    def connect(self, endpoint: Endpoint) -> Client:
        """A client for a model that is ready. No I/O yet."""
