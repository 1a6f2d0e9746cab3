"""SafeTensors that hold weights as they are: one file, several, or sharded with an index."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Final

from ultralab.models.formats.base import Bundle, ModelHeader
from ultralab.models.formats.config import read_config
from ultralab.models.formats.directory import kind_of
from ultralab.models.formats.safetensors_files import read_weights
from ultralab.models.formats.safetensors_scan import Tensor
from ultralab.models.formats.shaped import header_of
from ultralab.models.formats.stored import storing_of
from ultralab.models.formats.tally import Tally, Weight


class SafeTensors:
    """Hugging Face's format; whatever no more special format recognises."""

    name = "safetensors"

    def recognises(self, bundle: Bundle) -> bool:
        """Whether a file begins as SafeTensors do, and its weights are neither MLX's nor GPTQ's nor AWQ's."""
        return kind_of(bundle) == "safetensors"

    def read_header(self, bundle: Bundle) -> ModelHeader:
        """Read every file's header. Raises as :class:`ultralab.models.formats.base.Format` says."""
        config = read_config(bundle)
        storing = storing_of(config)
        weights = storing.weights if storing else _plain

        def count(tensors: Iterator[Tensor]) -> Tally:
            return Tally(beside=config.predicting).add(weights(tensors))

        tallies, items, metadata = read_weights(bundle, count)
        tally = reduce(Tally.join, tallies)
        return header_of(
            self.name, bundle, config, tally, items, quantization=tally.dominant, metadata=metadata
        )  # fmt: skip


def _plain(tensors: Iterator[Tensor]) -> Iterator[Weight]:
    return (Weight(name, dtype, elements, size, len(shape) > 1) for name, dtype, shape, elements, _, size in tensors)


FORMAT: Final = SafeTensors()
