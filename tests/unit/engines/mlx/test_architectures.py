"""Caches of other kinds (windows, recurrent states, latents) in both lanes: the same tokens as mlx-lm alone gives."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contracts.test_mlx_memory import config, random_model
from tests.unit.engines.mlx.drive import run, tokens

from ultralab.engines.serving.types import Job, Step

mx = pytest.importorskip("mlx.core")
pytestmark = [pytest.mark.alone, pytest.mark.slow]

PROMPT = tuple(number % 120 for number in range(5, 400))
COUNT = 8


class Lane:
    """A lane of random weights, as :func:`run` drives it."""

    def __init__(self, weights: Any, parallel: int) -> None:
        from mlx_lm.models.cache import make_prompt_cache

        from ultralab.engines.mlx.batch import Batch
        from ultralab.engines.mlx.kept import Kept
        from ultralab.engines.mlx.network import Network
        from ultralab.engines.mlx.single import Single

        network = Network(weights, None, 0, 64, len(make_prompt_cache(weights)), 128)
        lane = (Batch if parallel > 1 else Single)(network, Kept(10**9, "x"))
        self.begin, self.step, self.end = lane.begin, lane.step, lane.end


def alone(weights: Any, prompt: tuple[int, ...]) -> tuple[list[int], list[float]]:
    from mlx_lm.generate import generate_step

    steps: list[Any] = list(generate_step(mx.array(prompt), weights, max_tokens=COUNT, prefill_step_size=64))
    return [int(token) for token, _row in steps], [row[token].item() for token, row in steps]


def said(steps: list[Step]) -> tuple[list[int], Any]:
    return tokens(steps), pytest.approx([step.logprob for step in steps], abs=2e-4)


@pytest.mark.parametrize("name", ["gemma3", "gpt_oss", "deepseek_v3", "mamba2", "qwen3_next", "lfm2", "falcon_h1"])
def test_both_lanes_and_what_is_kept(name: str) -> None:
    weights = random_model(config(name), mx.float32)
    long, short = PROMPT, PROMPT[100:141]
    wanted = [alone(weights, long), alone(weights, short)]
    assert wanted[0] != wanted[1]
    for parallel in (1, 2):
        lane: Any = Lane(weights, parallel)
        jobs = [Job(long, COUNT, top=1), Job(short, COUNT, top=1)]
        found = run(lane, jobs) if parallel > 1 else [run(lane, [job])[0] for job in jobs]
        assert [said(one) for one in found] == wanted
        [again] = run(lane, [jobs[0]])
        assert (said(again), again[0].cached) == (wanted[0], len(long) - 1)
        longer = (*long, *wanted[0][0], 3)
        [more] = run(lane, [Job(longer, COUNT, top=1)])
        assert said(more) == alone(weights, longer)
        assert more[0].cached == len(long) + COUNT
