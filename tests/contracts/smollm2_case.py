"""SmolLM2 for engines that take no GGUF, its numbers unpacked from the file by a route of the tests' own."""

from __future__ import annotations

from pathlib import Path

from tests.contracts.engine_suite import EngineCase, damaged_copy
from tests.interop.smollm2 import write_hf

from ultralab.engines import engine
from ultralab.engines.base import LoadOptions
from ultralab.models.bundles import from_path
from ultralab.models.formats.safetensors import FORMAT

TOOLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for one in messages %}<|im_start|>{{ one.role }}\n{{ one.content }}"
    "{% for call in one.tool_calls or [] %}{% set tool_call = call.function %}<tool_call>\n"
    '{"name": "{{ tool_call.name }}", "arguments": {{ tool_call.arguments | tojson }}}\n</tool_call>{% endfor %}'
    "<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
"""SmolLM2's own template has no place for tools."""


def smollm2_case(name: str, source: Path, folder: Path, threads: int) -> EngineCase:
    """The model in SafeTensors for an engine; ``source``: the GGUF file."""
    path = write_hf(source, folder)
    return EngineCase(
        engine(name),
        path,
        FORMAT.read_header(from_path(path)).shape,
        LoadOptions(context=512, threads=threads, chat_template=TOOLS),
        format="safetensors",
        spoil=lambda bad: damaged_copy(bad, path),
    )
