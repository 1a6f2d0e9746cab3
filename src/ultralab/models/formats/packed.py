"""Weights that several tensors make together: packed integers, their scales, their zero points. Pure.

The sizes follow from the tensors themselves and are checked against what the configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from sys import intern
from typing import Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle
from ultralab.models.formats.safetensors_scan import Tensor
from ultralab.models.formats.tally import Tally, Weight

Layers = Mapping[str, Mapping[str, Tensor]]
"""The tensors of each layer, by the last part of their names."""

WORD: Final = 32


def grouped(tensors: Iterable[Tensor]) -> dict[str, dict[str, Tensor]]:
    """``model.layers.0.mlp.up_proj.scales`` lies under ``model.layers.0.mlp.up_proj``, ``scales``.

    There may be a quarter of a million: the tensors are kept without their names and places.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, dtype, shape, elements, _start, size in tensors:
        layer, _dot, part = name.rpartition(".")
        layers.setdefault(layer, {})[intern(part)] = Tensor("", dtype, shape, elements, 0, size)
    return layers


def joined(files: Iterable[dict[str, dict[str, Tensor]]]) -> Layers:
    """The layers of all files: one layer's tensors may lie in two of them."""
    first, *others = files
    for other in others:
        for layer, parts in other.items():
            first.setdefault(layer, {}).update(parts)
    return first


def tally_of(
    layers: Layers,
    packed_part: str,
    helpers: frozenset[str],
    unpacked: Callable[[str, Mapping[str, Tensor]], tuple[str, int] | None],
) -> Tally:
    """The sums, where a layer's ``packed_part`` stands for the numbers that ``unpacked`` says (type, how many; or None).

    The ``helpers`` of such a layer are no parameters of the model; their bytes count to it.
    """

    def weights() -> Iterator[Weight]:
        for layer, parts in layers.items():
            found = unpacked(layer, parts) if packed_part in parts else None
            if found is not None:
                size = parts[packed_part].size + sum(part.size for name, part in parts.items() if name in helpers)
                yield Weight(f"{layer}.weight", found[0], found[1], size, matrix=True)
            for name, one in parts.items():
                if found is None or (name != packed_part and name not in helpers):
                    yield Weight(
                        f"{layer}.{name}" if layer else name, one.dtype, one.elements, one.size, len(one.shape) > 1
                    )

    return Tally().add(weights())


def whole(bundle: Bundle, what: str, value: object, choices: Iterable[int]) -> int:
    """``value``, if it is one of the ``choices``. Raises FileDamaged."""
    if type(value) is int and value in choices:
        return value
    raise FileDamaged(
        _("{path} is damaged: its quantization says {key} {value!r}.").format(
            path=bundle.where, key=what, value=printable(str(value)[:200], 60)
        ),
        hint=_("Get config.json again; if it stays so, whoever made it wrote it wrong."),
        path=bundle.where,
        key=what,
    )


def misfit(bundle: Bundle, layer: str, bits: int, group: int) -> FileDamaged:
    """The error for a layer whose tensors do not fit together."""
    return FileDamaged(
        _("{path} is damaged: the tensors of {layer} are not {bits} bits in groups of {group}.").format(
            path=bundle.where, layer=printable(layer, 100), bits=bits, group=group
        ),
        hint=_("Get the model again; if it stays so, whoever made it wrote it wrong."),
        path=bundle.where,
        layer=printable(layer, 100),
    )
