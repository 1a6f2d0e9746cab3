"""Addresses that are not ours against the suite: the servers behind them are real engines, loaded for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.engine_suite import EmbeddingSuite, EngineCase, EngineSuite, SamplingSuite, SecretSuite, ToolSuite
from tests.contracts.suite.streaming import StreamingSuite

from ultralab.engines import engine
from ultralab.engines.base import Ask, LoadOptions
from ultralab.engines.external import External
from ultralab.engines.host import Loaded, Request, loaded
from ultralab.engines.types import NO_SHAPE, ModelFile
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT

pytestmark = pytest.mark.alone


def serving(name: str, path: Path, folder: Path, options: LoadOptions) -> Iterator[Loaded]:
    """A model that somebody else might serve."""
    shape = FORMAT.read_header(from_path(path)).shape if path.suffix == ".gguf" else NO_SHAPE
    request = Request(ModelFile(path, "another's model", "gguf", shape), options)
    with loaded(engine(name), request, ledger=open_ledger(folder, 10**12), log=folder / "log") as running:
        yield running


def case_of(served: Loaded) -> EngineCase:
    """A model of that address, by the name that the address itself gives it."""
    external = External("studio", f"{served.endpoint.base_url}/v1", served.endpoint.secret)
    return EngineCase(external, Path(), NO_SHAPE, LoadOptions(), title="", format="")


class TestExternal(EngineSuite, SecretSuite, EmbeddingSuite, ToolSuite):
    """The fake behind an address."""

    @pytest.fixture(scope="class")
    @classmethod
    def nothing(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("model") / "model"
        path.write_bytes(b"anything")
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls, nothing: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
        yield from serving("fake", nothing, tmp_path_factory.mktemp("served"), LoadOptions(context=1024))

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, served: Loaded) -> EngineCase:
        return case_of(served)

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls, nothing: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
        folder = tmp_path_factory.mktemp("embedder")
        for other in serving("fake", nothing, folder, LoadOptions(embeddings=True)):
            with case_of(other).load(open_ledger(folder, 1), folder / "none.log") as running:
                yield running

    def test_nothing_is_started_and_nothing_ended(self, case: EngineCase, served: Loaded, tmp_path: Path) -> None:
        with case.load(open_ledger(tmp_path, 1), tmp_path / "log") as running:
            assert (running.child, running.pid, running.baseline, running.footprint()) == (None, 0, 0, 0)
        assert served.child is not None
        assert served.child.running()
        assert served.client.health(5).busy == 0


class TestExternalLlamaCpp(StreamingSuite, SamplingSuite):
    """llama.cpp with a real model behind an address."""

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls, smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
        options = LoadOptions(context=1024, threads=1)
        yield from serving("llamacpp", smollm2, tmp_path_factory.mktemp("served"), options)

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, served: Loaded) -> EngineCase:
        return case_of(served)

    def test_the_server_s_own_account_is_used(self, running: Loaded) -> None:
        last = list(running.client.stream(Ask(prompt="The capital of France is", max_tokens=4)))[-1]
        assert last.timings is not None
        assert last.timings.by_engine
