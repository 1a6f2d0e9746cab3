"""The seam of an engine: say how to start a model, then talk to it. ``engines.host`` runs what it says.

An engine never starts a process, opens a ledger or writes a file itself. Every implementation, the shipped fake
included, passes ``tests/contracts/engine_suite.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ultralab.planner.types import MemoryPlan, ModelShape

Capability = Literal["chat", "completion", "scoring", "embeddings", "tools", "vision"]


@dataclass(frozen=True)
class Availability:
    """Whether an engine can run here: its version, or why not and what to do about it (translated)."""

    version: str
    reason: str = ""
    hint: str = ""

    @property
    def ready(self) -> bool:
        """True where the engine can be used."""
        return not self.reason


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model. ``context`` in tokens; ``threads`` 0 means one per performance core."""

    context: int = 2048
    threads: int = 0
    seed: int = 42


@dataclass(frozen=True)
class Launch:
    """The program that serves a model. It prints JSON lines on standard output (see ``engines.events``),
    logs to standard error, serves on loopback only, and answers only requests that carry the secret.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """Where a loaded model answers: its address on loopback, its secret."""

    base_url: str
    secret: str


@dataclass(frozen=True)
class Timings:
    """The engine's own account of one generation: token counts, milliseconds, and tokens taken from a cache."""

    cached_tokens: int
    prompt_tokens: int
    prompt_ms: float
    generated_tokens: int
    generated_ms: float

    @property
    def prefill_tok_s(self) -> float:
        """Prompt tokens per second."""
        return 1000 * self.prompt_tokens / self.prompt_ms if self.prompt_ms > 0 else 0.0

    @property
    def decode_tok_s(self) -> float:
        """Generated tokens per second; the first one belongs to the prefill."""
        return 1000 * self.generated_tokens / self.generated_ms if self.generated_ms > 0 else 0.0


@dataclass(frozen=True)
class Generation:
    """One generation as its client saw it: text, seconds from the request to each token, and the engine's timings."""

    text: str
    arrivals: tuple[float, ...]
    timings: Timings


@dataclass(frozen=True)
class TokenScore:
    """One position of a teacher-forced text: the wanted token's log-probability (natural) and the model's favourite."""

    token: int
    logprob: float
    favourite: int


class Client(Protocol):
    """A conversation with one loaded model. Blocking; not for sharing between threads.

    Every method raises EngineDied when the process is gone and EngineFailed when it answers with an error.
    Nothing is retried here.
    """

    def tokenize(self, text: str) -> tuple[int, ...]:
        """The model's tokens for a text, with the special tokens that the model wants at its start."""

    def generate(self, prompt: Sequence[int], count: int, seed: int) -> Generation:
        """Generate exactly ``count`` tokens, greedily, past any end-of-text token, with the prompt cache off."""

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """Teacher forcing: a score for each token but the first, one after the other. Deterministic."""

    def chat(self, messages: Sequence[Mapping[str, str]], max_tokens: int) -> str:
        """One answer to a conversation (OpenAI's messages), greedily."""

    def close(self) -> None:
        """Release the connection; the model stays loaded. Idempotent."""


class Engine(Protocol):
    """One framework. Stateless."""

    name: str
    formats: frozenset[str]
    capabilities: frozenset[Capability]

    def availability(self) -> Availability:
        """Whether it can run here. Cheap (no model), no effects, never raises."""

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """What loading this model so will hold. Pure. Raises Unsupported for a shape nobody can plan yet."""

    def launch(self, model: Path, options: LoadOptions, secret: str) -> Launch:
        """The program to start. Pure. Raises Unsupported."""

    def connect(self, endpoint: Endpoint) -> Client:
        """A client for a model that is ready. No I/O yet."""
