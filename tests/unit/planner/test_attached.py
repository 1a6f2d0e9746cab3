"""Projectors and draft models: the sums, the encoder's buffer, and the header that tells of an encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gguf_maker import BOOL, STR, U32, Tensor, entry, gguf_bytes

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.units import MIB
from ultralab.models.formats.gguf_projector import read_projector
from ultralab.models.formats.gguf_reader import GgufHeader, read_gguf
from ultralab.planner.attached import Projector, projector_compute, with_draft, with_projector
from ultralab.planner.types import Amount, MemoryPlan

# gemma 3's encoder (SigLIP So400m): google/gemma-3-4b-it, config.json, vision_config
SIGLIP = Projector("gemma3", 850_000_000, 27, 1152, 4304, 16, 896, 14, 4096)
PLAN = MemoryPlan(Amount(1000, 0.0), Amount(200, 0.0), Amount(100, 0.1), Amount(50, 0.2))


def test_a_model_that_sees() -> None:
    seeing = with_projector(PLAN, SIGLIP)
    encoder = projector_compute(SIGLIP)
    assert seeing.weights.bytes == 1000 + SIGLIP.weight_bytes
    assert seeing.compute.bytes == 100 + encoder.bytes
    assert (seeing.kv_cache, seeing.overhead) == (PLAN.kv_cache, PLAN.overhead)
    assert seeing.total == PLAN.total + SIGLIP.weight_bytes + encoder.bytes
    assert seeing.compute.error_band == pytest.approx((100 * 0.1 + encoder.bytes * 0.3) / seeing.compute.bytes)


def test_without_flash_attention_the_encoder_writes_its_scores_down() -> None:
    scores = 16 * 4096**2 * 4
    assert scores < projector_compute(SIGLIP, flash=False).bytes < scores + 2 * projector_compute(SIGLIP).bytes
    assert 64 * MIB < projector_compute(SIGLIP).bytes < 256 * MIB


# MiB with flash attention and without, 0 where it was not published: gpustack/gguf-parser-go#44 (llama.cpp on an
# MI300X), and for Qwen3.5 ggml-org/llama.cpp#22673 (CUDA). Sizes: each model's public config.json, vision_config.
PUBLISHED = [
    (SIGLIP, 121, 1132),
    (Projector("qwen2vl_merger", 0, 32, 1280, 5120, 16, 560, 14, 92**2), 267, 4598),
    (Projector("qwen2.5vl_merger", 0, 32, 1280, 3420, 16, 560, 14, 92**2, windowed=True), 705, 4872),
    (Projector("qwen3vl_merger", 0, 27, 1152, 4304, 16, 768, 16, 92**2), 323, 4728),
    (Projector("qwen3vl_merger", 0, 24, 1024, 4096, 16, 768, 16, 92**2), 223.3, 0),
]


@pytest.mark.parametrize(("projector", "flash", "plain"), PUBLISHED)
def test_published_buffers_lie_in_the_band(projector: Projector, flash: float, plain: float) -> None:
    for fused, published in ((True, flash), (False, plain)):
        found = projector_compute(projector, flash=fused)
        if published:
            assert abs(published * MIB / found.bytes - 1) <= found.error_band


def test_a_draft_model() -> None:
    draft = MemoryPlan(Amount(10, 0.0), Amount(20, 0.0, known=False), Amount(30, 0.3), Amount(40, 0.2))
    both = with_draft(PLAN, draft)
    assert [part.bytes for part in both.parts] == [1010, 220, 130, 50]
    assert both.compute.error_band == pytest.approx((100 * 0.1 + 30 * 0.3) / 130)
    assert (both.known, with_draft(PLAN, PLAN).known) == (False, True)
    assert with_draft(draft, PLAN).overhead == PLAN.overhead  # one process, the larger of both


@given(st.sampled_from(["embedding", "feed_forward", "heads", "patches", "patch_size", "weight_bytes"]), st.booleans())
def test_a_larger_encoder_takes_no_less(part: str, flash: bool) -> None:
    larger = replace(SIGLIP, **{part: getattr(SIGLIP, part) * 2})
    assert with_projector(PLAN, larger, flash=flash).total >= with_projector(PLAN, SIGLIP, flash=flash).total


KEYS: dict[str, int | str | bool] = {
    "general.architecture": "clip", "general.type": "mmproj", "clip.has_vision_encoder": True,
    "clip.projector_type": "gemma3", "clip.vision.image_size": 896, "clip.vision.patch_size": 14,
    "clip.vision.embedding_length": 1152, "clip.vision.feed_forward_length": 4304, "clip.vision.block_count": 27,
    "clip.vision.attention.head_count": 16,
}  # fmt: skip


def header(folder: Path, **changes: int | str | bool | None) -> GgufHeader:
    kinds = {bool: BOOL, int: U32, str: STR}
    said = {**KEYS, **{key.replace("__", "."): value for key, value in changes.items()}}
    keys = [entry(key, kinds[type(value)], value) for key, value in said.items() if value is not None]
    path = folder / "mmproj.gguf"
    path.write_bytes(gguf_bytes(keys, [Tensor("v.patch_embd.weight", (14, 14, 3, 1152), "F16")]))
    return read_gguf(path)


def test_a_header(tmp_path: Path) -> None:
    assert read_projector(header(tmp_path)) == replace(SIGLIP, weight_bytes=14 * 14 * 3 * 1152 * 2)
    assert read_projector(header(tmp_path, general__type=None)).heads == 16


def test_pictures_of_any_size_are_counted_as_llama_cpp_reserves_for_them(tmp_path: Path) -> None:
    found = read_projector(
        header(
            tmp_path,
            clip__projector_type="qwen2.5vl_merger",
            clip__vision__image_size=560,
            clip__vision__n_wa_pattern=8,
        )
    )
    assert (found.image_size, found.patches, found.windowed) == (560, 92**2, True)
    merged = header(tmp_path, clip__projector_type="kimivl", clip__vision__spatial_merge_size=4)
    assert read_projector(merged).patches == 256 * 16
    assert read_projector(header(tmp_path, clip__projector_type="pixtral")).patches == 256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clip__vision__patch_size": 1000}, "896 pixels .* patches of 1000"),
        ({"clip__vision__image_size": 10**9}, "1000000000 pixels"),
        ({"clip__vision__attention__head_count": 7}, "1152 numbers .* 7 heads"),
    ],
)
def test_numbers_that_contradict_each_other(tmp_path: Path, changes: dict[str, int], said: str) -> None:
    with pytest.raises(FileDamaged, match=said):
        read_projector(header(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"general__architecture": "llama"},
        {"general__type": "model"},
        {"clip__has_vision_encoder": False},
        {"clip__vision__patch_size": None},
    ],
)
def test_what_is_no_projector_for_pictures(tmp_path: Path, changes: dict[str, str | bool | None]) -> None:
    with pytest.raises(Unsupported):
        read_projector(header(tmp_path, **changes))
