"""Headers of models that everybody knows, made from their public configurations: names and shapes, no weights.

A header has no tokenizer (``no_vocab``, which llama.cpp takes), so it stays small. Tensor names and shapes are those of
llama.cpp's ``llama-arch.cpp`` and of its loader for the architecture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.gguf_maker import ARR, BOOL, F32, STR, U32, Tensor, entry, gguf_bytes

Value = int | float | bool | str | Sequence[int] | Sequence[bool]


@dataclass(frozen=True)
class Known:
    """One model: ``keys`` under its architecture (those of ``xielu`` under none), ``source`` the public configuration."""

    name: str
    architecture: str
    keys: Mapping[str, Value]
    tensors: Sequence[Tensor]
    source: str

    def header(self) -> bytes:
        """Everything before the weights."""
        keys = [
            entry("general.architecture", STR, self.architecture),
            entry("general.name", STR, self.name),
            entry("tokenizer.ggml.model", STR, "no_vocab"),
            *(
                _entry(key if key.startswith("xielu.") else f"{self.architecture}.{key}", value)
                for key, value in self.keys.items()
            ),
        ]
        return gguf_bytes(keys, list(self.tensors), with_data=False)

    def write(self, folder: Path) -> Path:
        """A file of the model's full size that takes no disk."""
        path = folder / f"{self.name}.gguf"
        header = self.header()
        with path.open("wb") as stream:
            stream.write(header)
            stream.truncate(len(header) + sum(tensor.size + -tensor.size % 32 for tensor in self.tensors))
        return path


def _entry(key: str, value: Value) -> bytes:
    match value:
        case bool():
            return entry(key, BOOL, value)
        case int():
            return entry(key, U32, value)
        case float():
            return entry(key, F32, value)
        case str():
            return entry(key, STR, value)
        case _:
            kind = BOOL if all(isinstance(one, bool) for one in value) else U32
            return entry(key, ARR, (kind, list(value)))


def tensor(name: str, *sides: int, type: str) -> Tensor:  # noqa: A002 - the field's word
    """A tensor; what has one row stays F32, as converters keep it."""
    return Tensor(f"{name}.weight", sides, type if len(sides) > 1 and math.prod(sides[1:]) > 1 else "F32")
