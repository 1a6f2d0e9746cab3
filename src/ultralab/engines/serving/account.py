"""The timings of one generation."""

from __future__ import annotations

import math

from ultralab.engines.serving.scheduler import Token
from ultralab.engines.types import Timings


class Account:
    """The timings of one generation, from its events."""

    def __init__(self, prompt: int) -> None:
        self._prompt = prompt
        self._begun = math.nan
        self._first = math.nan
        self._last = math.nan
        self._cached = 0
        self.count = 0

    def begin(self, at: float) -> None:
        """It was taken in."""
        self._begun = at

    def add(self, token: Token) -> None:
        """A token came."""
        if not self.count:
            self._first, self._cached = token.at, token.cached
        self._last = token.at
        self.count += 1

    def timings(self) -> Timings:
        """The account so far. Like llama.cpp's, the first token's time belongs to the prompt."""
        if not self.count:
            return Timings(0, self._prompt, 0.0, 0, 0.0)
        prompt_ms, generated_ms = 1000 * (self._first - self._begun), 1000 * (self._last - self._first)
        return Timings(self._cached, self._prompt - self._cached, prompt_ms, self.count, generated_ms)
