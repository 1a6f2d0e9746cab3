"""What models with attention keep of earlier tokens, and headers whose numbers contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.architectures import dense, mixtures, windows
from tests.architectures.base import Known, Value  # noqa: TC002 - as in the headers
from tests.gguf_maker import Tensor

from ultralab.kernel.errors import FileDamaged
from ultralab.models.formats.gguf_layers import cache_of
from ultralab.models.formats.gguf_layers.agree import require_agreement
from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.types import AttentionLayers, CacheLayers, Demand, ModelShape

MIB = 2**20
KNOWN = {known.name: known for known in (*dense.MODELS, *windows.MODELS, *mixtures.MODELS)}


def alike(layers: int, heads: int, kv_heads: int, width: int) -> tuple[CacheLayers, ...]:
    return (AttentionLayers(layers, heads, kv_heads, width, width),)


def mixed(narrow: int, whole: int, heads: int, kv_heads: int, width: int, window: int) -> set[CacheLayers]:
    return {
        AttentionLayers(narrow, heads, kv_heads, width, width, window),
        AttentionLayers(whole, heads, kv_heads, width, width),
    }


WHOLE: Mapping[str, tuple[CacheLayers, ...]] = {
    "Llama-3.1-8B-Q8_0": alike(32, 32, 8, 4096 // 32),
    "Llama-3.1-70B-Q4_K": alike(80, 64, 8, 8192 // 64),
    "Llama-3.1-405B-Q4_K": alike(126, 128, 8, 16384 // 128),
    "Mistral-7B-v0.3-Q4_0": alike(32, 32, 8, 4096 // 32),
    "Mistral-Large-2407-Q4_K": alike(88, 96, 8, 12288 // 96),
    "Qwen2.5-7B-Q8_0": alike(28, 28, 4, 3584 // 28),
    "Qwen2.5-72B-Q4_0": alike(80, 64, 8, 8192 // 64),
    "Qwen3-0.6B-Q8_0": alike(28, 16, 8, 128),
    "Qwen3-32B-Q4_K": alike(64, 64, 8, 128),
    "SmolLM3-3B-Q8_0": alike(36, 16, 4, 2048 // 16),
    "granite-3.3-8b-Q8_0": alike(40, 32, 8, 4096 // 32),
    "gemma-7b-Q8_0": alike(28, 16, 16, 256),
    "Seed-OSS-36B-Q4_K": alike(64, 80, 8, 128),
    "EXAONE-4.0-1.2B-Q8_0": alike(30, 32, 8, 64),
    "OLMo-2-13B-Q8_0": alike(40, 40, 40, 128),
    "Phi-3-mini-4k-Q8_0": alike(32, 32, 32, 3072 // 32),
    "phi-4-Q8_0": alike(40, 40, 10, 5120 // 40),
    "Mixtral-8x7B-Q4_K": alike(32, 32, 8, 128),
    "Qwen3-30B-A3B-Q4_K": alike(48, 32, 4, 128),
    "Qwen3-235B-A22B-Q4_K": alike(94, 64, 4, 128),
    "Qwen3-Coder-480B-A35B-Q4_K": alike(62, 96, 8, 128),
    "GLM-4.5-Air-Q8_0": alike(46, 96, 8, 128),
    "GLM-4.6-Q4_K": alike(92, 96, 8, 128),
    "MiniMax-M2-Q4_K": alike(62, 48, 8, 128),
    "ERNIE-4.5-21B-A3B-Q4_0": alike(28, 20, 4, 128),
    "Hunyuan-A13B-Q4_K": alike(32, 32, 8, 128),
    "dots.llm1-Q4_0": alike(62, 32, 32, 128),
    "granite-3.1-3b-a800m-Q8_0": alike(32, 24, 8, 64),
    "OLMoE-1B-7B-Q8_0": alike(16, 16, 16, 128),
    "Qwen2-57B-A14B-Q8_0": alike(28, 28, 4, 128),
}
"""Phi 3's files say a window that llama.cpp does not use; GLM's last block predicts several tokens and keeps nothing."""

NARROW: Mapping[str, set[CacheLayers]] = {
    "gemma-2-9b-Q8_0": mixed(21, 21, 16, 8, 256, 4096),
    "gemma-3-1b-Q8_0": mixed(26 - 26 // 6, 26 // 6, 4, 1, 256, 512),
    "gemma-3-4b-Q8_0": mixed(34 - 34 // 6, 34 // 6, 8, 4, 256, 1024),
    "gemma-3-27b-Q8_0": mixed(62 - 62 // 6, 62 // 6, 32, 16, 128, 1024),
    "gemma-3n-E2B-Q8_0": mixed(16, 20 // 5, 8, 2, 256, 512),
    "gemma-3n-E4B-Q8_0": mixed(16, 20 // 5, 8, 2, 256, 512),
    "gemma-4-E4B-Q8_0": {AttentionLayers(20, 8, 2, 256, 256, 512), AttentionLayers(24 // 6, 8, 2, 512, 512)},
    "gemma-4-12B-Q8_0": {AttentionLayers(40, 16, 8, 256, 256, 1024), AttentionLayers(48 // 6, 16, 1, 512, 512)},
    "gemma-4-31B-Q8_0": {AttentionLayers(50, 32, 16, 256, 256, 1024), AttentionLayers(60 // 6, 32, 4, 512, 512)},
    "gpt-oss-20b-MXFP4": mixed(12, 12, 64, 8, 64, 128),
    "gpt-oss-120b-MXFP4": mixed(18, 18, 64, 8, 64, 128),
    "command-r7b-Q4_0": mixed(24, 8, 32, 8, 128, 4096),
    "command-a-Q4_0": mixed(48, 16, 96, 8, 128, 4096),
    "Llama-4-Scout-Q4_K": mixed(36, 12, 40, 8, 128, 8192),
    "Llama-4-Maverick-Q4_K": mixed(36, 12, 40, 8, 128, 8192),
    "EXAONE-4.0-32B-Q8_0": mixed(48, 16, 40, 8, 128, 4096),
    "Olmo-3-32B-Q8_0": mixed(48, 16, 40, 8, 128, 4096),
}
"""Of the layers that keep something: 20 of gemma 3n's, 24 of gemma 4 E4B's 42."""


SMALL = dense.plain(
    "small", "qwen3", "", layers=2, embedding=64, feed_forward=96, heads=4, kv_heads=2, vocabulary=100, context=512,
    type="F32", head=32, norms=True,
)  # fmt: skip
MIXED = mixtures.mixture(
    "mixed", "qwen3moe", "", layers=2, embedding=64, feed_forward=96, heads=4, kv_heads=2, head=32, vocabulary=100,
    context=512, inner=32, count=8, used=2, norms=True, type="F32",
)  # fmt: skip


def facts_of(known: Known, folder: Path) -> Facts:
    path = known.write(folder)
    read = read_gguf(path)
    path.unlink()
    return Facts(read)


def cache(name: str, folder: Path, without: str = "", /, **keys: Value) -> tuple[CacheLayers, ...] | None:
    """Of a known header; ``keys`` are added (``__`` stands for a dot)."""
    known = KNOWN[name]
    more = {key.replace("__", "."): value for key, value in keys.items()}
    said = {key: value for key, value in {**known.keys, **more}.items() if key != without}
    return cache_of(facts_of(replace(known, keys=said), folder))


def kv_mib(layers: tuple[CacheLayers, ...] | None, demand: Demand) -> float:
    shape = ModelShape("", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, cache=layers)
    return kv_cache(shape, demand).bytes / MIB


def test_every_header_is_looked_at() -> None:
    assert {*WHOLE, *NARROW} == set(KNOWN)


@pytest.mark.parametrize("name", WHOLE)
def test_layers_that_look_at_everything(tmp_path: Path, name: str) -> None:
    facts = facts_of(KNOWN[name], tmp_path)
    assert cache_of(facts) == WHOLE[name]
    require_agreement(facts)


@pytest.mark.parametrize("name", NARROW)
def test_layers_that_look_back_at_a_window(tmp_path: Path, name: str) -> None:
    facts = facts_of(KNOWN[name], tmp_path)
    groups = cache_of(facts)
    assert groups is not None
    assert (set(groups), len(groups)) == (NARROW[name], 2)
    require_agreement(facts)


@pytest.mark.parametrize(
    ("name", "demand", "printed"),
    [
        ("Llama-3.1-8B-Q8_0", Demand(131_072), 16384.00),
        ("Llama-3.1-8B-Q8_0", Demand(131_072, key_type="q8_0", value_type="q8_0"), 8704.00),
        ("Llama-3.1-8B-Q8_0", Demand(131_072, key_type="q4_0", value_type="q4_0"), 4608.00),
        ("gemma-3-4b-Q8_0", Demand(131_072), 2734.00),
        ("gpt-oss-20b-MXFP4", Demand(131_072), 3090.00),
        ("gemma-4-E4B-Q8_0", Demand(131_072), 2088.00),
        ("gemma-4-31B-Q8_0", Demand(131_072), 11440.00),
        ("gemma-3n-E2B-Q8_0", Demand(131_072), 1056.00),
        ("Llama-4-Scout-Q4_K", Demand(131_072), 7368.00),
        ("Olmo-3-32B-Q8_0", Demand(131_072), 9056.00),
    ],
)
def test_the_cache_is_what_llamacpp_logged(tmp_path: Path, name: str, demand: Demand, printed: float) -> None:
    assert kv_mib(cache(name, tmp_path), demand) == pytest.approx(printed, abs=0.01)


@pytest.mark.parametrize(
    ("architecture", "first"),
    [
        ("cohere2moe", "0111011101"),
        ("exaone-moe", "1110111011"),
        ("granite_swa", None),
        ("mellum", "1110111011"),
        ("mimo2", None),
        ("plamo3", "1111111011"),
        ("smallthinker", "0111011101"),
        ("step35", None),
    ],
)
def test_architectures_whose_loader_was_asked_layer_by_layer(
    tmp_path: Path, architecture: str, first: str | None
) -> None:
    """What llama.cpp logged as ``is_swa`` of small headers with a window of 64; where None, it asks for a list."""
    known = replace(SMALL, architecture=architecture, keys={**SMALL.keys, "block_count": 10})
    known = replace(known, keys={**known.keys, "attention.sliding_window": 64})
    listed = replace(known, keys={**known.keys, "attention.sliding_window_pattern": [True] * 3 + [False] * 7})
    for one, narrow in ((known, first and first.count("1")), (listed, 3)):
        groups = cache_of(facts_of(one, tmp_path))
        found = (
            None
            if groups is None
            else sum(group.count for group in groups if isinstance(group, AttentionLayers) and group.window)
        )
        assert found == narrow


@pytest.mark.parametrize(
    ("name", "keys", "narrow"),
    [
        ("gemma-3-1b-Q8_0", {"attention__sliding_window_pattern": 2}, 13),
        ("gemma-3-1b-Q8_0", {"attention__sliding_window_pattern": 0}, 26),
        ("gemma-3-1b-Q8_0", {"attention__sliding_window_pattern": [True] * 5 + [False] * 21}, 5),
        ("gemma-3-1b-Q8_0", {"attention__sliding_window": 0}, 0),
        ("EXAONE-4.0-1.2B-Q8_0", {"attention__sliding_window": 4096}, 0),
        ("Llama-4-Scout-Q4_K", {"attention__sliding_window": 0}, 0),
        ("Phi-3-mini-4k-Q8_0", {"attention__sliding_window_pattern": 2}, 0),
    ],
)
def test_which_layers_look_back(tmp_path: Path, name: str, keys: dict[str, Value], narrow: int) -> None:
    groups = cache(name, tmp_path, **keys)
    assert groups is not None
    found = sum(one.count for one in groups if isinstance(one, AttentionLayers) and one.window)
    assert (found, sum(one.count for one in groups)) == (narrow, KNOWN[name].keys["block_count"])


def test_llama_4_has_chunks_of_8192_whatever_its_key_says(tmp_path: Path) -> None:
    groups = cache("Llama-4-Scout-Q4_K", tmp_path, attention__sliding_window=64)
    assert set(groups or ()) == mixed(36, 12, 40, 8, 128, 8192)


@pytest.mark.parametrize(
    ("name", "without", "keys"),
    [
        ("Qwen3-0.6B-Q8_0", "", {"attention__sliding_window": 512}),
        ("Qwen3-0.6B-Q8_0", "", {"attention__shared_kv_layers": 4}),
        ("gemma-3-1b-Q8_0", "", {"attention__shared_kv_layers": 4}),
        ("gemma-3-1b-Q8_0", "", {"attention__kv_lora_rank": 512}),
        ("gpt-oss-20b-MXFP4", "attention.sliding_window", {}),
        ("gemma-4-E4B-Q8_0", "attention.sliding_window_pattern", {}),
    ],
)
def test_what_nobody_expects_makes_the_cache_unknown(
    tmp_path: Path, name: str, without: str, keys: dict[str, Value]
) -> None:
    assert cache(name, tmp_path, without, **keys) is None


def test_more_layers_share_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(FileDamaged, match="42 of 42 layers"):
        cache("gemma-4-E4B-Q8_0", tmp_path, attention__shared_kv_layers=42)


def shaped(known: Known, name: str, *sides: int) -> Known:
    """The same header with another shape of one tensor."""
    changed = [replace(one, shape=sides) if one.name == name else one for one in known.tensors]
    assert changed != list(known.tensors)
    return replace(known, tensors=changed)


def said(**keys: Value) -> Known:
    return replace(SMALL, keys={**SMALL.keys, **{key.replace("__", "."): value for key, value in keys.items()}})


@pytest.mark.parametrize(
    ("known", "both"),
    [
        (shaped(SMALL, "blk.1.attn_k.weight", 64, 128), (128, 64)),
        (shaped(SMALL, "blk.0.attn_v.weight", 64, 32), (32, 64)),
        (shaped(SMALL, "blk.0.attn_q.weight", 64, 64), (64, 128)),
        (said(attention__key_length=64), (128, 256)),
        (said(attention__head_count_kv=[2, 1]), (64, 32)),
        (said(attention__head_count_kv=8), (8, 4)),
        (said(embedding_length=128), (64, 128)),
        (said(vocab_size=99), (100, 99)),
        (said(block_count=3), (3, 2)),
        (said(block_count=1), (1, 2)),
        (said(block_count=3_000), (3000, 2)),
        (replace(MIXED, keys={**MIXED.keys, "expert_count": 16}), (8, 16)),
    ],
)
def test_numbers_that_contradict_each_other_are_both_said(tmp_path: Path, known: Known, both: tuple[int, int]) -> None:
    with pytest.raises(FileDamaged) as caught:
        require_agreement(facts_of(known, tmp_path))
    words = caught.value.message.replace(".", " ").replace(",", " ").split()
    assert {str(one) for one in both} <= set(words)
    assert caught.value.hint


def test_nothing_is_said_about_an_architecture_that_nobody_knows(tmp_path: Path) -> None:
    require_agreement(facts_of(replace(said(block_count=7), architecture="qwen9"), tmp_path))


def test_a_block_that_only_predicts_may_be_left_out(tmp_path: Path) -> None:
    known = said(block_count=3, nextn_predict_layers=1)
    require_agreement(facts_of(known, tmp_path))


def test_a_fused_projection_is_judged_as_a_whole(tmp_path: Path) -> None:
    known = windows.phi3(
        "fused", "", layers=1, embedding=64, feed_forward=96, heads=4, kv_heads=2, vocabulary=100, context=512
    )
    require_agreement(facts_of(known, tmp_path))
    with pytest.raises(FileDamaged, match=r"attn_qkv\.weight has 96 rows.* is 128"):
        require_agreement(facts_of(shaped(known, "blk.0.attn_qkv.weight", 64, 96), tmp_path))


def test_a_tensor_of_another_kind_is_no_contradiction(tmp_path: Path) -> None:
    known = replace(SMALL, tensors=[*SMALL.tensors, Tensor("blk.1.attn_q.scale", (1,))])
    require_agreement(facts_of(known, tmp_path))
