"""A model format: a text file that starts with ``WORDS1`` and has one word a line."""

from __future__ import annotations

from ultralab.kernel.errors import FileDamaged
from ultralab.models.formats.base import Bundle, ModelHeader
from ultralab.planner.types import ModelShape

MAGIC = b"WORDS1\n"
LARGEST = 1_000_000  # bytes; a reader never takes more than it means to hold


class Words:
    """The words format."""

    name = "words"

    def recognises(self, bundle: Bundle) -> bool:
        """Whether the one file starts with the magic line."""
        if len(bundle.items) != 1:
            return False
        with bundle.items[0].open() as stream:
            return stream.read(len(MAGIC)) == MAGIC

    def read_header(self, bundle: Bundle) -> ModelHeader:
        """Count the words. Raises FileDamaged for what is no such file, or too long to be one."""
        item = bundle.items[0]
        with item.open() as stream:
            content = stream.read(LARGEST + 1)
        if not content.startswith(MAGIC) or len(content) > LARGEST:
            raise FileDamaged(f"{item.where}: not a list of words.", path=item.where)
        words = content[len(MAGIC) :].split()
        return ModelHeader(
            format=self.name,
            title=item.name.rpartition(".")[0],
            licence="",
            quantization="TEXT",
            bits_per_weight=8.0,
            tensor_types={"TEXT": len(content)},
            shape=_shape(len(words), len(content)),
            metadata={"words": len(words)},
            entry=item.name,
            files=(item.name,),
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
    )


FORMAT = Words()
