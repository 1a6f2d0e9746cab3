"""A request's prompt on its way into a cache, piece by piece; its last token begins the generation."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from mlx_lm.models.cache import can_trim_prompt_cache

from ultralab.engines.mlx.kept import Kept
from ultralab.engines.mlx.network import Cache, Network
from ultralab.engines.serving.types import Job, Step


@dataclass
class Reading:
    """``read``: tokens that ``cache`` holds, ``cached`` of them from an earlier request."""

    number: int
    job: Job
    cache: Cache
    cached: int
    read: int

    @property
    def whole(self) -> bool:
        """Whether only the last token is left."""
        return self.read >= len(self.job.prompt) - 1

    @property
    def last(self) -> int:
        """The token that begins the generation."""
        return self.job.prompt[-1]

    @property
    def before(self) -> list[int]:
        """The tokens before that."""
        return list(self.job.prompt[:-1])


def begin(network: Network, kept: Kept, number: int, job: Job) -> Reading:
    """Begin with what is kept of the prompt, if the request allows. Raises ValueError for an empty prompt."""
    if not job.prompt:
        raise ValueError("a prompt needs at least one token")
    cache, cached = kept.borrow(job.prompt) if job.reuse else (None, 0)
    if cache is None:
        cache = network.new_cache()
    return Reading(number, job, cache, cached, cached)


def read_piece(network: Network, kept: Kept, reading: Reading) -> Step:
    """Compute the next piece. A cache that cannot be cut back later is kept at the prompt's end as well.

    (Recurrent layers and windows that are full: the same prompt again would find nothing to begin with.)
    """
    prompt = reading.job.prompt
    end = min(reading.read + network.piece, len(prompt) - 1)
    network.read(prompt[reading.read : end], reading.cache)
    reading.read = end
    if reading.whole and reading.job.reuse and not can_trim_prompt_cache(reading.cache):
        kept.put(reading.before, copy.deepcopy(reading.cache))
    return Step(reading.number, reading.read, reading.cached)


def keep(kept: Kept, job: Job, tokens: list[int], cache: Cache) -> None:
    """Keep the cache of a request that is over, where the request takes part in that."""
    if job.reuse:
        kept.put(tokens, cache)
