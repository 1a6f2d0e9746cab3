"""GPTQ directories: ``qweight`` packs along the inputs, ``qzeros`` and ``scales`` per group, ``g_idx`` per input.

For ``in`` inputs, ``out`` outputs and ``bits``: qweight is (in · bits / 32, out), qzeros (groups, out · bits / 32), scales
(groups, out) (AutoGPTQ's and GPTQModel's ``QuantLinear``). Bits may differ per layer (``dynamic``), so the tensors tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, ModelHeader
from ultralab.models.formats.config import read_config
from ultralab.models.formats.directory import kind_of, packing
from ultralab.models.formats.packed import WORD, grouped, joined, misfit, tally_of, whole
from ultralab.models.formats.safetensors_files import read_weights
from ultralab.models.formats.safetensors_scan import Tensor
from ultralab.models.formats.shaped import header_of

BITS: Final = (2, 3, 4, 5, 6, 7, 8)
_WORDS: Final = ("I32", "U32")
_HELPERS: Final = frozenset({"qzeros", "scales", "g_idx"})


class Packed:
    """GPTQ, and AWQ, whose layout differs only in the direction of packing."""

    def __init__(self, name: str, label: str, choices: tuple[int, ...], *, along_outputs: bool) -> None:
        self.name = name
        self._label = label
        self._choices = choices
        self._along_outputs = along_outputs

    def recognises(self, bundle: Bundle) -> bool:
        """Whether the configuration names this method, and the weights are SafeTensors."""
        return kind_of(bundle) == self.name

    def read_header(self, bundle: Bundle) -> ModelHeader:
        """Read every file's header. Raises as :class:`ultralab.models.formats.base.Format` says."""
        config = read_config(bundle)
        said = packing(bundle)
        if self._along_outputs and str(said.get("version") or "gemm").lower() != "gemm":
            raise Unsupported(
                _("{path} is packed in AWQ's version {version}; only gemm can be read.").format(
                    path=bundle.where, version=printable(str(said.get("version")), 40)
                ),
                hint=_("Get the model in the version gemm, or in another format."),
                path=bundle.where,
            )
        bits = whole(bundle, "bits", said.get("bits"), self._choices)
        group = whole(bundle, "group_size", said.get("group"), (-1, *range(1, 65_536)))
        found, items, metadata = read_weights(bundle, grouped)

        def unpacked(layer: str, parts: Mapping[str, Tensor]) -> tuple[str, int] | None:
            own = self._bits(parts)
            if own not in self._choices:
                raise misfit(bundle, layer, bits, group)
            numbers, left = divmod(parts["qweight"].elements * WORD, own)
            if left or not self._fits(parts, numbers):
                raise misfit(bundle, layer, own, group)
            return f"{own}-bit {_group(group)}", numbers

        tally = tally_of(joined(found), "qweight", _HELPERS, unpacked)
        name = f"{self._label} {tally.dominant}" if "-bit" in tally.dominant else tally.dominant
        return header_of(self.name, bundle, config, tally, items, quantization=name, metadata=metadata)

    @staticmethod
    def _bits(parts: Mapping[str, Tensor]) -> int:
        """Bits per weight: a row of zero points has one per output, packed as the weights are; 0 where they do not tell."""
        zeros, scales = parts.get("qzeros"), parts.get("scales")
        if zeros is None or scales is None or parts["qweight"].dtype not in _WORDS or zeros.dtype not in _WORDS:
            return 0
        if len(zeros.shape) != 2 or len(scales.shape) != 2 or not scales.elements or zeros.shape[0] != scales.shape[0]:
            return 0
        bits, left = divmod(zeros.shape[1] * WORD, scales.shape[1])
        return 0 if left else bits

    def _fits(self, parts: Mapping[str, Tensor], numbers: int) -> bool:
        words, outputs = parts["qweight"], parts["scales"].shape[1]
        if len(words.shape) != 2 or numbers % outputs:
            return False
        inputs = numbers // outputs
        order = parts.get("g_idx")
        if order is not None and order.elements not in (0, inputs):
            return False
        return words.shape[0] == inputs if self._along_outputs else words.shape[1] == outputs


def _group(size: int) -> str:
    return "channel" if size == -1 else f"g{size}"


FORMAT: Final = Packed("gptq", "GPTQ", BITS, along_outputs=False)
