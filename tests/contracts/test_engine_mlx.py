"""MLX against the suite, with a tiny random model: MLX's build for processors is slow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.contracts.engine_suite import (
    TEXT,
    EmbeddingSuite,
    EngineCase,
    HostedSuite,
    SamplingSuite,
    ScoringSuite,
    ToolSuite,
    damaged_copy,
)
from tests.hf_maker import VOCABULARY, hf_llama, llama_weights

from ultralab.engines import engine
from ultralab.engines.base import LoadOptions
from ultralab.engines.host import Loaded
from ultralab.models.bundles import from_path
from ultralab.models.formats.safetensors import FORMAT

pytest.importorskip("mlx.core")
pytestmark = pytest.mark.alone

TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for one in messages %}<s>{{ one.role }}: {{ one.content }}"
    "{% for call in one.tool_calls or [] %}{% set tool_call = call.function %}"
    "<tool_call>{{ tool_call.name }} {{ tool_call.arguments | tojson }}</tool_call>{% endfor %}\n{% endfor %}assistant:"
)


def speaking_llama(path: Path) -> Path:
    """A random llama that says plain text: its output matrix has nothing for what is no ASCII word."""
    hf_llama(path)
    words = json.loads((path / "tokenizer.json").read_text())["model"]["vocab"]
    plain = {
        token for word, token in words.items() if word.replace("Ġ", "").isalnum() and word.replace("Ġ", "").isascii()
    }
    weights = llama_weights(1)
    weights["lm_head.weight"][[token for token in range(VOCABULARY) if token not in plain]] = 0
    return hf_llama(path, weights=weights)


class TestMlx(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite):
    """MLX with a tiny llama in SafeTensors."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        path = speaking_llama(tmp_path_factory.mktemp("mlx") / "model")
        settings = json.loads((path / "tokenizer_config.json").read_text())
        (path / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATE}))
        return EngineCase(
            engine("mlx"),
            path,
            FORMAT.read_header(from_path(path)).shape,
            LoadOptions(context=1024, threads=1),
            format="safetensors",
            spoil=lambda folder: damaged_copy(folder, path),
            prompt="The quick brown fox",
        )

    def test_it_weighs_what_the_plan_says(self, case: EngineCase, running: Loaded) -> None:
        tokens = (running.client.tokenize(TEXT) * 40)[:1000]
        running.client.generate(tokens, 8, seed=1)
        list(running.client.score(tokens))
        assert running.footprint() == pytest.approx(case.planned, rel=0.2)
