"""A model format: a text file that starts with ``WORDS1`` and has one word a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultralab.kernel.errors import FileDamaged
from ultralab.models.formats.base import ModelHeader
from ultralab.planner.types import ModelShape

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"WORDS1\n"
LARGEST = 1_000_000  # bytes; a reader never takes more than it means to hold


class Words:
    """The words format."""

    name = "words"

    def recognises(self, path: Path) -> bool:
        """Whether the file starts with the magic line."""
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC

    def read_header(self, path: Path) -> ModelHeader:
        """Count the words. Raises FileDamaged for what is no such file, or too long to be one."""
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        if not content.startswith(MAGIC) or len(content) > LARGEST:
            raise FileDamaged(f"{path}: not a list of words.", path=str(path))
        words = content[len(MAGIC) :].split()
        return ModelHeader(
            format=self.name,
            title=path.stem,
            licence="",
            quantization="TEXT",
            bits_per_weight=8.0,
            tensor_types={"TEXT": len(content)},
            shape=_shape(len(words), len(content)),
            metadata={"words": len(words)},
        )


def _shape(words: int, size: int) -> ModelShape:
    return ModelShape(
        architecture="words",
        layers=1,
        embedding=1,
        feed_forward=1,
        heads=1,
        kv_heads=1,
        key_dim=1,
        value_dim=1,
        vocabulary=words,
        trained_context=1,
        parameters=words,
        weight_bytes=size,
        bytes_per_token=size,
        attention="unknown",
    )


FORMAT = Words()
