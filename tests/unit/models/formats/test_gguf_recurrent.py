"""What models with recurrent layers keep, from headers of their public configurations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.architectures.recurrent import MODELS

from ultralab.kernel.errors import FileDamaged
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.types import AttentionLayers, CacheLayers, Demand, ModelShape, RecurrentLayers

if TYPE_CHECKING:
    from tests.architectures.base import Value

NAMED = {known.name: known for known in MODELS}
LAYERS: dict[str, tuple[CacheLayers, ...]] = {
    "Qwen3-Next-80B-A3B-Q8_0": (
        AttentionLayers(12, 16, 2, 256, 256), RecurrentLayers(36, 3 * (4096 + 2 * 16 * 128), 128 * 4096, 4096, 16, 32),
    ),
    "Qwen3.6-27B-Q8_0": (
        AttentionLayers(16, 24, 4, 256, 256), RecurrentLayers(48, 3 * (6144 + 2 * 16 * 128), 128 * 6144, 6144, 16, 48),
    ),
    "Qwen3.5-35B-A3B-Q8_0": (
        AttentionLayers(10, 16, 2, 256, 256), RecurrentLayers(30, 3 * (4096 + 2 * 16 * 128), 128 * 4096, 4096, 16, 32),
    ),
    "Granite-4.0-H-Small-Q8_0": (
        AttentionLayers(4, 32, 8, 128, 128), RecurrentLayers(36, 3 * (8192 + 2 * 128), 128 * 8192, 8192, 1, 128),
    ),
    "Granite-4.0-H-Tiny-Q8_0": (
        AttentionLayers(4, 12, 4, 128, 128), RecurrentLayers(36, 3 * (3072 + 2 * 128), 128 * 3072, 3072, 1, 48),
    ),
    "Granite-4.0-H-Micro-Q8_0": (
        AttentionLayers(4, 32, 8, 64, 64), RecurrentLayers(36, 3 * (4096 + 2 * 128), 128 * 4096, 4096, 1, 64),
    ),
    "Mamba-2.8B-F16": (RecurrentLayers(64, 3 * 5120, 16 * 5120, 5120),),
    "Mamba-Codestral-7B-Q8_0": (RecurrentLayers(64, 3 * (8192 + 2 * 8 * 128), 128 * 8192, 8192, 8, 128),),
    "Jamba-1.5-Mini-Q8_0": (AttentionLayers(4, 32, 8, 128, 128), RecurrentLayers(28, 3 * 8192, 16 * 8192, 8192)),
    "Falcon-H1-34B-Q8_0": (
        AttentionLayers(72, 20, 4, 128, 128), RecurrentLayers(72, 3 * (4096 + 2 * 2 * 256), 256 * 4096, 4096, 2, 32),
    ),
    "Nemotron-Nano-9B-v2-Q8_0": (
        AttentionLayers(4, 40, 8, 128, 128), RecurrentLayers(27, 3 * (10240 + 2 * 8 * 128), 128 * 10240, 10240, 8, 128),
    ),
    "Nemotron-3-Nano-30B-A3B-Q8_0": (
        AttentionLayers(6, 32, 2, 128, 128), RecurrentLayers(23, 3 * (4096 + 2 * 8 * 128), 128 * 4096, 4096, 8, 64),
    ),
    "LFM2-1.2B-Q8_0": (AttentionLayers(6, 32, 8, 64, 64), RecurrentLayers(10, 2 * 2048, 0, 2048)),
    "LFM2-8B-A1B-Q8_0": (AttentionLayers(6, 32, 8, 64, 64), RecurrentLayers(18, 2 * 2048, 0, 2048)),
    "Kimi-Linear-48B-A3B-Q8_0": (
        AttentionLayers(7, 32, 1, 576, 0, latent=512), RecurrentLayers(20, 3 * 3 * 4096, 128 * 128 * 32, 4096, 32, 32),
    ),
    "RWKV7-2.9B-F16": (RecurrentLayers(32, 2 * 2560, 64 * 2560, 2560, 1, 40),),
}  # fmt: skip


def shape_of(name: str, folder: Path, **keys: Value | None) -> ModelShape:
    """Of a known header; ``keys`` are added, and taken away where they are None."""
    known = NAMED[name]
    changed = {key: value for key, value in {**known.keys, **keys}.items() if value is not None}
    return FORMAT.read_header(from_path(replace(known, keys=changed).write(folder))).shape


def test_every_header_is_looked_at() -> None:
    assert set(LAYERS) == set(NAMED)


@pytest.mark.parametrize("name", LAYERS)
def test_what_each_layer_keeps(tmp_path: Path, name: str) -> None:
    assert shape_of(name, tmp_path).cache == LAYERS[name]


def test_a_state_is_kept_for_each_sequence_whatever_the_context(tmp_path: Path) -> None:
    shape = shape_of("Mamba-2.8B-F16", tmp_path)
    one = 64 * (3 + 16) * 5120 * 4
    assert [kv_cache(shape, Demand(context)).bytes for context in (1, 512, 1_000_000)] == [one] * 3
    for unified in (True, False):
        assert kv_cache(shape, Demand(512, 4, unified, key_type="q4_0", value_type="q4_0")).bytes == 4 * one


def test_which_layers_attend_may_be_said(tmp_path: Path) -> None:
    name = "Qwen3-Next-80B-A3B-Q8_0"
    state = RecurrentLayers(0, 3 * (4096 + 2 * 16 * 128), 128 * 4096, 4096, 16, 32)
    said: dict[str, Value] = {
        "full_attention_interval": 6,
        "attention.recurrent_layers": [at % 2 == 0 for at in range(48)],
    }
    for key, attending in (("full_attention_interval", 8), ("attention.recurrent_layers", 24)):
        groups = (AttentionLayers(attending, 16, 2, 256, 256), replace(state, count=48 - attending))
        assert shape_of(name, tmp_path, **{key: said[key]}).cache == groups
    assert shape_of(name, tmp_path, full_attention_interval=None).cache == LAYERS[name]


@pytest.mark.parametrize("name", NAMED)
def test_a_key_that_nobody_expects_makes_it_unknown_and_never_too_small(tmp_path: Path, name: str) -> None:
    plain, odd = shape_of(name, tmp_path), shape_of(name, tmp_path, **{"attention.sliding_window": 4096})
    assert (odd.cache, plain.most_state) == (None, 0)
    for demand in (Demand(256), Demand(131_072, 8), Demand(4096, 2, unified=True, key_type="q4_0", flash=False)):
        assert kv_cache(odd, demand).bytes >= kv_cache(plain, demand).bytes


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Mamba-2.8B-F16", "ssm.state_size"),
        ("LFM2-1.2B-Q8_0", "shortconv.l_cache"),
        ("RWKV7-2.9B-F16", "wkv.head_size"),
        ("Kimi-Linear-48B-A3B-Q8_0", "kda.head_dim"),
    ],
)
def test_a_state_whose_size_is_not_said_is_unknown(tmp_path: Path, name: str, key: str) -> None:
    assert shape_of(name, tmp_path, **{key: None}).cache is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"attention.recurrent_layers": [True, False]},
            "qwen3next.attention.recurrent_layers has 2 entries for 48 layers",
        ),
        ({"full_attention_interval": 0}, "full_attention_interval is 0"),
    ],
)
def test_layers_that_cannot_be_are_damage(tmp_path: Path, keys: dict[str, Value], said: str) -> None:
    with pytest.raises(FileDamaged, match=said):
        shape_of("Qwen3-Next-80B-A3B-Q8_0", tmp_path, **keys)


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("Mamba-2.8B-F16", {"ssm.inner_size": 2560}, r"ssm_conv1d\.weight has 5120 rows, but .* is 2560"),
        ("Granite-4.0-H-Tiny-Q8_0", {"attention.key_length": 64}, r"attn_k\.weight has 512 rows, but .* is 256"),
        ("Falcon-H1-34B-Q8_0", {"attention.head_count_kv": 2}, r"attn_k\.weight has 512 rows, but .* is 256"),
        ("RWKV7-2.9B-F16", {"vocab_size": 65535}, "has 65536 rows, but vocab_size is 65535"),
    ],
)
def test_numbers_that_contradict_each_other(tmp_path: Path, name: str, keys: dict[str, Value], said: str) -> None:
    with pytest.raises(FileDamaged, match=said):
        shape_of(name, tmp_path, **keys)
