"""Prompts that were read stay in memory for the next request, as far as the planned cache leaves room; and on disk.

mlx-lm's ``LRUPromptCache`` does the like; its search copies lists at every token of a long tail (0.32.2,
``PromptTrie.search``), which takes seconds for long conversations. Here prefixes are compared as arrays.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import can_trim_prompt_cache, load_prompt_cache, save_prompt_cache, trim_prompt_cache

from ultralab.engines.mlx.network import Cache, held_bytes
from ultralab.kernel.language import _
from ultralab.system import files

_save_cache: Callable[..., None] = save_prompt_cache
_load_cache: Callable[..., Any] = load_prompt_cache
_MODEL, _TOKENS = "model", "tokens"  # what a file says besides the cache

Tokens = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True)
class _Entry:
    tokens: Tokens
    cache: Cache

    @property
    def nbytes(self) -> int:
        return held_bytes(self.cache)


class Kept:
    """Caches by the tokens that they hold, the one used last at the end. ``limit``: bytes, those at work included.

    ``identity`` names the model and what its caches depend on; files of another are refused.
    """

    def __init__(self, limit: int, identity: str) -> None:
        self._limit = limit
        self._identity = identity
        self._entries: list[_Entry] = []

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(entry.nbytes for entry in self._entries)

    def borrow(self, prompt: tuple[int, ...]) -> tuple[Cache | None, int]:
        """A copy of the cache with the longest beginning of a prompt, and how many of its tokens that is.

        At least the last token is left to compute. The copy shares its memory with the original until one is changed.
        """
        wanted = np.array(prompt[:-1], np.int32)
        best, most = -1, 0
        for number, entry in enumerate(self._entries):
            alike = _alike(entry.tokens, wanted)
            if alike < len(entry.tokens) and not can_trim_prompt_cache(entry.cache):
                continue
            if alike > most:
                best, most = number, alike
        if best < 0:
            return None, 0
        entry = self._entries.pop(best)
        self._entries.append(entry)
        cache = copy.deepcopy(entry.cache)
        if over := len(entry.tokens) - most:
            trim_prompt_cache(cache, over)
        return cache, most

    def put(self, tokens: list[int], cache: Cache) -> None:
        """Keep a cache that holds exactly these tokens. What is only a beginning of it goes."""
        if not tokens:
            return
        fresh = np.array(tokens, np.int32)
        can_trim = can_trim_prompt_cache(cache)
        self._entries = [
            entry
            for entry in self._entries
            if _alike(entry.tokens, fresh) < len(entry.tokens) or not (can_trim or len(entry.tokens) == len(fresh))
        ]
        self._entries.append(_Entry(fresh, cache))
        self.shrink(0)

    def shrink(self, working: int) -> None:
        """Let the oldest go until the rest and ``working`` bytes keep to the limit."""
        while self._entries and self.nbytes + working > self._limit:
            self._entries.pop(0)

    def save(self, path: Path) -> int:
        """Write the newest to a file; its tokens, 0 where nothing is kept. Raises DiskFull, FileAccess."""
        if not self._entries:
            return 0
        newest = self._entries[-1]
        said = {_MODEL: self._identity, _TOKENS: json.dumps(newest.tokens.tolist())}
        with files.new_file(path, 0o600) as stream:
            _save_cache(stream, newest.cache, said)
        return len(newest.tokens)

    def load(self, path: Path, like: Cache) -> int:
        """Read what :meth:`save` wrote; its tokens. ``like``: the model's empty caches. Raises ValueError."""
        if not path.is_file():
            raise ValueError(_("no prompt is kept under the name {name}").format(name=path.name))
        try:
            with io.FileIO(path) as stream:
                stream.name = "cache.safetensors"  # MLX goes by the ending
                cache, said = _load_cache(stream, return_metadata=True)
                mx.eval([layer.state for layer in cache])
            tokens = [int(one) for one in json.loads(said[_TOKENS])]
        except Exception as error:  # whatever MLX and a stranger's numbers raise
            raise ValueError(
                _("the kept prompt {name} is damaged: {error}").format(name=path.name, error=error)
            ) from error
        if said.get(_MODEL) != self._identity or len(cache) != len(like):
            raise ValueError(
                _("the kept prompt {name} is of another model, or of other options").format(name=path.name)
            )
        self.put(tokens, cache)
        return len(tokens)

    def clear(self) -> None:
        """Let all go."""
        self._entries.clear()


def _alike(left: Tokens, right: Tokens) -> int:
    """How many tokens two texts begin with alike."""
    length = min(len(left), len(right))
    other = np.flatnonzero(left[:length] != right[:length])
    return int(other[0]) if other.size else length
