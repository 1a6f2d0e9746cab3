"""A folder that transformers 5 wrote has its rotary positions under one new key, which mlx_lm does not read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.interop.running import running

from ultralab.engines.tiny import PROMPTS, TOKENS, encode, greedy
from ultralab.engines.tiny.reference import answer
from ultralab.engines.tiny.shape import Shape
from ultralab.engines.tiny.weights import weights
from ultralab.models.conversion.rope_settings import with_older_keys

pytestmark = pytest.mark.alone

NEW = {"rope_theta": 50_000.0, "rope_type": "default"}
PROMPT = encode(PROMPTS[1])


@pytest.fixture
def newer(tiny_hf: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "newer"
    shutil.copytree(tiny_hf, folder)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    del config["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": NEW}))
    return folder


def test_transformers_writes_only_the_new_key(tiny_hf: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig

    AutoConfig.from_pretrained(tiny_hf).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_parameters"] == NEW
    assert "rope_theta" not in config


def test_mlx_lm_alone_says_something_else(newer: Path) -> None:
    """If this fails, mlx_lm has learnt the new key, and ``models.conversion.rope_settings`` can go."""
    import mlx.core as mx
    from mlx_lm.utils import load_model

    model: Any = load_model(newer)[0]
    tokens = list(PROMPT)
    for _number in range(TOKENS):
        tokens.append(int(str(mx.argmax(model(mx.array([tokens]))[0, -1]).item())))
    plain = {name: array.astype(float) for name, array in weights().items()}
    assert tuple(tokens[len(PROMPT) :]) == answer(plain, PROMPT, TOKENS, Shape(theta=10_000.0)).tokens
    assert tuple(tokens[len(PROMPT) :]) != greedy(PROMPT).tokens


def test_our_engine_says_what_it_should(newer: Path, tmp_path: Path) -> None:
    with running("mlx", newer, tmp_path) as client:
        assert client.generate(PROMPT, TOKENS, seed=1).tokens == greedy(PROMPT).tokens


@pytest.mark.parametrize(
    ("config", "added"),
    [
        ({}, {}),
        ({"rope_theta": 1.0}, {}),
        ({"rope_parameters": NEW}, {"rope_theta": 50_000.0}),
        ({"rope_parameters": NEW, "rope_theta": 50_000.0}, {}),
        ({"rope_parameters": {**NEW, "partial_rotary_factor": 0.5}},
         {"rope_theta": 50_000.0, "partial_rotary_factor": 0.5}),
        ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0}},
         {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}),
        ({"rope_parameters": {"full_attention": NEW, "sliding_attention": NEW}}, {}),
        ({"text_config": {"hidden_size": 8, "rope_parameters": NEW}},
         {"text_config": {"hidden_size": 8, "rope_parameters": NEW, "rope_theta": 50_000.0}}),
    ],
)  # fmt: skip
def test_what_is_added(config: dict[str, Any], added: dict[str, Any]) -> None:
    assert with_older_keys(config) == added
