"""All models of this folder, and their shapes as the header reader gives them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.architectures import dense, latent, mixtures, more, recurrent, shapes, windows

from ultralab.models.formats.gguf import summarize
from ultralab.models.formats.gguf_reader import read_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.architectures.base import Known

    from ultralab.planner.types import ModelShape

PUBLIC: tuple[Known, ...] = tuple(
    known for module in (dense, windows, mixtures, latent, recurrent, more) for known in module.MODELS
)
MODELS: tuple[Known, ...] = (*PUBLIC, *shapes.MODELS)


def shape_of(known: Known, folder: Path) -> ModelShape:
    """What the planner is given; a header without a tokenizer says its vocabulary in a key."""
    path = folder / "header.gguf"
    path.write_bytes(known.header())
    shape = summarize(read_gguf(path, weights=False)).shape
    return shape if shape.vocabulary else replace(shape, vocabulary=int(str(known.keys["vocab_size"])))
