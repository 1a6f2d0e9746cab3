"""What models with latent attention keep per token, from headers of their public configurations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.architectures.latent import MODELS

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.units import MIB
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.types import AttentionLayers, CacheLayers, Demand, ModelShape

if TYPE_CHECKING:
    from tests.architectures.base import Value

NAMED = {known.name: known for known in MODELS}
LAYERS: dict[str, tuple[CacheLayers, ...]] = {
    "DeepSeek-V2-Lite-Q8_0": (AttentionLayers(27, 16, 1, 512 + 64, 0, latent=512),),
    "DeepSeek-V3-Q4_0": (AttentionLayers(61, 128, 1, 512 + 64, 0, latent=512),),
    "DeepSeek-V3-Q4_0-legacy": (AttentionLayers(61, 128, 128, 128 + 64, 128),),
    "DeepSeek-V3-Q4_0-nextn": (AttentionLayers(61, 128, 1, 512 + 64, 0, latent=512),),
    "Kimi-K2-Q4_0": (AttentionLayers(61, 64, 1, 512 + 64, 0, latent=512),),
    "GLM-4.7-Flash-Q8_0": (AttentionLayers(47, 20, 1, 512 + 64, 0, latent=512),),
    "DeepSeek-V3.2-Q4_0": (AttentionLayers(61, 128, 1, 512 + 64, 0, latent=512), AttentionLayers(61, 64, 1, 128, 0)),
    "GLM-5-Q4_0": (AttentionLayers(78, 64, 1, 512 + 64, 0, latent=512), AttentionLayers(78, 32, 1, 128, 0)),
    "MiniCPM3-4B-Q8_0": (AttentionLayers(62, 40, 40, 64 + 32, 64),),
}


def shape_of(name: str, folder: Path, **keys: Value | None) -> ModelShape:
    """Of a known header; ``keys`` are added (``__`` stands for a dot), and taken away where they are None."""
    known = NAMED[name]
    more = {key.replace("__", "."): value for key, value in keys.items()}
    changed = {key: value for key, value in {**known.keys, **more}.items() if value is not None}
    return FORMAT.read_header(from_path(replace(known, keys=changed).write(folder))).shape


def test_every_header_is_looked_at() -> None:
    assert set(LAYERS) == set(NAMED)


@pytest.mark.parametrize("name", LAYERS)
def test_what_each_layer_keeps(tmp_path: Path, name: str) -> None:
    assert shape_of(name, tmp_path).cache == LAYERS[name]


@pytest.mark.parametrize(
    ("name", "weights", "unloaded", "active"),
    [
        ("DeepSeek-V3-Q4_0", 359_969, 0, 37),
        ("DeepSeek-V3-Q4_0-legacy", 359_969, 0, 37),
        ("DeepSeek-V3-Q4_0-nextn", 359_969, 7_222, 37),
        ("DeepSeek-V3.2-Q4_0", 360_426, 7_229, 37),
        ("Kimi-K2-Q4_0", 550_611, 0, 32),
        ("GLM-5-Q4_0", 399_069, 6_360, 40),
    ],
)
def test_weights(tmp_path: Path, name: str, weights: int, unloaded: int, active: int) -> None:
    """Weights as llama.cpp's fit report of version 2026.10.11549 prints them, and what it logs as "unused tensor" (MiB);
    active parameters as the makers published them (10⁹)."""
    shape = shape_of(name, tmp_path)
    assert (shape.loaded_bytes // MIB, shape.unloaded_bytes // MIB) == (weights, unloaded)
    assert shape.active_parameters / 1e9 == pytest.approx(active, rel=0.05)


def test_deepseek_v3_has_the_parameters_that_were_published(tmp_path: Path) -> None:
    shape = shape_of("DeepSeek-V3-Q4_0-nextn", tmp_path)
    assert shape.parameters == 671_026_419_200  # "671B total parameters", the layer that predicts left out
    assert shape.experts is not None
    assert (shape.experts.layers, shape.experts.shared_feed_forward, shape.experts.feed_forward) == (58, 2048, 2048)


@pytest.mark.parametrize(
    "key",
    [
        "attention.sliding_window",
        "ssm.state_size",
        "attention.shared_kv_layers",
        "attention.indexer.types",
        "kda.head_dim",
    ],
)
@pytest.mark.parametrize("name", ["DeepSeek-V3-Q4_0", "DeepSeek-V3.2-Q4_0"])
def test_a_key_that_nobody_expects_makes_it_unknown(tmp_path: Path, name: str, key: str) -> None:
    plain, odd = shape_of(name, tmp_path), shape_of(name, tmp_path, **{key: 7})
    assert odd.cache is None
    demand = Demand(131_072, sequences=2)
    assert not kv_cache(odd, demand).known
    assert kv_cache(odd, demand).bytes >= kv_cache(plain, demand).bytes


def test_an_index_without_its_width_is_unknown(tmp_path: Path) -> None:
    assert shape_of("DeepSeek-V3.2-Q4_0", tmp_path, attention__indexer__key_length=None).cache is None


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("DeepSeek-V3-Q4_0", {"attention__kv_lora_rank": 256}, r"attn_kv_a_mqa\.weight has 576 rows, but .* is 320"),
        (
            "DeepSeek-V3-Q4_0-legacy",
            {"attention__value_length": 64},
            r"attn_kv_b\.weight has 32768 rows, but .* is 24576",
        ),
        ("Kimi-K2-Q4_0", {"block_count": 60}, "is 60, but the last layer .* is number 61"),
        ("DeepSeek-V3.2-Q4_0", {"embedding_length": 4096}, "has rows of 7168 numbers, but embedding_length is 4096"),
    ],
)
def test_numbers_that_contradict_each_other(tmp_path: Path, name: str, keys: dict[str, Value], said: str) -> None:
    with pytest.raises(FileDamaged, match=said):
        shape_of(name, tmp_path, **keys)
