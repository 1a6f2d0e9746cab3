"""PyTorch against the suite with a real model: SmolLM2, its numbers unpacked from the GGUF file by a route of the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.engine_suite import (
    EmbeddingSuite,
    EngineCase,
    HostedSuite,
    SamplingSuite,
    ScoringSuite,
    ToolSuite,
    damaged_copy,
)
from tests.interop.smollm2 import write_hf

from ultralab.engines import engine
from ultralab.engines.base import LoadOptions
from ultralab.models.bundles import from_path
from ultralab.models.formats.safetensors import FORMAT

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.alone]

TOOLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for one in messages %}<|im_start|>{{ one.role }}\n{{ one.content }}"
    '{% for call in one.tool_calls or [] %}<tool_call>\n{"name": "{{ call.function.name }}", "arguments": '
    "{{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
"""SmolLM2's own template has no place for tools."""


class TestTorchWithSmolLM2(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite):
    """135 million parameters in float32."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        path = write_hf(smollm2, tmp_path_factory.mktemp("torch") / "smollm2")
        return EngineCase(
            engine("torch"),
            path,
            FORMAT.read_header(from_path(path)).shape,
            LoadOptions(context=512, threads=2, chat_template=TOOLS),
            format="safetensors",
            spoil=lambda folder: damaged_copy(folder, path),
        )
