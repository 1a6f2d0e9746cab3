"""The whole numbers of a GGUF header, checked: a hostile header gives no negative or absurd sizes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo

MOST_LAYERS: Final = 4_096


class Facts:
    """What stands under ``<architecture>.`` and which tensors there are. Every method may raise FileDamaged."""

    def __init__(self, raw: GgufHeader) -> None:
        self.raw = raw
        self.architecture = printable(str(raw.values["general.architecture"]), 60)

    def need(self, key: str) -> int:
        """A number without which there is no model. Raises Unsupported."""
        if value := self.number(key):
            return value
        raise Unsupported(
            _("{path} does not say its {key}.").format(path=self.raw.path, key=f"{self.architecture}.{key}"),
            hint=_("It is no language model that ultralab can plan for."),
            path=str(self.raw.path),
        )

    def number(self, key: str, default: int = 0) -> int:
        """A number, or the largest of a list with one per layer."""
        full = f"{self.architecture}.{key}"
        return self._checked(full, self.raw.values.get(full, max(self.raw.lists.get(full, ()), default=default)))

    def per_layer(self, key: str, default: int = 0) -> tuple[int, ...]:
        """A number for each layer: a list's, or the one number for all. A list of another length is FileDamaged."""
        full = f"{self.architecture}.{key}"
        listed = self.raw.lists.get(full)
        if listed is None:
            return (self.number(key, default),) * self.layers
        if len(listed) < self.layers:
            raise self.damaged(
                _("{key} has {count} entries for {layers} layers").format(
                    key=full, count=len(listed), layers=self.layers
                ),
                full,
            )
        return tuple(self._checked(full, one) for one in listed[: self.layers])

    def has(self, key: str) -> bool:
        """Whether the header says anything under this key."""
        full = f"{self.architecture}.{key}"
        return full in self.raw.values or full in self.raw.counts

    def mentions(self, *parts: str) -> bool:
        """Whether any key has one of these parts."""
        return any(part in key for key in (*self.raw.values, *self.raw.counts) for part in parts)

    @cached_property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """The tensors by name."""
        return {tensor.name: tensor for tensor in self.raw.tensors}

    @cached_property
    def layers(self) -> int:
        """Layers that generate text: those that only predict several tokens at once (``nextn``) do not count."""
        found = self.need("block_count")
        if found > MOST_LAYERS:
            raise self.damaged(
                _("{key} is {value!r}").format(key=f"{self.architecture}.block_count", value=found), "block_count"
            )
        return max(1, found - self.number("nextn_predict_layers"))

    @property
    def used_share(self) -> float:
        """The part of the experts that one token uses; 1 where nothing is routed."""
        experts, used = self.number("expert_count"), self.number("expert_used_count")
        return min(1.0, used / experts) if experts and used else 1.0

    def require_rows(self, name: str, said: int, key: str) -> None:
        """Raises FileDamaged with both numbers where a matrix that is there has not as many rows as the keys say."""
        tensor = self.tensors.get(name)
        if tensor is None or not tensor.is_matrix:
            return
        found = tensor.elements // max(1, tensor.row)
        if found != said:
            raise self.damaged(
                _("{tensor} has {found} rows, but {key} is {said}").format(
                    tensor=printable(name), found=found, key=key, said=said
                ),
                key,
            )

    def damaged(self, what: str, key: str) -> FileDamaged:
        """The error for numbers that cannot be, or that contradict each other."""
        return FileDamaged(
            _("{path} is damaged: {what}.").format(path=self.raw.path, what=what),
            hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
            path=str(self.raw.path),
            key=key,
        )

    def _checked(self, full: str, found: object) -> int:
        if not isinstance(found, int) or not 0 <= found < 2**31:
            raise self.damaged(_("{key} is {value!r}").format(key=full, value=found), full)
        return int(found)
