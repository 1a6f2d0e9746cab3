"""The engine of this package against ultralab's own conformance suite: what an author of an engine runs.

    python -m pytest tests/plugin_example/engine_contract.py

Needs the package installed beside ultralab; ``tests/acceptance/test_plugins.py`` does both.
"""

from __future__ import annotations

import pytest
from tests.contracts.engine_suite import (
    CharacterSuite,
    EmbeddingSuite,
    EngineCase,
    HostedSuite,
    SamplingSuite,
    ScoringSuite,
)
from ultralab_example.format import FORMAT, MAGIC

from ultralab.engines import engine
from ultralab.engines.base import Ask, LoadOptions
from ultralab.models.bundles import from_path

WORDS = ("one", "two", "three", "four", "five", "six", "春天", "🌫️", "mañana", "Ж")


class TestParrot(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, CharacterSuite):
    """Found by its entry point, like the built-in ones."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        path = tmp_path_factory.mktemp("words") / "ten.words"
        path.write_bytes(MAGIC + "\n".join(WORDS).encode())
        shape = FORMAT.read_header(from_path(path)).shape
        return EngineCase(
            engine("parrot"), path, shape, LoadOptions(context=1024), b"WORDS2\none\ntwo\n", format="words"
        )

    @pytest.fixture(scope="class")
    @classmethod
    def says(cls) -> tuple[Ask, str]:
        return Ask(prompt="one two three four five six", max_tokens=40), " 春天 🌫️ mañana Ж one"
