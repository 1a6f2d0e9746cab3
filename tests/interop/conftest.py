"""The two models of the interoperability tests in all their formats, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop import smollm2 as routes

from ultralab.engines.tiny import write_gguf, write_hf


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_hf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hf(tmp_path_factory.mktemp("tiny") / "hf")


@pytest.fixture(scope="session")
def smol_gguf(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 in F16."""
    return routes.write_f16_gguf(smollm2, tmp_path_factory.mktemp("smol") / "smollm2.f16.gguf")


@pytest.fixture(scope="session")
def smol_hf(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same numbers as a folder."""
    return routes.write_hf(smollm2, tmp_path_factory.mktemp("smol") / "hf")
