"""llama.cpp by an installed llama-server against the suite; a stand-in that serves with xllamacpp plays the program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.contracts.engine_suite import (
    EmbeddingSuite,
    EngineCase,
    HostedSuite,
    SamplingSuite,
    ScoringSuite,
    ToolSuite,
)
from tests.unit.engines.llamacpp import stand_in
from tests.unit.engines.llamacpp.test_real import TOOLS

from ultralab.engines.llamacpp.engine import LlamaCpp
from ultralab.engines.options import LoadOptions
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT

pytestmark = [pytest.mark.alone, pytest.mark.slow]


class TestLlamaServer(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite):
    """The small real model behind a program of another's."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        program = tmp_path_factory.mktemp("bin") / "llama-server"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in.__file__} "$@"\n')
        program.chmod(0o755)
        return EngineCase(
            LlamaCpp(str(program)),
            smollm2,
            FORMAT.read_header(from_path(smollm2)).shape,
            LoadOptions(context=1024, threads=1, chat_template=TOOLS),  # its own template has no place for tools
            smollm2.read_bytes()[:2_000_000],
        )
