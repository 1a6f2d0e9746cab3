"""The facts in a config.json's language part, checked: a hostile file gives no negative or absurd sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.config_layers.defaults import DEFAULTS

MOST_LAYERS: Final = 4_096

LAYERS: Final = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "num_transformer_layers")
HIDDEN: Final = ("hidden_size", "n_embd", "d_model", "model_dim", "dim")
HEADS: Final = ("num_attention_heads", "n_head", "n_heads", "num_query_heads")
KV_HEADS: Final = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv")

_FULL: Final = "full_attention"

T = TypeVar("T")


class Facts:
    """What the language part says, else the whole file, else the architecture's own defaults. Every method may raise
    FileDamaged.
    """

    def __init__(self, raw: Mapping[str, object], text: Mapping[str, object], where: str) -> None:
        self.where = where
        said = text.get("model_type") or raw.get("model_type")
        self.kind = said if isinstance(said, str) else ""
        self._parts = (text, raw) if text is not raw else (raw,)
        self._defaults = DEFAULTS.get(self.kind, {})

    def raw(self, name: str) -> object:
        """What stands under a name, unchecked; null counts as not said, where a default would stand instead."""
        found = next((part[name] for part in self._parts if part.get(name) is not None), None)
        return self._defaults.get(name) if found is None else found

    def number(self, *names: str, default: int = 0) -> int:
        """The first of these that is there (of a list with one per layer the largest), else ``default``."""
        for part in (*self._parts, self._defaults):
            for name in names:
                if (found := part.get(name)) is not None:
                    return max(self._numbers(name, found), default=0)
        return default

    def flag(self, name: str) -> bool:
        """Whether the file says true."""
        return self.raw(name) is True

    def says(self, *beginnings: str) -> bool:
        """Whether a key that begins so has any value but null, 0 and false."""
        return any(key.startswith(beginnings) and bool(value) for key, value in self._parts[0].items())

    @property
    def layers(self) -> int:
        """How many layers. More than any model has is FileDamaged."""
        found = self.number(*LAYERS)
        if found > MOST_LAYERS:
            raise self.damaged(_("{key} is {value!r}").format(key=LAYERS[0], value=found), LAYERS[0])
        return found

    @property
    def heads(self) -> int:
        """Heads that ask, of the layer with most."""
        return self.number(*HEADS)

    @property
    def kv_heads(self) -> int:
        """Heads that keep keys and values, of the layer with most."""
        found = self.number(*KV_HEADS)
        return found or (1 if self.flag("multi_query") else self.heads)

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        heads = self.heads
        return self.number("head_dim") or (self.number(*HIDDEN) // heads if heads else 0)

    def per_layer(self, *names: str, default: int = 0) -> tuple[int, ...]:
        """A number for each layer: a list's, or the one number for all. A list of another length is FileDamaged."""
        for name in names:
            found = self.raw(name)
            if isinstance(found, list):
                return self._of_all_layers(name, self._numbers(name, [one or 0 for one in found]))
        return (self.number(*names, default=default),) * self.layers

    def kinds(self, *names: str) -> tuple[str, ...] | None:
        """Each layer's kind (``layer_types``), None where it is not said. A list of another length is FileDamaged."""
        for name in names or ("layer_types", "layers_block_type"):
            found = self.raw(name)
            if isinstance(found, list) and all(isinstance(one, str) for one in found):
                return self._of_all_layers(name, tuple(_current(str(one)) for one in found))
        return None

    def checked_heads(self) -> None:
        """Raises FileDamaged where heads contradict each other."""
        for asks, keeps in zip(self.per_layer(*HEADS), self.per_layer(*KV_HEADS, default=0), strict=True):
            if asks and keeps > asks:
                raise self.damaged(
                    _("it has {kv_heads} heads with keys and values for {heads} that ask").format(
                        kv_heads=keeps, heads=asks
                    ),
                    KV_HEADS[0],
                )

    def damaged(self, what: str, key: str) -> FileDamaged:
        """The error for numbers that cannot be, or that contradict each other."""
        return FileDamaged(
            _("{path} is damaged: {what}.").format(path=self.where, what=what),
            hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
            path=self.where,
            key=key,
        )

    def _of_all_layers(self, name: str, listed: tuple[T, ...]) -> tuple[T, ...]:
        if len(listed) != self.layers:
            raise self.damaged(
                _("{key} has {count} entries for {layers} layers").format(
                    key=name, count=len(listed), layers=self.layers
                ),
                name,
            )
        return listed

    def _numbers(self, name: str, found: object) -> tuple[int, ...]:
        listed = [one for one in found if one is not None] if isinstance(found, list) else [found]
        numbers = tuple(one for one in listed if type(one) is int and 0 <= one < 2**31)
        if len(numbers) < len(listed):
            raise self.damaged(_("{key} is {value!r}").format(key=name, value=printable(str(found)[:200], 60)), name)
        return numbers


def _current(kind: str) -> str:
    """The kind as transformers spells it since 5.13 (``remap_legacy_layer_types``)."""
    return {"attention": _FULL, "mamba": "linear_attention"}.get(kind, kind)
