"""Loading a folder with mlx-lm: lazily first, then its bytes in pieces, so that the progress told is real."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache
from mlx_lm.utils import load_adapters, load_model, load_tokenizer

from ultralab.engines.mlx.network import Network
from ultralab.engines.mlx.refusals import folder_of
from ultralab.engines.mlx.words import Words
from ultralab.engines.options import LoadOptions
from ultralab.engines.types import Advance
from ultralab.kernel.language import _
from ultralab.models.conversion.rope_settings import for_mlx

_BUILT = 0.05  # the share of a load that is told when only headers were read
_LEAST_PIECE = 64 * 1024 * 1024
_load_tokenizer: Callable[..., Any] = load_tokenizer
_BITS = {"f16": 0, "q8_0": 8, "q4_0": 4}


@dataclass(frozen=True)
class Files:
    """What a folder became. ``identity`` names the model for files that hold its caches."""

    network: Network
    words: Words
    config: dict[str, Any]
    identity: str


def load(path: Path, options: LoadOptions, advance: Advance) -> Files:
    """Load a model and what its options name. Raises what mlx-lm raises, and ValueError for what does not fit together."""
    folder = folder_of(path)
    model, config = load_model(folder, lazy=True, model_config=for_mlx(folder), trust_remote_code=False)
    for adapter in options.adapters:
        load_adapters(model, str(adapter.path))
        _scale(model, adapter.scale)
    model.eval()
    tokenizer = _tokenizer(folder, config, options.chat_template)
    draft = None
    if options.draft is not None:
        draft = _draft(folder_of(options.draft), model, tokenizer)
    advance(_BUILT)
    _bring(model, draft, lambda share: advance(_BUILT + share * (1 - _BUILT)))
    bits = _BITS[options.key_type]
    network = Network(model, draft, bits, options.ubatch, len(make_prompt_cache(model)), _vocabulary(model))
    return Files(
        network,
        Words(tokenizer),
        config,
        _identity(folder, options, [one for one in (model, draft) if one is not None]),
    )


def _tokenizer(folder: Path, config: dict[str, Any], template: str) -> Any:
    extra: dict[str, Any] = {"trust_remote_code": False}
    if template:
        extra["chat_template"] = template
    return _load_tokenizer(folder, extra, eos_token_ids=config.get("eos_token_id"))


def _draft(folder: Path, model: Any, tokenizer: Any) -> Any:
    draft, config = load_model(folder, lazy=True, model_config=for_mlx(folder), trust_remote_code=False)
    if _tokenizer(folder, config, "").get_vocab() != tokenizer.get_vocab():
        raise ValueError(_("the draft model's vocabulary is another one"))
    for one in (model, draft):
        cache = make_prompt_cache(one)
        if not can_trim_prompt_cache(cache) or not all(hasattr(layer, "offset") for layer in cache):
            raise ValueError(_("this architecture's cache cannot be cut back, which a draft model needs"))
    return draft


def _scale(model: Any, scale: float) -> None:
    """LoRA layers of mlx-lm multiply by ``scale``."""
    for _name, module in model.named_modules():
        if scale != 1.0 and hasattr(module, "lora_a"):
            module.scale = module.scale * scale


def _bring(model: Any, draft: Any, told: Callable[[float], None]) -> None:
    """Compute all weights: MLX reads a file's bytes only now."""
    found: list[Any] = [tree_flatten(one.parameters()) for one in (model, draft) if one is not None]
    arrays: list[mx.array] = [array for one in found for _name, array in one]
    total = sum(array.nbytes for array in arrays)
    done, group, size = 0, list[mx.array](), 0
    for array in arrays:
        group.append(array)
        size += array.nbytes
        if size >= max(_LEAST_PIECE, total // 100):
            mx.eval(group)
            done += size
            told(done / total)
            group, size = [], 0
    mx.eval(group)
    mx.clear_cache()
    told(1.0)


def _vocabulary(model: Any) -> int:
    """The width of the logits. Nothing is computed: MLX knows an array's shape before."""
    return int(model(mx.array([[0]], mx.int32)).shape[-1])


def _identity(folder: Path, options: LoadOptions, models: Sequence[Any]) -> str:
    """A digest of what a cache depends on: the configuration, cache types, and a few numbers of each weight.

    Numbers, not the files' sizes: those of a model that was trained further are the same.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    digest.update(repr([options.key_type, *((str(one.path), one.scale) for one in options.adapters)]).encode())
    for model in models:
        found: Any = tree_flatten(model.parameters())
        weights: list[tuple[str, mx.array]] = [(name, array) for name, array in found if array.size]
        starts = [mx.view(_start(array), mx.uint8) for _name, array in weights]
        mx.eval(starts)
        for (name, array), start in zip(weights, starts, strict=True):
            numbers: Any = start.tolist()
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + bytes(numbers))
    return digest.hexdigest()


def _start(array: mx.array) -> mx.array:
    """The first numbers of its first row; nothing else is copied."""
    return array[(0,) * (array.ndim - 1)][:8] if array.ndim else array[None]
