"""The seam to a framework: :class:`TextModel`. ``serving.scheduler`` drives it, ``serving.http`` speaks to the world.

Standard library only: an interpreter of another environment (PyTorch's) imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ultralab.engines.options import LoadOptions
from ultralab.engines.types import GREEDY, Advance, Capability, Message, Sampling, TokenScore, ToolCall


@dataclass(frozen=True)
class Facts:
    """What a loaded model is: its context per sequence (tokens), sequences at once, its vocabulary, where text ends.

    ``template`` is the chat template's source, empty where it has none. ``version``: the framework and its version.
    ``thinking`` and ``calling`` are the texts that open and close what the model thinks aloud and a tool call; None
    where it has none.
    """

    context: int
    parallel: int
    vocabulary: int
    ends: frozenset[int]
    capabilities: frozenset[Capability]
    template: str = ""
    version: str = ""
    thinking: tuple[str, str] | None = None
    calling: tuple[str, str] | None = None


@dataclass(frozen=True)
class Job:
    """Tokens in, tokens out; the sampler's seed is set (``sampling.seed`` is not None). ``reuse``: a prompt's beginning may come from the cache of earlier requests.

    ``past_end``: go on after an end-of-text token. ``top``: likeliest tokens that each step reports.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = GREEDY
    past_end: bool = False
    reuse: bool = True
    top: int = 0


@dataclass(frozen=True)
class Step:
    """What one step did for one job: prompt tokens read so far (those from the cache, ``cached``, included), and a token.

    ``token`` is None while the prompt is being read. ``top``: (token, log-probability), likeliest first. ``logprob`` and
    ``top`` are those of the model before sampling; ``logprob`` is nan where the framework would pay for it.
    """

    job: int
    read: int
    cached: int
    token: int | None = None
    logprob: float = float("nan")
    top: tuple[tuple[int, float], ...] = ()


class TextModel(Protocol):
    """One loaded model of a framework.

    ``encode``, ``decode`` and ``render`` may be called from any thread, one at a time; everything else is called on the
    one thread that loaded the model. Errors of the framework may come as they are: the server reports their text.
    """

    facts: Facts

    def encode(self, text: str, special: bool) -> list[int]:
        """Tokens of a text; ``special``: with those that the model wants at its start. Special tokens in it are read."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special ones written out; bytes that are no UTF-8 yet become U+FFFD."""

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        """The chat template's prompt, ready for an answer. Raises ValueError: no template, or it refuses.

        Each ``content`` is a text; the ``arguments`` of earlier tool calls are objects, as templates want them.
        """

    def calls(self, text: str, tools: Sequence[Mapping[str, Any]]) -> Sequence[ToolCall]:
        """The tool calls in what stood between the markers ``calling``. Raises ValueError: it is none."""

    def begin(self, number: int, job: Job) -> None:
        """Take a job in. At most ``facts.parallel`` are in at once; its prompt and tokens fit into the context."""

    def step(self) -> Sequence[Step]:
        """Work a little for the jobs that are in: a piece of a prompt, a token for each that has read its prompt.

        Returns within seconds, so that others are heard. The scheduler calls :meth:`end` for who has enough.
        """

    def end(self, number: int) -> None:
        """Let a job go, done or not; its cache may be kept for the next one."""

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """Teacher forcing in pieces: a score for each token but the first. No job is in meanwhile."""

    def embed(self, tokens: Sequence[int]) -> Sequence[float]:
        """The text's vector, of unit length. Raises ValueError: this model gives none."""

    def keep(self, path: Path) -> int:
        """Write the newest cached prompt to a file; its tokens, 0 where there is none."""

    def recall(self, path: Path) -> int:
        """Read a cached prompt; its tokens. Raises ValueError: not of this model."""


Load = Callable[[Path, LoadOptions, Advance], TextModel]
"""How a framework loads: ``MODULE:NAME`` of such a function is what its engine names to ``serving.child``."""
