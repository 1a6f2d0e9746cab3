"""A directory's header from its parts: config.json, the sums over its tensors, tokenizer, what belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, Item, ModelHeader
from ultralab.models.formats.belongings import belongings, foreign_code
from ultralab.models.formats.bounded_json import read_object
from ultralab.models.formats.config import NAME, Config
from ultralab.models.formats.safetensors_types import FLOATS
from ultralab.models.formats.tally import Tally
from ultralab.models.formats.tokenizers import chat_template, tokenizer_kind
from ultralab.planner.types import ModelShape

_KEPT = 200


def header_of(
    name: str, bundle: Bundle, config: Config, tally: Tally, weights: tuple[Item, ...], *,
    quantization: str, metadata: Mapping[str, str],
) -> ModelHeader:  # fmt: skip
    """The header of format ``name``. Raises Unsupported where there are no weights, FileDamaged for a bad small file."""
    if not tally.parameters:
        raise Unsupported(
            _("{path} holds no weights.").format(path=bundle.where),
            hint=_("Give the folder, or the file, with the model's own weights."),
            path=bundle.where,
        )
    _require_width(bundle, config, tally)
    settings = read_object(bundle, "tokenizer_config.json")
    names = tuple(item.name for item in weights)
    return ModelHeader(
        format=name,
        title="",
        licence=printable(metadata.get("license", metadata.get("modelspec.license", "")), 100),
        quantization=quantization,
        bits_per_weight=tally.bits_per_weight,
        tensor_types=dict(sorted(tally.types.items(), key=lambda one: (-one[1], one[0]))),
        shape=model_shape(
            config,
            tally.parameters,
            tally.size,
            tally.bytes_per_token(config.used_share),
            tally.active(config.used_share),
            tally.beside_size,
        ),
        metadata=_scalars(config.raw),
        active_parameters=tally.active(config.used_share),
        experts=config.experts,
        experts_used=config.experts_used,
        dtype=config.dtype or _plain(tally),
        tokenizer=tokenizer_kind(bundle, settings),
        chat_template=chat_template(bundle, settings),
        base_models=_base_models(bundle),
        entry="",
        files=(*names, *(one for one in belongings(bundle) if one not in names)),
        unsafe=foreign_code({NAME: config.raw, "tokenizer_config.json": settings}),
    )


def model_shape(
    config: Config, parameters: int, weight_bytes: int, bytes_per_token: int, active: int = 0, unloaded: int = 0
) -> ModelShape:
    """A model's shape from its configuration and what its tensors sum up to (bytes; ``unloaded`` of them stay away)."""
    return ModelShape(
        architecture=config.architecture,
        layers=config.layers,
        embedding=config.hidden,
        feed_forward=config.intermediate,
        heads=config.heads,
        kv_heads=config.kv_heads,
        key_dim=config.head_dim,
        value_dim=config.value_dim,
        vocabulary=config.vocabulary,
        trained_context=config.context,
        parameters=parameters,
        weight_bytes=weight_bytes,
        bytes_per_token=bytes_per_token,
        cache=config.cache,
        experts=config.routing,
        unloaded_bytes=unloaded,
        active_parameters=0 if active == parameters else active,
    )


def _require_width(bundle: Bundle, config: Config, tally: Tally) -> None:
    """Raises FileDamaged where the embedding is not as wide as the configuration says.

    It has ``vocab_size`` rows; some models pad them, so a row count up to twice as large or small is no contradiction.
    """
    if config.cache is None or tally.embeddings != 1 or not config.hidden or not config.vocabulary:
        return
    rows, rest = divmod(tally.embedding_elements, config.hidden)
    if rest or not config.vocabulary < 2 * rows < 4 * config.vocabulary:
        raise FileDamaged(
            _(
                "{path} is damaged: its embedding has {count} numbers, its configuration says {rows} rows of {width}."
            ).format(path=bundle.where, count=tally.embedding_elements, rows=config.vocabulary, width=config.hidden),
            hint=_("Get config.json again; if it stays so, whoever made it wrote it wrong."),
            path=bundle.where,
            count=tally.embedding_elements,
            width=config.hidden,
        )


def _plain(tally: Tally) -> str:
    plain: Iterable[str] = (kind for kind in tally.types if kind in FLOATS)
    return min(plain, key=lambda kind: (-tally.types[kind], kind), default="")


def _scalars(raw: Mapping[str, object]) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {}
    for key, value in raw.items():
        if len(found) < _KEPT and isinstance(value, str | int | float | bool) and len(str(key)) <= _KEPT:
            found[printable(key)] = printable(value) if isinstance(value, str) else value
    return found


def _base_models(bundle: Bundle) -> tuple[str, ...]:
    """What an adapter says it adapts (PEFT's adapter_config.json); a README's front matter is read above."""
    named = read_object(bundle, "adapter_config.json").get("base_model_name_or_path")
    return (printable(named),) if isinstance(named, str) and named else ()
