"""Weights that stay SafeTensors but are stored smaller than they are: bitsandbytes, compressed-tensors, FP8, MXFP4. Pure.

One tensor tells enough: what is packed is known by its name and type, what unpacks it (scales, tables) is no parameter,
and its bytes count to the type that it unpacks. Sources of the names: transformers' quantizers (``quantizer_bnb_4bit``,
``quantizer_mxfp4``, ``finegrained_fp8``), compressed-tensors' ``compressors``, NVIDIA's ModelOpt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ultralab.models.formats.config import Config
from ultralab.models.formats.packed import WORD
from ultralab.models.formats.safetensors_scan import Tensor
from ultralab.models.formats.tally import Weight

_SCALES: Final = re.compile(
    r"(?:\.|_)(?:weight_scale(?:_inv|_2)?|input_scale|scale_inv|weight_global_scale|input_global_scale)$"
)
_BITSANDBYTES: Final = re.compile(
    r"\.(?:SCB|weight_format|absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w{1,20})$"
)
_COMPRESSED: Final = re.compile(r"\.(?:weight_scale|weight_shape|weight_zero_point|weight_g_idx)$")
_MOST_BITS: Final = 8


@dataclass(frozen=True)
class Storing:
    """How a model's weights are stored: packed tensors' names end with ``packed`` and are of ``kinds``; each of their
    numbers takes ``bits`` and is called ``label``. ``unpacks`` finds what belongs to them.
    """

    label: str
    unpacks: re.Pattern[str]
    packed: str = ""
    kinds: frozenset[str] = frozenset()
    bits: int = 0

    def weights(self, tensors: Iterator[Tensor]) -> Iterator[Weight]:
        """Each weight with its real number of parameters; what unpacks has none."""
        for name, dtype, shape, elements, _start, size in tensors:
            if self.packed and dtype in self.kinds and name.endswith(self.packed):
                plain = name.removesuffix("_packed").removesuffix("_blocks")
                yield Weight(plain, self.label, size * 8 // self.bits, size, matrix=True)
            elif self.unpacks.search(name):
                yield Weight(name, self.label, 0, size, matrix=True)
            else:
                yield Weight(name, dtype, elements, size, len(shape) > 1)


_WORDS: Final = frozenset({"I32", "U32"})
_BYTES: Final = frozenset({"U8", "I8"})


def storing_of(config: Config) -> Storing | None:
    """What ``quantization_config`` says; None for weights stored as they are, or in a way that is not known here."""
    said = config.raw.get("quantization_config") or config.text.get("quantization_config")
    if not isinstance(said, Mapping):
        said = config.raw.get("compression_config")
    if not isinstance(said, Mapping):
        return None
    method = str(said.get("quant_method") or "").lower()
    if method == "bitsandbytes":
        if said.get("load_in_4bit") or said.get("_load_in_4bit"):
            label = "FP4" if said.get("bnb_4bit_quant_type") == "fp4" else "NF4"
            return Storing(label, _BITSANDBYTES, ".weight", _BYTES, 4)
        return Storing("I8", _BITSANDBYTES)
    if method == "mxfp4":
        return Storing("MXFP4", re.compile(r"_scales$"), "_blocks", _BYTES, 4)
    if method in ("compressed-tensors", "modelopt"):
        return _grouped(said, method)
    return Storing("F8_E4M3", _SCALES) if method in ("fp8", "fbgemm_fp8") else None


def _grouped(said: Mapping[str, object], method: str) -> Storing:
    """compressed-tensors and ModelOpt: the format, and the bits of the first group of layers."""
    form = str(said.get("format") or said.get("quant_algo") or "").lower()
    if "nvfp4" in form:
        return Storing("NVFP4", _SCALES, "_packed" if method == "compressed-tensors" else ".weight", _BYTES, 4)
    groups = said.get("config_groups")
    first = (
        next((one for one in groups.values() if isinstance(one, Mapping)), None)
        if isinstance(groups, Mapping)
        else None
    )
    weights = first.get("weights") if first else None
    bits = weights.get("num_bits") if isinstance(weights, Mapping) else None
    if form == "pack-quantized" and type(bits) is int and 1 <= bits <= _MOST_BITS and WORD % bits == 0:
        return Storing(f"INT{bits}", _COMPRESSED, ".weight_packed", _WORDS, bits)
    return Storing(
        "I8" if form.startswith("int") else "F8_E4M3", re.compile(f"{_COMPRESSED.pattern}|{_SCALES.pattern}")
    )
