"""The next token from a model's logits, with transformers' own processors. Runs in the engine's process only.

All of it happens on the CPU in float32: a vocabulary is small, and the same seed then draws the same on every device.
The order is that of transformers' ``generate``: penalties, temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ultralab.engines.types import Sampling


class Sampler:
    """One job's sampler: its random numbers, and the tokens that its penalties look at."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._generator = torch.Generator("cpu").manual_seed(sampling.seed or 0)
        self._seen = set(prompt)
        self._written: Counter[int] = Counter()
        self._warpers = _warpers(sampling)

    def draw(self, logits: torch.Tensor) -> int:
        """A token. ``logits``: (vocabulary,), float32, on the CPU; they are not changed."""
        scores = self._penalized(logits)
        if self._sampling.temperature <= 0:
            token = int(scores.argmax())
        else:
            warped = self._warpers(torch.empty((1, 0), dtype=torch.long), scores[None])
            chances = torch.softmax(warped, dim=-1)
            token = int(torch.multinomial(chances, 1, generator=self._generator))
        self._seen.add(token)
        self._written[token] += 1
        return token

    def _penalized(self, logits: torch.Tensor) -> torch.Tensor:
        wanted = self._sampling
        if wanted.repeat_penalty != 1 and self._seen:
            seen = torch.tensor([sorted(self._seen)])
            logits = RepetitionPenaltyLogitsProcessor(wanted.repeat_penalty)(seen, logits[None])[0]
        if (wanted.presence_penalty or wanted.frequency_penalty) and self._written:
            # As OpenAI defines them: by what was written, not by the prompt. transformers has neither.
            places = torch.tensor(list(self._written))
            counts = torch.tensor([float(count) for count in self._written.values()])
            logits = logits.clone()
            logits[places] -= wanted.presence_penalty + wanted.frequency_penalty * counts
        return logits


def _warpers(wanted: Sampling) -> Any:
    found = LogitsProcessorList()
    if wanted.temperature > 0 and wanted.temperature != 1:
        found.append(TemperatureLogitsWarper(float(wanted.temperature)))
    if wanted.top_k > 0:
        found.append(TopKLogitsWarper(wanted.top_k))
    if wanted.top_p < 1:
        found.append(TopPLogitsWarper(float(wanted.top_p)))
    if wanted.min_p > 0:
        found.append(MinPLogitsWarper(float(wanted.min_p)))
    return found
