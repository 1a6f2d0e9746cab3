"""A prompt that llama.cpp read is there again in the next process."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gguf_maker import tiny_llama
from tests.unit.engines.scripted_engine import CALM

from ultralab.engines import engine
from ultralab.engines.host import Request, loaded
from ultralab.engines.options import LoadOptions, PromptCache
from ultralab.engines.types import Ask, ModelFile
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("limit", [10_000_000, 10])
def test_a_prompt_outlives_its_process_within_the_limit(limit: int, tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    model = ModelFile(path, "tiny", "gguf", FORMAT.read_header(from_path(path)).shape)
    options = LoadOptions(context=256, threads=1, prompt_cache=PromptCache(tmp_path / "cache", limit))
    cached: list[int] = []
    for _ in range(2):
        with loaded(
            engine("llamacpp"),
            Request(model, options),
            ledger=open_ledger(tmp_path, 10**12),
            log=tmp_path / "log",
            patience=CALM,
        ) as one:
            last = list(one.client.stream(Ask(prompt="the quick brown fox jumps over the lazy dog", max_tokens=2)))[-1]
            assert last.timings is not None
            cached.append(last.timings.cached_tokens)
    assert cached[0] == 0
    assert (cached[1] > 30) is (limit > 10)
    assert len(list((tmp_path / "cache").iterdir())) == (1 if limit > 10 else 0)
    assert "ultralab: the cached prompt" not in (tmp_path / "log").read_text()
