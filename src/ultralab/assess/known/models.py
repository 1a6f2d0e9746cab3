"""The well-known large models: public configurations with their sources, sizes of their quantizations, and their shapes.

Reading costs some milliseconds once per process; everything else is arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from ultralab.assess.known.layers import Layers, active_parameters, cache_of, parameters_of, predicting_parameters
from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import GIB
from ultralab.planner.types import CacheLayers, Experts, ModelShape

MLX_NAMES: Final[Mapping[str, str]] = {
    "deepseek2": "deepseek_v3",
    "deepseek32": "deepseek_v32",
    "glm-dsa": "glm_moe_dsa",
    "glm4moe": "glm4_moe",
    "gpt-oss": "gpt_oss",
    "minimax-m2": "minimax_m2",
    "qwen35moe": "qwen3_5_moe",
    "qwen3moe": "qwen3_moe",
    "qwen3next": "qwen3_next",
}
"""Architectures of GGUF files that are called otherwise in a config.json (``model_type``), which MLX's models keep."""

PUBLISHED: Final = N_("the published size of the files")
ESTIMATED: Final = N_("bits per weight of this quantization in other models × parameters")


@dataclass(frozen=True)
class Bits:
    """Bits per weight that a quantization comes to, over a whole model, and how far off that may be (a part of it)."""

    format: str
    bits: float
    band: float


TYPICAL: Final[Mapping[str, Bits]] = {
    "Q8_0": Bits("gguf", 8.505, 0.01),
    "Q6_K": Bits("gguf", 6.57, 0.01),
    "Q5_K_M": Bits("gguf", 5.67, 0.02),
    "Q4_K_M": Bits("gguf", 4.83, 0.03),
    "IQ4_XS": Bits("gguf", 4.30, 0.04),
    "Q3_K_M": Bits("gguf", 3.83, 0.05),
    "Q2_K": Bits("gguf", 2.93, 0.08),
    "MLX 8-bit": Bits("mlx", 8.5, 0.01),
    "MLX 6-bit": Bits("mlx", 6.5, 0.01),
    "MLX 4-bit": Bits("mlx", 4.5, 0.02),
}
"""From published sizes over the parameters that the configuration gives: DeepSeek-V3 and Mistral Large 2
(huggingface.co/mradermacher/DeepSeek-V3-GGUF, …/Mistral-Large-Instruct-2407-GGUF) and Llama-3.1-8B (llama.cpp
``tools/quantize/README.md``); the band is how far these differ. MLX: bits plus a 16-bit scale and bias per group of 64
(``mlx.core.quantize``); what stays in higher precision is in the band."""

_FALLBACK_BAND: Final = 0.12
"""Rows that are no multiple of 256 cannot be K-quants: such tensors take a larger type (Qwen2.5-72B: 8 % at Q4_K_M)."""


@dataclass(frozen=True)
class KnownQuantization:
    """A size in bytes: ``band`` 0 where it was published, else how far off it may be; ``source`` where it was read.

    ``expert_bits``: bits per weight of the routed experts alone, where they differ from the rest, else 0.
    """

    name: str
    format: str
    bytes: int
    band: float
    basis: str
    source: str
    expert_bits: float = 0.0


@dataclass(frozen=True)
class KnownModel:
    """A public model. ``parameters`` and ``active`` as its maker publishes them; shapes are computed from the layers.

    ``also``: names of models with the same shape. ``files``: for a quantization, the repository whose listing showed it.
    ``trained_bits``: the bits that its weights were trained in, where fewer than 16: more would be no better.
    """

    id: str
    name: str
    also: tuple[str, ...]
    maker: str
    parameters: int
    active: int
    licence: str
    architecture: str
    source: str
    trained_context: int
    layers: Layers
    quantizations: tuple[KnownQuantization, ...]
    files: Mapping[str, str]
    trained_bits: int = 16

    @property
    def computed(self) -> tuple[int, int]:
        """Parameters, and those active on one token, added up from the layers; the published ones where those are not known."""
        if not self.layers.attention:
            return self.parameters, self.active
        return parameters_of(self.layers), active_parameters(self.layers)

    @property
    def cache(self) -> tuple[CacheLayers, ...] | None:
        """What its layers keep; None where that is not known."""
        return cache_of(self.layers)

    def quantization(self, name: str) -> KnownQuantization:
        """A quantization by name, in any case of letters. Raises UnknownChoice."""
        for one in self.quantizations:
            if one.name.casefold() == name.strip().casefold():
                return one
        raise UnknownChoice.among(_("quantization"), name, [one.name for one in self.quantizations])

    def shape(self, quantization: str) -> ModelShape:
        """The shape of its files in that quantization. Raises UnknownChoice."""
        return _shape(self, self.quantization(quantization))


@lru_cache(maxsize=1)
def models() -> tuple[KnownModel, ...]:
    """All of them, the largest first."""
    import yaml

    text = files("ultralab.assess.known").joinpath("models.yaml").read_text(encoding="utf-8")
    found = (_model(entry) for entry in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506
    return tuple(sorted(found, key=lambda model: -model.parameters))


def find(name: str) -> KnownModel:
    """A model by its id, its name or that of one with the same shape. Raises UnknownChoice."""
    wanted = name.strip().casefold()
    for model in models():
        if wanted in (known.casefold() for known in (model.id, model.name, *model.also)):
            return model
    raise UnknownChoice.among(_("model"), name, [model.id for model in models()])


def _model(entry: Mapping[str, Any]) -> KnownModel:
    layers = Layers(
        count=entry["layers"],
        embedding=entry["embedding"],
        feed_forward=entry["feed_forward"],
        vocabulary=entry["vocabulary"],
        attention=tuple(entry["attention"]),
        heads=entry.get("heads"),
        experts=_experts(entry.get("experts")),
        tied=entry.get("tied", False),
        predicting=entry.get("predicting", 0),
    )
    return KnownModel(
        id=entry["id"],
        name=entry["name"],
        also=tuple(entry.get("also", ())),
        maker=entry["maker"],
        parameters=round(entry["parameters"]),
        active=round(entry["active"]),
        licence=entry["licence"],
        architecture=entry["architecture"],
        source=entry["source"],
        trained_context=entry["context"],
        layers=layers,
        quantizations=_quantizations(entry, layers),
        files={name: one["repository"] for one in entry.get("files", ()) for name in one["types"]},
        trained_bits=entry.get("trained_bits", 16),
    )


def _experts(entry: Mapping[str, int] | None) -> Experts | None:
    if entry is None:
        return None
    return Experts(entry["count"], entry["used"], entry["feed_forward"], entry.get("shared", 0), entry["layers"])


def _quantizations(entry: Mapping[str, Any], layers: Layers) -> tuple[KnownQuantization, ...]:
    """Published ones, then estimates of the usual types that were not published; the largest first."""
    found = {}
    for size in entry.get("sizes", ()):
        count = round(size["gb"] * 1e9) if "gb" in size else round(size["gib"] * GIB)
        named = TYPICAL.get(size["type"])
        found[size["type"]] = KnownQuantization(
            size["type"], named.format if named else "gguf", count, 0.0, PUBLISHED, size["source"], size.get("expert_bits", 0.0)
        )  # fmt: skip
    for name in entry.get("estimates", TYPICAL):
        typical = TYPICAL[name]
        if name in found or entry.get("trained_bits", 16) < int(typical.bits):
            continue
        band = _FALLBACK_BAND if name in entry.get("wide_types", ()) else typical.band
        held = parameters_of(layers) if layers.attention else round(entry["parameters"])
        held += _predicting(layers, typical.format)
        found[name] = KnownQuantization(
            name, typical.format, round(held * typical.bits / 8), band, ESTIMATED, entry["source"]
        )
    return tuple(sorted(found.values(), key=lambda one: -one.bytes))


def _predicting(layers: Layers, format_name: str) -> int:
    """Layers that only predict further tokens: GGUF files hold them, what mlx-lm converts does not."""
    return predicting_parameters(layers) if format_name == "gguf" else 0


def _shape(model: KnownModel, stored: KnownQuantization) -> ModelShape:
    layers, experts = model.layers, model.layers.experts
    parameters, active = model.computed
    held = parameters + _predicting(layers, stored.format)
    unloaded = round(stored.bytes * (held - parameters) / held)
    loaded = stored.bytes - unloaded
    lookup = layers.vocabulary * layers.embedding
    read = active if layers.tied else active - lookup  # of a table that is only looked up, one row
    per_token = loaded * read / parameters
    if stored.expert_bits and experts:
        routed = experts.layers * experts.count * 3 * layers.embedding * experts.feed_forward
        used = routed * experts.used / experts.count
        rest = (loaded * 8 - routed * stored.expert_bits) / (parameters - routed)
        per_token = (used * stored.expert_bits + (read - used) * rest) / 8
    plain = stored.format != "gguf"
    first = layers.whole_heads if plain else layers.first_heads
    return ModelShape(
        architecture=MLX_NAMES.get(model.architecture, model.architecture) if plain else model.architecture,
        layers=layers.count,
        embedding=layers.embedding,
        feed_forward=layers.feed_forward,
        heads=first.heads,
        kv_heads=first.kv_heads,
        key_dim=first.key_dim,
        value_dim=first.value_dim,
        vocabulary=layers.vocabulary,
        trained_context=model.trained_context,
        parameters=held,
        weight_bytes=stored.bytes,
        bytes_per_token=round(per_token),
        cache=model.cache,
        experts=experts,
        unloaded_bytes=unloaded,
        lookup_bytes=round(loaded * lookup / parameters),
        active_parameters=active if experts else 0,
    )
