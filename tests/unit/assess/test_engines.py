"""Which engine is planned for which format."""

from __future__ import annotations

import pytest

from ultralab.assess.engines import BY_FORMAT, MEMORY, engine_for
from ultralab.kernel.errors import UnknownChoice, Unsupported


def test_every_engine_named_can_be_planned_for() -> None:
    assert {engine for able in BY_FORMAT.values() for engine in able} == set(MEMORY)


@pytest.mark.parametrize(
    ("format_name", "wanted", "expected"),
    [
        ("gguf", "", "llamacpp"), ("gguf", "ollama", "ollama"), ("safetensors", "", "mlx"),
        ("safetensors", "torch", "torch"), ("mlx", "", "mlx"), ("gptq", "", "torch"), ("awq", "mlx", "mlx"),
    ],
)  # fmt: skip
def test_the_engine_of_a_format(format_name: str, wanted: str, expected: str) -> None:
    assert engine_for(format_name, wanted) == expected


@pytest.mark.parametrize(
    ("format_name", "wanted"), [("gguf", "mlx"), ("mlx", "torch"), ("pytorch", ""), ("pytorch", "torch"), ("new", "")]
)
def test_an_engine_that_cannot_is_refused_with_those_that_can(format_name: str, wanted: str) -> None:
    with pytest.raises(Unsupported) as caught:
        engine_for(format_name, wanted)
    assert format_name in caught.value.message
    assert all(name in caught.value.hint for name in BY_FORMAT.get(format_name, ()))


def test_an_engine_that_nobody_knows() -> None:
    with pytest.raises(UnknownChoice, match="vllm"):
        engine_for("gguf", "vllm")
