"""The scores of every position of the fixed text, where a capsule has them: they say what a difference is worth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ultralab.experiments.types import RunRecord
from ultralab.kernel.errors import UltralabError
from ultralab.system import files


@dataclass(frozen=True)
class Positions:
    """One run's scored tokens and their log-probabilities (natural), position by position."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


def read_scores(folder: Path, runs: Sequence[RunRecord]) -> dict[str, Positions]:
    """The positions of each run, by run id, from ``runs/<id>/scores.jsonl``; runs without a readable file are left out."""
    found = {}
    for run in runs:
        try:
            text = files.read_text(folder / "runs" / run.id / "scores.jsonl")
            lines = [json.loads(line) for line in text.splitlines()]
            positions = Positions(
                tuple(int(token) for token, _logprob, _favourite in lines),
                tuple(float(logprob) for _token, logprob, _favourite in lines),
            )
        except (UltralabError, ValueError, TypeError):
            continue
        if len(positions.tokens) > 1:
            found[run.id] = positions
    return found


def margin(scores: Mapping[str, Positions], run: str, reference: str) -> float | None:
    """Half the 95 % interval of the mean difference in NLL between two runs, paired by position, in nats per token.

    1.96 standard errors of the mean, positions taken as independent. None unless both scored the same tokens.
    """
    mine, other = scores.get(run), scores.get(reference)
    if mine is None or other is None or mine.tokens != other.tokens:
        return None
    differences = [theirs - ours for ours, theirs in zip(mine.logprobs, other.logprobs, strict=True)]
    count = len(differences)
    mean = math.fsum(differences) / count
    variance = math.fsum((difference - mean) ** 2 for difference in differences) / (count - 1)
    error = 1.96 * math.sqrt(variance / count)
    return error if math.isfinite(error) else None


def resolution(tokens: int) -> float:
    """The difference in nats per token below which chance may explain it, over a text of ``tokens`` tokens.

    A rule of thumb for runs without scores per position: two standard errors of a paired difference whose standard
    deviation per token is 0.5 nats, which is on the large side for two quantizations of one model.
    """
    return 1 / math.sqrt(tokens) if tokens > 0 else math.inf
