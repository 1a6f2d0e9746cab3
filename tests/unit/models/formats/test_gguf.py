"""From a GGUF header to the shape the planner works with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.architectures import dense, latent, mixtures, recurrent, windows
from tests.gguf_maker import ARR, I32, STR, U32, Tensor, entry, gguf_bytes, small_keys, small_model

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import ModelHeader
from ultralab.models.formats.gguf import FORMAT
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.types import AttentionLayers, Demand, Experts, ModelShape

if TYPE_CHECKING:
    from tests.architectures.base import Known


def header_of(path: Path, content: bytes) -> ModelHeader:
    path.write_bytes(content)
    return FORMAT.read_header(from_path(path))


def test_the_real_model(smollm2: Path) -> None:
    header = FORMAT.read_header(from_path(smollm2))
    assert replace(header.shape, blocks=()) == ModelShape(
        architecture="llama", layers=30, embedding=576, feed_forward=1536, heads=9, kv_heads=3, key_dim=64,
        value_dim=64, vocabulary=49152, trained_context=8192, parameters=134515008, weight_bytes=96576768,
        bytes_per_token=96576768, cache=(AttentionLayers(30, 9, 3, 64, 64),), lookup_bytes=30081024,
    )  # fmt: skip
    assert (header.quantization, round(header.bits_per_weight, 4)) == ("Q4_1", 5.7437)
    assert header.tensor_types == {"Q4_1": 66355200, "Q8_0": 30081024, "F32": 140544}
    assert (header.format, header.licence) == ("gguf", "apache-2.0")


def test_a_small_model(tmp_path: Path) -> None:
    header = header_of(tmp_path / "m.gguf", small_model())
    weights = 272 + 256 + 2304 + 3456
    assert replace(header.shape, blocks=()) == ModelShape(
        architecture="llama", layers=1, embedding=64, feed_forward=96, heads=4, kv_heads=2, key_dim=16, value_dim=16,
        vocabulary=4, trained_context=128, parameters=256 + 64 + 4096 + 6144, weight_bytes=weights,
        bytes_per_token=weights, cache=(AttentionLayers(1, 4, 2, 16, 16),), lookup_bytes=272,
    )  # fmt: skip
    assert header.quantization == "Q4_0"
    assert header.tensor_types == {"Q4_0": 5760, "Q8_0": 272, "F32": 256}


def test_an_embedding_that_is_only_looked_up_does_not_count_per_token(tmp_path: Path) -> None:
    tensors = (
        Tensor("token_embd.weight", (64, 4)),
        Tensor("output.weight", (64, 4)),
        Tensor("blk.0.ffn_up.weight", (64, 64), "Q4_0"),
    )
    shape = header_of(tmp_path / "m.gguf", gguf_bytes(small_keys(), tensors)).shape
    assert (shape.weight_bytes, shape.bytes_per_token) == (1024 + 1024 + 2304, 1024 + 2304)
    assert shape.lookup_bytes == 1024


def test_of_experts_only_the_used_ones_count_per_token(tmp_path: Path) -> None:
    keys = small_keys(llama__expert_count=(U32, 8), llama__expert_used_count=(U32, 2))
    tensors = (
        Tensor("token_embd.weight", (64, 4)),
        Tensor("blk.0.ffn_up_exps.weight", (64, 64, 8), "Q8_0"),
        Tensor("blk.0.ffn_up_shexp.weight", (64, 64), "Q8_0"),
    )
    header = header_of(tmp_path / "m.gguf", gguf_bytes(keys, tensors))
    assert header.shape.bytes_per_token == 1024 + 8 * 4352 // 4 + 4352
    assert header.shape.parameters == 256 + 8 * 4096 + 4096
    assert header.quantization == "Q8_0"
    assert header.active_parameters == 256 + 8 * 4096 // 4 + 4096
    assert header.shape.experts == Experts(count=8, used=2, feed_forward=96, shared_feed_forward=0, layers=1)


def test_a_layer_that_only_predicts_more_tokens_is_not_loaded(tmp_path: Path) -> None:
    keys = small_keys(
        llama__block_count=(U32, 2), llama__nextn_predict_layers=(U32, 1), llama__expert_count=(U32, 4),
        llama__expert_used_count=(U32, 1),
    )  # fmt: skip
    blocks = [
        Tensor(f"blk.{layer}.{name}.weight", sides, "Q8_0")
        for layer in (0, 1)
        for name, sides in (
            ("ffn_down_exps", (96, 64, 4)),
            ("ffn_down_shexp", (32, 64)),
            ("nextn.embed_tokens", (64, 4)),
        )
    ]
    header = header_of(tmp_path / "m.gguf", gguf_bytes(keys, [Tensor("token_embd.weight", (64, 4), "Q8_0"), *blocks]))
    each = (96 * 64 * 4 + 32 * 64 + 64 * 4) * 34 // 32
    assert (header.shape.weight_bytes, header.shape.unloaded_bytes, header.shape.loaded_bytes) == (
        272 + 2 * each, each, 272 + each,
    )  # fmt: skip
    assert header.shape.parameters == 256 + 96 * 64 * 4 + 32 * 64 + 256
    assert header.active_parameters == 256 + 96 * 64 + 32 * 64 + 256
    assert header.shape.bytes_per_token == (256 + 96 * 64 + 32 * 64 + 256) * 34 // 32
    assert header.shape.experts == Experts(count=4, used=1, feed_forward=96, shared_feed_forward=32, layers=1)
    assert header.shape.lookup_bytes == 272
    assert header.bits_per_weight == 8.5


@pytest.mark.parametrize(
    ("architecture", "tied", "copied"), [("gemma3n", True, 1024), ("gemma3n", False, 0), ("llama", True, 0)]
)
def test_an_embedding_that_llama_cpp_loads_twice(tmp_path: Path, architecture: str, *, tied: bool, copied: int) -> None:
    tensors = [Tensor("token_embd.weight", (64, 4)), Tensor("blk.0.ffn_up.weight", (64, 64))]
    if not tied:
        tensors.append(Tensor("output.weight", (64, 4)))
    numbers = {"block_count": 1, "embedding_length": 64, "attention.head_count": 4}
    keys = [entry(f"{architecture}.{key}", U32, number) for key, number in numbers.items()]
    content = gguf_bytes([entry("general.architecture", STR, architecture), *keys], tensors)
    shape = header_of(tmp_path / "m.gguf", content).shape
    assert (shape.copied_bytes, shape.loaded_bytes) == (copied, shape.weight_bytes + copied)


@pytest.mark.parametrize(
    "known",
    [*dense.MODELS, *windows.MODELS, *mixtures.MODELS, *latent.MODELS, *recurrent.MODELS],
    ids=lambda known: known.name,
)
def test_an_unknown_architecture_is_never_taken_for_less_than_it_is(tmp_path: Path, known: Known) -> None:
    named, unnamed = (
        FORMAT.read_header(from_path(one.write(tmp_path))).shape
        for one in (known, replace(known, architecture="novel"))
    )
    assert unnamed.cache is None
    if named.cache is None:
        return
    assert unnamed.weight_bytes == named.weight_bytes
    for demand in (
        Demand(256), Demand(1000, 4, ubatch=2048), Demand(131_072, 4, unified=True, key_type="q8_0", value_type="q8_0"),
        Demand(8192, 16, flash=False),
    ):  # fmt: skip
        bound = kv_cache(unnamed, demand)
        assert not bound.known
        assert bound.bytes >= kv_cache(named, demand).bytes


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, (True, 2)),
        ({"llama__attention__head_count_kv": (ARR, (I32, [2, 2]))}, (True, 2)),
        ({"llama__attention__head_count_kv": (ARR, (I32, [2, 4]))}, (True, 4)),
        ({"llama__attention__sliding_window": (U32, 512)}, (False, 2)),
        ({"llama__attention__kv_lora_rank": (U32, 512)}, (False, 2)),
        ({"llama__ssm__state_size": (U32, 16)}, (False, 2)),
        ({"llama__attention__head_count_kv": (U32, 0)}, (False, 0)),
    ],
)
def test_attention_is_called_grouped_only_where_it_is(
    tmp_path: Path, keys: dict[str, tuple[int, object]], expected: tuple[bool, int]
) -> None:
    shape = header_of(tmp_path / "m.gguf", small_model(**keys)).shape
    assert (shape.cache is not None, shape.kv_heads) == expected


def test_an_architecture_nobody_knows_has_unknown_attention(tmp_path: Path) -> None:
    raw = small_model().replace(b"llama", b"lamma")
    assert header_of(tmp_path / "m.gguf", raw).shape.cache is None


def test_key_and_value_sizes_of_their_own(tmp_path: Path) -> None:
    keys = {"llama__attention__key_length": (U32, 192), "llama__attention__value_length": (U32, 128)}
    tensors = [Tensor("token_embd.weight", (64, 4)), Tensor("blk.0.attn_q.weight", (64, 4 * 192))]
    shape = header_of(tmp_path / "m.gguf", gguf_bytes(small_keys(**keys), tensors)).shape
    assert (shape.key_dim, shape.value_dim) == (192, 128)
    with pytest.raises(FileDamaged, match=r"attn_q\.weight has 64 rows, but .* is 768"):
        header_of(tmp_path / "m.gguf", small_model(**keys))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"general__type": (STR, "adapter")}, "'adapter'"),
        ({"general__architecture": (U32, 1)}, "no language model"),
        ({"llama__block_count": (U32, 0)}, "llama.block_count"),
        ({"general__architecture": (STR, "clip")}, "clip.embedding_length"),
    ],
)
def test_what_is_no_whole_language_model(tmp_path: Path, keys: dict[str, tuple[int, object]], said: str) -> None:
    with pytest.raises(Unsupported) as caught:
        header_of(tmp_path / "m.gguf", small_model(**keys))
    assert said in caught.value.message
    assert caught.value.hint


def test_a_vocabulary_alone_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="vocabulary only"):
        header_of(tmp_path / "m.gguf", gguf_bytes(small_keys()))


@pytest.mark.parametrize("value", [(I32, -3), (STR, "many"), (ARR, (I32, [-1]))])
def test_absurd_numbers_are_damage(tmp_path: Path, value: tuple[int, object]) -> None:
    with pytest.raises(FileDamaged, match=r"llama\.block_count is"):
        header_of(tmp_path / "m.gguf", small_model(llama__block_count=value))


def test_control_characters_of_a_title_never_reach_a_terminal(tmp_path: Path) -> None:
    header = header_of(tmp_path / "m.gguf", small_model(general__name=(STR, "a\x1b[31mb")))
    assert header.title == "a\N{REPLACEMENT CHARACTER}[31mb"
