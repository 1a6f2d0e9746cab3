"""What a model remembers of texts it has read: caches of transformers, kept for whoever begins alike, and on disk.

Runs in the engine's process only. On disk a cache is a SafeTensors file, never a pickle.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors
import torch
from safetensors.torch import load_file, save_file
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionCacheLayerMixin

_FORM: Final = "ultralab torch prompt 1"


@dataclass
class Text:
    """Tokens, and the cache that has read all of them."""

    tokens: list[int]
    cache: Any


@dataclass
class Shelf:
    """Caches that nobody is using, the newest last; ``room``: how many there may be besides those in use."""

    config: Any
    idle: list[Text] = field(default_factory=list)

    def take(self, prompt: Sequence[int], *, reuse: bool) -> Text:
        """A cache for a prompt: of what is kept, the one that begins most like it, cut to that; else an empty one.

        At least the prompt's last token is left to be read: its logits are wanted.
        """
        best, most = None, 0
        for text in self.idle if reuse else ():
            usable = _usable(text, prompt)
            if usable > most:
                best, most = text, usable
        if best is None:
            return Text([], DynamicCache(config=self.config))
        self.idle.remove(best)
        if most < len(best.tokens):
            best.cache.crop(most - len(best.tokens))
            del best.tokens[most:]
        return best

    def put(self, text: Text, room: int) -> None:
        """Keep a cache for the next one; the oldest make room."""
        if text.tokens and not in_one_piece(text.cache):
            self.idle.append(text)
        self.shrink(room)

    def shrink(self, room: int) -> None:
        """Let the oldest go until at most ``room`` are kept."""
        del self.idle[: max(0, len(self.idle) - room)]


def forget(text: Text, config: Any) -> None:
    """Make a text empty; what its cache held is given back."""
    text.tokens.clear()
    text.cache = DynamicCache(config=config)


def in_one_piece(cache: Any) -> bool:
    """Whether a text must be read at once: layers with a recurrent state are not made to go on with several tokens."""
    return any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers)


def _holds_something(cache: Any) -> bool:
    """Whether any layer has kept keys, values or a state."""
    return any(
        bool(getattr(layer, "is_initialized", False))
        or (isinstance(layer, LinearAttentionCacheLayerMixin) and any(layer.has_previous_state.values()))
        for layer in cache.layers
    )


def _usable(text: Text, prompt: Sequence[int]) -> int:
    same = 0
    for mine, theirs in zip(text.tokens, prompt[:-1], strict=False):
        if mine != theirs:
            break
        same += 1
    return same if same == len(text.tokens) or _can_be_cut(text.cache) else 0


def _can_be_cut(cache: Any) -> bool:
    """Whether the end of a text can be forgotten: a window that has moved on does not know what was before it."""
    return all(
        layer.is_croppable
        and not (isinstance(layer, DynamicSlidingWindowLayer) and layer.get_seq_length() >= layer.sliding_window)
        for layer in cache.layers
    )


def require_memory(model: Any) -> None:
    """Raise ValueError unless reading a token leaves something in the cache that was handed over.

    A few architectures keep what they have read in a way of their own (RWKV, MiniMax), and would silently
    forget it from one step to the next. Reading a token also shows at once whether the device can compute the model.
    """
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        model(input_ids=ids, use_cache=True, **{cache_name(model): cache})
    if not _holds_something(cache):
        raise ValueError(f"{type(model).__name__} does not keep what it has read in transformers' DynamicCache")


def cache_name(model: Any) -> str:
    """The argument that takes the cache: Mamba's models call it otherwise."""
    known = inspect.signature(model.forward).parameters
    return "cache_params" if "cache_params" in known and "past_key_values" not in known else "past_key_values"


def fingerprint(model: Any) -> str:
    """What tells a loaded model from another one: its configuration, and a few numbers of each of its weights."""
    said = hashlib.sha256(model.config.to_json_string(use_diff=False).encode())
    for name, weight in model.named_parameters():
        start = weight.detach().reshape(-1)[:8].to("cpu").contiguous().view(torch.uint8)
        said.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        said.update(bytes(start.tolist()))
    return said.hexdigest()


def save(path: Path, text: Text, owner: str) -> int:
    """Write a cache to a file, whole or not at all; its tokens. Raises ValueError: this kind of cache cannot be kept."""
    tensors: dict[str, torch.Tensor] = {"tokens": torch.tensor(text.tokens, dtype=torch.int64)}
    lengths = []
    for number, layer in enumerate(text.cache.layers):
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            raise ValueError(f"layer {number} keeps a {type(layer).__name__}, which has no form on disk")
        lengths.append(int(layer.get_seq_length()))
        if layer.is_initialized:
            tensors[f"{number}.keys"] = layer.keys.to("cpu").contiguous()
            tensors[f"{number}.values"] = layer.values.to("cpu").contiguous()
    fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, fresh, {"form": _FORM, "model": owner, "lengths": json.dumps(lengths)})
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return len(text.tokens)


def read(path: Path, config: Any, owner: str, device: Any) -> Text:
    """What :func:`save` wrote. Raises ValueError: it is not of this model, or no such file."""
    try:
        with safetensors.safe_open(path, "pt") as opened:
            said = opened.metadata() or {}
        if said.get("form") != _FORM or said.get("model") != owner:
            raise ValueError("the file was not written by this model")
        tensors = load_file(path, device=str(device))
        lengths = [int(one) for one in json.loads(said["lengths"])]
        tokens = [int(one) for one in tensors["tokens"].tolist()]
        cache = DynamicCache(config=config)
        if len(lengths) != len(cache.layers) or any(length not in (0, len(tokens)) for length in lengths):
            raise ValueError("the file does not fit this model")
        for number, layer in enumerate(cache.layers):
            if lengths[number]:
                layer.update(tensors[f"{number}.keys"], tensors[f"{number}.values"])
                if isinstance(layer, DynamicSlidingWindowLayer):
                    layer.cumulative_length = lengths[number]
    except (OSError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(f"the file cannot be read: {error}") from error
    return Text(tokens, cache)
