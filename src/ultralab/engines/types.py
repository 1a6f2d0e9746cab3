"""What an engine is asked and what it answers: plain values. Standard library only: an engine's process imports this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ultralab.planner.types import ModelShape

Capability = Literal["chat", "completion", "scoring", "embeddings", "tools", "vision"]
"""``scoring``: teacher forcing, the log-probability of each token of a given text."""

Message = Mapping[str, Any]
"""One message of a conversation in OpenAI's form: ``role``, ``content``, ``tool_calls`` …"""


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
class Refusal:
    """Why an engine cannot load a model, and what to do about it (translated)."""

    reason: str
    hint: str = ""


@dataclass(frozen=True)
class ModelFile:
    """A model to load: the file or folder, its name for people, its format, and what its header says.

    ``path`` is empty, and the shape ``NO_SHAPE``, where the model lies with another server, under ``title``.
    """

    path: Path
    title: str
    format: str
    shape: ModelShape


NO_SHAPE: Final = ModelShape("", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""The shape of a model whose header lies with another server."""


@dataclass(frozen=True)
class Launch:
    """The program that serves a model. It prints JSON lines on standard output (see ``engines.events``),
    logs to standard error, serves on loopback only, and answers only requests that carry the secret.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """Where a loaded model answers: its address, its secret, and the name that requests call it by (empty: any)."""

    base_url: str
    secret: str
    model: str = ""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. ``temperature`` 0 takes the likeliest; ``top_k`` 0 and ``top_p`` 1 leave all in.

    ``seed``: None lets the engine choose one. ``repeat_penalty`` 1 is none. Every engine that is ours, and Ollama, draws
    exactly so. An external server is told all that OpenAI's dialect has; of the rest (``top_k``, ``min_p``,
    ``repeat_penalty``) only what is not neutral, so that its own defaults stand where they are.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None


GREEDY = Sampling()


@dataclass(frozen=True)
class Ask:
    """What a client asks for: ``messages`` (a conversation) or, where there are none, ``prompt`` (text to go on with).

    ``max_tokens`` 0: as many as the context holds. ``stop``: the answer ends before any of these texts.
    """

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    max_tokens: int = 0
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model wants called: its name, and its arguments as the model wrote them (JSON text)."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Timings:
    """The account of one generation: token counts, milliseconds, and prompt tokens taken from a cache.

    ``prompt_tokens`` are those that were computed, without ``cached_tokens``. ``prompt_ms`` ends with the first generated
    token, and ``generated_ms`` goes from there to the last one: llama.cpp's server (``tools/server/server-context.cpp``:
    its clock of the generation starts when the first token was drawn), Ollama, which hands on its numbers
    (``llm/llama_server.go``), our own server and what a client sees from outside all have it so. ``by_engine``: the engine
    measured them itself; else they are what the client saw.
    """

    cached_tokens: int
    prompt_tokens: int
    prompt_ms: float
    generated_tokens: int
    generated_ms: float
    by_engine: bool = True

    @property
    def prefill_tok_s(self) -> float:
        """Prompt tokens per second."""
        return 1000 * self.prompt_tokens / self.prompt_ms if self.prompt_ms > 0 else 0.0

    @property
    def decode_tok_s(self) -> float:
        """Generated tokens per second: n tokens have n − 1 times between them. 0 for fewer than two."""
        between = self.generated_tokens - 1
        return 1000 * between / self.generated_ms if between > 0 and self.generated_ms > 0 else 0.0


@dataclass(frozen=True)
class Piece:
    """A part of an answer as it arrives. The last one has ``finish`` (``stop``, ``length``, ``tool_calls``) and timings.

    ``reasoning`` is what the model thought aloud, where the engine tells it from the answer. Tool calls come whole.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = ""
    timings: Timings | None = None


@dataclass(frozen=True)
class Generation:
    """One generation as its client saw it: text, seconds from the request to each token, the engine's timings, tokens."""

    text: str
    arrivals: tuple[float, ...]
    timings: Timings
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class TokenScore:
    """One position of a teacher-forced text: the wanted token's log-probability (natural) and the model's favourite."""

    token: int
    logprob: float
    favourite: int


@dataclass(frozen=True)
class About:
    """What a loaded model says of itself: the tokens of context each sequence has, how many at once, what it can do.

    ``context`` 0 and ``template`` "": the server does not say.
    """

    context: int
    parallel: int
    capabilities: frozenset[Capability]
    template: str = ""


@dataclass(frozen=True)
class Health:
    """A server that answers: requests at work, and seconds since their work last went on (0 where none is at work)."""

    busy: int
    stalled: float


Advance = Callable[[float], None]
"""Told how much of a load is done, 0.0 to 1.0, never going back."""


def capabilities(names: Iterable[str]) -> frozenset[Capability]:
    """The capabilities among ``names``; what is none is left out."""
    known: Sequence[Capability] = ("chat", "completion", "scoring", "embeddings", "tools", "vision")
    given = set(names)
    return frozenset(one for one in known if one in given)
