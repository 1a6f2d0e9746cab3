"""Ollama against the suite, with a server that takes and gives what its documentation says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contracts.engine_suite import EmbeddingSuite, EngineCase, EngineSuite, ToolSuite
from tests.fake_ollama import FakeOllama, fake_ollama
from tests.gguf_maker import tiny_llama

from ultralab.engines.base import LoadOptions
from ultralab.engines.host import Loaded
from ultralab.engines.ollama.engine import Ollama
from ultralab.engines.types import NO_SHAPE

pytestmark = pytest.mark.alone


class TestOllama(EngineSuite, EmbeddingSuite, ToolSuite):
    """A file that is lent to it."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeOllama]:
        with fake_ollama(tmp_path_factory.mktemp("ollama") / "models") as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, server: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        path = tmp_path_factory.mktemp("model") / "tiny.gguf"
        tiny_llama(path)
        return EngineCase(
            Ollama(server.address, (server.folder,)), path, NO_SHAPE, LoadOptions(context=1024, threads=1)
        )

    def test_its_bytes_are_there_once(self, case: EngineCase, server: FakeOllama, running: Loaded) -> None:
        (digest,) = server.blobs
        assert server.blob(f"sha256-{digest}").samefile(case.path)
        assert running.footprint() == case.path.stat().st_size

    def test_it_is_loaded_once_for_all_requests(self, server: FakeOllama, running: Loaded) -> None:
        running.client.chat([{"role": "user", "content": "Hi"}], 2)
        before = server.loads
        running.client.chat([{"role": "user", "content": "Hi"}], 2)
        assert server.loads == before
