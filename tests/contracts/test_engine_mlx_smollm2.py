"""MLX against the suite with a real model: SmolLM2, 135 million parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.engine_suite import EmbeddingSuite, EngineCase, HostedSuite, SamplingSuite, ScoringSuite, ToolSuite
from tests.contracts.smollm2_case import smollm2_case

pytestmark = [pytest.mark.slow, pytest.mark.alone]


class TestMlxWithSmolLM2(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite):
    """MLX with SmolLM2."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        return smollm2_case("mlx", smollm2, tmp_path_factory.mktemp("mlx") / "smollm2", threads=1)
