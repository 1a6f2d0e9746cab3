"""``serving.types.TextModel`` on mlx-lm. Imported only in the child process; see ``engines.mlx.network`` for what it never does."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from ultralab.engines.mlx import installed, loading, scoring
from ultralab.engines.mlx.batch import Batch
from ultralab.engines.mlx.engine import KEPT
from ultralab.engines.mlx.kept import Kept
from ultralab.engines.mlx.network import merges
from ultralab.engines.mlx.single import Single
from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.types import Facts, Job, Step
from ultralab.engines.types import Advance, Capability, Message, TokenScore, ToolCall
from ultralab.kernel.language import _
from ultralab.system import environ


def load(path: Path, options: LoadOptions, advance: Advance) -> MlxModel:
    """``serving.types.Load``. Raises what mlx-lm raises."""
    try:
        room = int(environ.take(KEPT))
    except (KeyError, ValueError):
        room = 0  # nobody planned for kept prompts, so none are
    return opened(path, options, advance, room)


def opened(path: Path, options: LoadOptions, advance: Advance, room: int) -> MlxModel:
    """A loaded model; all its caches together take at most ``room`` bytes, or what the jobs that are in need."""
    found = loading.load(path, options, advance)
    if options.parallel > 1 and not merges(found.network.new_cache()):
        raise ValueError(_("this architecture's cache cannot serve several requests at once: parallel must be 1"))
    return MlxModel(found, options, Kept(room, found.identity))


class MlxModel:
    """One loaded model. The end of its process gives all memory back; :meth:`unload` does within one."""

    def __init__(self, found: loading.Files, options: LoadOptions, kept: Kept) -> None:
        self._words = found.words
        self._network = found.network
        self._kept = kept
        self._lane: Single | Batch = (Batch if options.parallel > 1 else Single)(found.network, kept)
        self.facts = Facts(
            context=options.context,
            parallel=options.parallel,
            vocabulary=found.network.vocabulary,
            ends=found.words.ends,
            capabilities=_capabilities(found),
            template=found.words.template,
            version=installed.version(),
            thinking=found.words.thinking,
            calling=found.words.calling,
        )

    def encode(self, text: str, special: bool) -> list[int]:
        """Tokens of a text."""
        return self._words.encode(text, special)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        return self._words.decode(tokens)

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        """The chat template's prompt."""
        return self._words.render(messages, tools)

    def calls(self, text: str, tools: Sequence[Mapping[str, Any]]) -> Sequence[ToolCall]:
        """The tool calls in a text."""
        return self._words.calls(text, tools)

    def begin(self, number: int, job: Job) -> None:
        """Take a job in."""
        self._lane.begin(number, job)

    def step(self) -> Sequence[Step]:
        """Work a little for the jobs that are in."""
        return self._lane.step()

    def end(self, number: int) -> None:
        """Let a job go; its cache is kept as far as there is room."""
        self._lane.end(number)

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """Teacher forcing, from an empty cache."""
        return scoring.score(self._network, tokens)

    def embed(self, tokens: Sequence[int]) -> Sequence[float]:
        """The text's vector."""
        if "embeddings" not in self.facts.capabilities:
            raise ValueError(_("this model shows no hidden states to make an embedding of"))
        return scoring.embed(self._network, tokens)

    def keep(self, path: Path) -> int:
        """Write the newest cached prompt to a file."""
        return self._kept.save(path)

    def recall(self, path: Path) -> int:
        """Read a cached prompt."""
        return self._kept.load(path, self._network.new_cache())

    def unload(self) -> None:
        """Give all memory back: arrays go with their last reference, freed buffers when MLX's own cache is cleared."""
        self._kept.clear()
        del self._lane, self._network
        gc.collect()
        mx.clear_cache()


def _capabilities(found: loading.Files) -> frozenset[Capability]:
    able: set[Capability] = {"completion", "scoring"}
    if found.words.can_chat:
        able.add("chat")
    if found.words.can_chat and found.words.calling:
        able.add("tools")
    inner = found.config.get("text_config")
    width = found.config.get("hidden_size", inner.get("hidden_size") if isinstance(inner, dict) else 0)
    if scoring.embeds(found.network, width):
        able.add("embeddings")
    return frozenset(able)
