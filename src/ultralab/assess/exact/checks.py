"""Exact mode's own check."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Final

from ultralab.assess.exact import ask
from ultralab.assess.exact.answers import MIB
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _
from ultralab.models.formats.base import Bundle, Item
from ultralab.planner.types import Demand

_UINT32, _FLOAT32, _STRING = 4, 6, 8
_F16: Final = 1
_LAYERS, _EMBEDDING, _INNER, _HEADS, _KV_HEADS, _TOKENS = 4, 1024, 4096, 8, 4, 32_000
_CONTEXT: Final = 8192
_CACHE: Final = 2 * 2 * _LAYERS * _CONTEXT * _KV_HEADS * (_EMBEDDING // _HEADS)
"""Keys and values in f16, every layer."""


def selftest_checks() -> tuple[Check, ...]:
    """llama.cpp answers about a header that is made here, and its cache is what follows from the header."""
    return (Check("assess.exact", N_("llama.cpp can be asked what a model takes"), _asked),)


def _asked() -> Finding:
    try:
        answer = ask(_bundle(), Demand(_CONTEXT))
    except UltralabError as error:
        return Finding("fail", error.message, error.hint)
    weights = sum(2 * _product(sides) if len(sides) > 1 else 4 * sides[0] for sides in _tensors().values())
    said = _("{engine}: weights {weights} MiB, cache {cache} MiB, compute {compute:.2f} MiB in {seconds:.2f} s").format(
        engine=answer.engine,
        weights=answer.weights // MIB,
        cache=answer.kv_cache // MIB,
        compute=answer.compute / MIB,
        seconds=answer.seconds,
    )
    devices = "; ".join(
        f"{one.name} {one.weights // MIB} {one.kv_cache // MIB} {one.compute // MIB}" for one in answer.devices
    )
    right = answer.kv_cache == _CACHE and abs(answer.weights - weights) < 2 * MIB
    return Finding("pass" if right else "fail", f"{said} ({devices})", "" if right else _hint(weights))


def _hint(weights: int) -> str:
    return _("The header means {weights} MiB of weights and {cache} MiB of cache: do not trust --exact here.").format(
        weights=weights // MIB, cache=_CACHE // MIB
    )


def _bundle() -> Bundle:
    content = _header()

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        yield io.BytesIO(content)

    return Bundle("selftest", (Item("selftest.gguf", len(content), "selftest.gguf", opened),))


def _tensors() -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of a small llama (llama.cpp's loader of ``LLM_ARCH_LLAMA``), ggml's order of sides."""
    keys = _EMBEDDING // _HEADS * _KV_HEADS
    layer = {
        "attn_norm": (_EMBEDDING,), "attn_q": (_EMBEDDING, _EMBEDDING), "attn_k": (_EMBEDDING, keys),
        "attn_v": (_EMBEDDING, keys), "attn_output": (_EMBEDDING, _EMBEDDING), "ffn_norm": (_EMBEDDING,),
        "ffn_gate": (_EMBEDDING, _INNER), "ffn_up": (_EMBEDDING, _INNER), "ffn_down": (_INNER, _EMBEDDING),
    }  # fmt: skip
    around = {"token_embd": (_EMBEDDING, _TOKENS), "output_norm": (_EMBEDDING,), "output": (_EMBEDDING, _TOKENS)}
    return {**around, **{f"blk.{at}.{name}": sides for at in range(_LAYERS) for name, sides in layer.items()}}


def _header() -> bytes:
    """A GGUF header, version 3, without a vocabulary (ggml's ``docs/gguf.md``)."""
    entries = [
        _entry("general.architecture", "llama"), _entry("tokenizer.ggml.model", "no_vocab"),
        _entry("llama.block_count", _LAYERS), _entry("llama.context_length", _CONTEXT),
        _entry("llama.embedding_length", _EMBEDDING), _entry("llama.feed_forward_length", _INNER),
        _entry("llama.attention.head_count", _HEADS), _entry("llama.attention.head_count_kv", _KV_HEADS),
        _entry("llama.attention.layer_norm_rms_epsilon", 1e-5), _entry("llama.vocab_size", _TOKENS),
    ]  # fmt: skip
    listed, offset = b"", 0
    for name, sides in _tensors().items():
        kind, size = (_F16, 2 * _product(sides)) if len(sides) > 1 else (0, 4 * sides[0])
        listed += _text(f"{name}.weight") + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, kind, offset)
        offset += size
    content = b"GGUF" + struct.pack("<IQQ", 3, len(_tensors()), len(entries)) + b"".join(entries) + listed
    return content + bytes(-len(content) % 32)


def _entry(key: str, value: str | float) -> bytes:
    match value:
        case str():
            return _text(key) + struct.pack("<I", _STRING) + _text(value)
        case int():
            return _text(key) + struct.pack("<II", _UINT32, value)
        case _:
            return _text(key) + struct.pack("<If", _FLOAT32, value)


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _product(sides: tuple[int, ...]) -> int:
    return sides[0] * sides[1]
