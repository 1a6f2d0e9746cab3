"""PyTorch against the suite, with the tiny model: in our interpreter, and in another one."""

from __future__ import annotations

import sys
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

from ultralab.engines.base import LoadOptions
from ultralab.engines.host import Loaded
from ultralab.engines.tiny.hf_folder import write_hf
from ultralab.engines.torch.engine import Torch
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.safetensors import FORMAT
from ultralab.system import process

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.alone]

OURS = {
    "apsw",
    "click",
    "rich",
    "pydantic",
    "gguf",
    "mlx",
    "mlx_lm",
    "mlflow",
    "sqlalchemy",
    "tomlkit",
    "xllamacpp",
    "psutil",
    "httpx",
}


def case_of(path: Path, python: str = "") -> EngineCase:
    """The tiny model, to be loaded by an interpreter."""
    return EngineCase(
        Torch(python),
        path,
        FORMAT.read_header(from_path(path)).shape,
        LoadOptions(context=1024, threads=1),
        format="safetensors",
        spoil=lambda folder: damaged_copy(folder, path),
    )


class TestTorch(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite):
    """PyTorch in the interpreter that runs the tests."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        return case_of(write_hf(tmp_path_factory.mktemp("torch") / "model"))

    def test_it_holds_no_more_than_the_plan_says(self, case: EngineCase, running: Loaded) -> None:
        tokens = (running.client.tokenize(TEXT) * 40)[:1000]
        running.client.generate(tokens, 8, seed=1)
        list(running.client.score(tokens))
        plan = case.engine.plan(case.shape, case.options)
        assert running.baseline < running.footprint() < plan.total


def test_another_interpreter_answers_alike(tmp_path: Path) -> None:
    path = write_hf(tmp_path / "model")
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    case = case_of(path, str(other))
    ledger = open_ledger(tmp_path / "ledger", 10 * case.planned)
    answers = []
    for one in (case, case_of(path)):
        with one.load(ledger, tmp_path / "engine.log") as running:
            answers.append(running.client.generate(running.client.tokenize(TEXT), 8, seed=1).tokens)
            assert running.version == one.engine.availability().version
    assert answers[0] == answers[1]


def test_its_process_needs_none_of_our_packages() -> None:
    """Another interpreter has PyTorch and what that brings along."""
    script = (
        "import sys, ultralab.engines.serving.child, ultralab.engines.torch.model\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    imported = set(process.run((sys.executable, "-c", script), timeout=120).stdout.split())
    assert {"torch", "transformers", "ultralab"} <= imported
    assert imported & OURS == set()
