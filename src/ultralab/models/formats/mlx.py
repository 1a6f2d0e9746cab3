"""Models as mlx-lm writes them: SafeTensors whose quantized matrices are 32-bit words with scales beside them.

Of a layer with ``bits`` and ``group_size``, ``weight`` (U32) has ``inputs · bits / 32`` columns and ``scales`` has
``inputs / group_size``; ``biases`` too in mode ``affine`` (MLX's ``mx.quantize``; mlx_lm ``quantize_model``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ultralab.models.formats.base import Bundle, ModelHeader
from ultralab.models.formats.config import read_config
from ultralab.models.formats.directory import kind_of, packing
from ultralab.models.formats.packed import WORD, grouped, joined, misfit, tally_of, whole
from ultralab.models.formats.safetensors_files import read_weights
from ultralab.models.formats.safetensors_scan import Tensor
from ultralab.models.formats.shaped import header_of

BITS: Final = (2, 3, 4, 5, 6, 8)
GROUPS: Final = (16, 32, 64, 128)
_HELPERS: Final = frozenset({"scales", "biases"})


class Mlx:
    """Apple's MLX, quantized or not."""

    name = "mlx"

    def recognises(self, bundle: Bundle) -> bool:
        """Whether config.json tells MLX's quantization, or the weights say that MLX wrote them."""
        return kind_of(bundle) == "mlx"

    def read_header(self, bundle: Bundle) -> ModelHeader:
        """Read every file's header. Raises as :class:`ultralab.models.formats.base.Format` says."""
        config = read_config(bundle)
        said = packing(bundle)
        found, items, metadata = read_weights(bundle, grouped)
        overrides = said.get("layers")
        layers = overrides if isinstance(overrides, Mapping) else {}

        def unpacked(layer: str, parts: Mapping[str, Tensor]) -> tuple[str, int] | None:
            if parts["weight"].dtype != "U32" or "scales" not in parts:
                return None
            own = layers.get(layer)
            return _layer(bundle, layer, parts, own if isinstance(own, Mapping) else said)

        tally = tally_of(joined(found), "weight", _HELPERS, unpacked)
        name = f"MLX {tally.dominant}" if "-bit" in tally.dominant else tally.dominant
        return header_of(self.name, bundle, config, tally, items, quantization=name, metadata=metadata)


def _layer(bundle: Bundle, layer: str, parts: Mapping[str, Tensor], said: Mapping[str, object]) -> tuple[str, int]:
    """How a layer is packed and how many numbers it has. Raises FileDamaged where its tensors do not fit that."""
    bits = whole(bundle, "bits", said.get("bits"), BITS)
    group = whole(bundle, "group_size", said.get("group_size", said.get("group")), GROUPS)
    words, scales = parts["weight"], parts["scales"]
    elements = scales.elements * group
    if words.elements * WORD != elements * bits or words.shape[:-1] != scales.shape[:-1]:
        raise misfit(bundle, layer, bits, group)
    mode = said.get("mode")
    kind = f"{bits}-bit g{group}"
    return (f"{kind} {mode}" if isinstance(mode, str) and mode in ("mxfp4", "nvfp4", "mxfp8") else kind), elements


FORMAT: Final = Mlx()
