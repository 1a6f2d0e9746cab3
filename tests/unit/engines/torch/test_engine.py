"""The PyTorch engine as others see it; none of it needs PyTorch."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hf_maker import hf_llama

from ultralab.engines import engine
from ultralab.engines.options import LoadOptions
from ultralab.engines.torch.engine import ENGINE, Torch
from ultralab.engines.torch.interpreter import NEEDED, look
from ultralab.engines.types import ModelFile
from ultralab.models.bundles import from_path
from ultralab.models.formats.safetensors import FORMAT
from ultralab.settings.schema import EngineSettings


def model_at(path: Path, dtype: str = "F16") -> ModelFile:
    shape = FORMAT.read_header(from_path(hf_llama(path, dtype=dtype))).shape
    return ModelFile(path, "the model", "safetensors", shape)


def test_it_is_registered() -> None:
    assert isinstance(engine("torch"), Torch)


def test_our_own_interpreter_is_asked_without_starting_anything() -> None:
    here, missing = look(""), look("").missing(NEEDED)
    state = ENGINE.availability()
    assert state.ready == (missing == ())
    if missing:
        assert state.reason == f"not installed: {', '.join(missing)}"
        assert "ultralab[torch]" in state.hint
    else:
        assert state.version == f"torch {here.packages['torch']}, transformers {here.packages['transformers']}"
    assert look(sys.executable) == here


def test_another_interpreter_says_the_same_of_itself(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    assert look(str(other)) == look("")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (None, "is not installed"),
        ("echo hello", "is no Python interpreter"),
        ("echo '[]'", "is no Python interpreter"),
        ("exit 3", "is no Python interpreter"),
        ("""echo '{"python": [3, 9], "packages": {}, "transformers": ""}'""", "is Python 3.9, and 3.11 is needed"),
        ("""echo '{"python": [3, 12], "packages": {"torch": "2"}, "transformers": ""}'""", "transformers, safetensors"),
    ],
)
def test_an_interpreter_that_cannot_be_used(tmp_path: Path, program: str | None, words: str) -> None:
    other = tmp_path / "python"
    if program is not None:
        other.write_text(f"#!/bin/sh\n{program}\n")
        other.chmod(0o755)
    state = Torch(python=str(other)).availability()
    assert not state.ready
    assert words in state.reason
    assert "torch_python" in state.hint


def test_the_settings_name_the_interpreter(tmp_path: Path) -> None:
    made = ENGINE.configured(replace(EngineSettings(), torch_python="/elsewhere/python"), "", lambda _name: "")
    assert made.python == "/elsewhere/python"
    model, options = model_at(tmp_path), LoadOptions()
    ours, theirs = (one.start(model, options, "the secret") for one in (ENGINE, made))
    assert ours.argv == (sys.executable, "-m", "ultralab.engines.serving.child")
    assert theirs.argv[0] == "/elsewhere/python"
    assert Path(theirs.argv[-1], "engines", "torch", "model.py").is_file()
    for launch in (ours, theirs):
        assert "the secret" not in " ".join(launch.argv)
        request = json.loads(launch.environment["ULTRALAB_ENGINE_REQUEST"])
        assert request["load"] == "ultralab.engines.torch.model:load"
        assert launch.environment["HF_HUB_OFFLINE"] == "1"


def test_weights_are_planned_as_they_are_stored_or_quantized(tmp_path: Path) -> None:
    half, whole = (model_at(tmp_path / dtype, dtype).shape for dtype in ("F16", "F32"))
    plans = {bits: ENGINE.plan(half, LoadOptions(weight_bits=bits)) for bits in (0, 8, 4)}
    assert plans[0].weights.bytes == half.weight_bytes
    assert plans[4].weights.bytes < plans[8].weights.bytes < plans[0].weights.bytes
    cache = {name: ENGINE.plan(shape, LoadOptions()).kv_cache.bytes for name, shape in (("F16", half), ("F32", whole))}
    assert cache["F32"] == 2 * cache["F16"]
    assert ENGINE.plan(half, LoadOptions(parallel=3)).kv_cache.bytes == 3 * cache["F16"]
