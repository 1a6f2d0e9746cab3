"""The well-known models: their configurations add up to what their makers publish, and their shapes make sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.architectures import dense, latent, mixtures, recurrent, windows

from ultralab.assess.known.layers import parameters_of, predicting_parameters
from ultralab.assess.known.models import ESTIMATED, PUBLISHED, TYPICAL, KnownModel, find, models
from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.units import GIB, MIB
from ultralab.models.formats.gguf import summarize
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.mlx import mlx_memory
from ultralab.planner.types import AttentionLayers, Demand, RecurrentLayers

MODELS = models()
HEADER_MODELS = (*dense.MODELS, *latent.MODELS, *mixtures.MODELS, *recurrent.MODELS, *windows.MODELS)
ADDED_UP = [model for model in MODELS if model.layers.attention]


@pytest.mark.parametrize("model", ADDED_UP, ids=lambda model: model.id)
def test_a_configuration_adds_up_to_the_published_parameters(model: KnownModel) -> None:
    assert parameters_of(model.layers) == pytest.approx(model.parameters, rel=0.01)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_active_parameters_are_those_that_are_published_and_the_two_tables(model: KnownModel) -> None:
    """Makers round to billions, and some leave the embedding or both tables out."""
    tables = model.layers.vocabulary * model.layers.embedding * 2
    active = model.computed[1]
    assert model.active * 0.97 <= active <= (model.active + tables + 500_000_000) * 1.03


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_each_model_has_a_source_and_its_groups_are_its_layers(model: KnownModel) -> None:
    assert model.source
    assert model.licence
    assert model.maker
    assert all(one.source for one in model.quantizations)
    counted = sum(group["count"] for group in model.layers.attention)
    assert counted == (model.layers.count if model.layers.attention else 0)
    assert model.quantizations


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_a_shape_reads_no_more_per_token_than_it_loads(model: KnownModel) -> None:
    for stored in model.quantizations:
        shape = model.shape(stored.name)
        assert shape.weight_bytes == stored.bytes
        assert 0 < shape.bytes_per_token <= shape.loaded_bytes <= shape.weight_bytes
        assert shape.lookup_bytes < shape.loaded_bytes
        assert (shape.active_parameters == 0) == (model.layers.experts is None)


@pytest.mark.parametrize("model", ADDED_UP, ids=lambda model: model.id)
def test_published_sizes_are_near_the_bits_that_their_type_has_elsewhere(model: KnownModel) -> None:
    """A size in GiB that was read as GB, or of another model, is 7 % off and more."""
    for stored in model.quantizations:
        if (
            stored.basis == PUBLISHED
            and stored.name in TYPICAL
            and not stored.expert_bits
            and model.id != "qwen2.5-72b"
        ):
            held = parameters_of(model.layers) + predicting_parameters(model.layers)
            expected = held * TYPICAL[stored.name].bits / 8
            assert stored.bytes == pytest.approx(expected, rel=0.065), stored


def test_the_sizes_that_public_reports_name() -> None:
    assert find("DeepSeek-R1").quantization("q4_k_m").bytes == pytest.approx(376.65 * GIB)
    assert find("gpt-oss-20b").shape("MXFP4").weight_bytes == pytest.approx(11511 * MIB, rel=1e-3)
    assert find("GLM-5.1").quantization("Q4_K_M").bytes == pytest.approx(432.80 * GIB)


def test_experts_in_another_type_than_the_rest_are_read_as_such() -> None:
    """gpt-oss: four experts of 128 in MXFP4, and attention and the output matrix in more bits."""
    model = find("gpt-oss-120b")
    used = 36 * 4 * 3 * 2880 * 2880 * 4.25 / 8
    assert model.shape("MXFP4").bytes_per_token > used * 1.5
    assert model.shape("MXFP4").bytes_per_token < 4e9


def test_a_mixture_of_which_the_experts_are_known_has_the_rest_in_the_bits_that_its_publisher_names() -> None:
    """Q8_0 for all but the experts (huggingface.co/AesSedai/GLM-5.1-GGUF): the size must come to that."""
    model = find("glm-5.1")
    routed = 75 * 256 * 3 * 6144 * 2048
    held = parameters_of(model.layers) + predicting_parameters(model.layers)
    for name in ("Q5_K_M", "Q4_K_M", "IQ4_XS"):
        stored = model.quantization(name)
        routed_held = routed * 76 / 75
        rest = (stored.bytes * 8 - routed_held * stored.expert_bits) / (held - routed_held)
        assert 7.5 < rest < 9.5, (name, rest)


def test_caches_are_what_the_planner_makes_of_the_public_shapes() -> None:
    """Known points of llama.cpp: DeepSeek's at 163,840 tokens in f16, gpt-oss-20b's at 131,072, Qwen3-Next's states."""
    assert kv_cache(find("deepseek-r1").shape("Q4_K_M"), Demand(163_840)).bytes == 10_980 * MIB
    assert round(kv_cache(find("gpt-oss-20b").shape("MXFP4"), Demand(131_072)).bytes / MIB) == 3_090
    next_cache = find("qwen3-next-80b").cache
    assert next_cache == (
        AttentionLayers(12, 16, 2, 256, 256),
        RecurrentLayers(36, conv=24_576, state=524_288, inner=4_096, groups=16, heads=32),
    )


def test_sparse_attention_keeps_the_indexers_keys_too() -> None:
    plain, sparse = find("deepseek-v3.1").cache, find("deepseek-v3.2").cache
    assert plain
    assert sparse
    assert sparse[0] == plain[0]
    assert sparse[1] == AttentionLayers(61, 64, 1, 128, 0)


def test_layers_that_only_predict_tokens_are_in_gguf_files_and_not_loaded() -> None:
    glm = find("glm-4.6")
    assert glm.shape("Q8_0").unloaded_bytes == pytest.approx(3.99e9 * 8.505 / 8, rel=0.01)
    assert glm.shape("MLX 8-bit").unloaded_bytes == 0
    assert find("deepseek-r1").shape("Q8_0").unloaded_bytes == 0


def test_an_unknown_attention_leaves_the_cache_unknown_and_the_totals_published() -> None:
    model = find("DeepSeek-V4-Flash")
    assert model.cache is None
    assert model.shape("Q4_K_M").parameters == 284_000_000_000


def test_estimates_say_so_and_carry_a_band() -> None:
    stored = find("qwen3-235b").quantization("Q4_K_M")
    assert (stored.basis, stored.band) == (ESTIMATED, TYPICAL["Q4_K_M"].band)
    assert stored.bytes == pytest.approx(142e9, rel=0.03)  # what Qwen's own files of that type come to
    assert not [one.name for one in find("gpt-oss-120b").quantizations if one.basis == ESTIMATED]


def test_models_trained_in_four_bits_have_no_estimates_beyond() -> None:
    assert {one.name for one in find("kimi-k2-thinking").quantizations} >= {"Q4_X", "UD-TQ1_0"}
    assert "Q8_0" not in {one.name for one in find("kimi-k2-thinking").quantizations}


def test_names_are_found_by_id_by_name_and_by_shape_and_unknown_ones_are_refused() -> None:
    assert find("deepseek-v3.1").id == find(" DeepSeek-R1-0528 ").id == "deepseek-r1"
    with pytest.raises(UnknownChoice, match="deepsek"):
        find("deepsek")
    with pytest.raises(UnknownChoice):
        find("gpt-oss-120b").shape("Q4_K_M")
    names = [known.casefold() for model in MODELS for known in {model.id, model.name, *model.also}]
    assert len({name for name in names if names.count(name) > 1} - {model.id for model in MODELS}) == 0


HEADERS = {
    "deepseek-r1": "DeepSeek-V3-Q4_0", "deepseek-v3.2": "DeepSeek-V3.2-Q4_0", "kimi-k2": "Kimi-K2-Q4_0",
    "kimi-k2-thinking": "Kimi-K2-Q4_0", "glm-5": "GLM-5-Q4_0", "glm-4.6": "GLM-4.6-Q4_K", "glm-4.5-air": "GLM-4.5-Air-Q8_0",
    "qwen3-coder-480b": "Qwen3-Coder-480B-A35B-Q4_K", "qwen3-235b": "Qwen3-235B-A22B-Q4_K", "minimax-m2": "MiniMax-M2-Q4_K",
    "llama-4-maverick": "Llama-4-Maverick-Q4_K", "llama-4-scout": "Llama-4-Scout-Q4_K", "gpt-oss-120b": "gpt-oss-120b-MXFP4",
    "gpt-oss-20b": "gpt-oss-20b-MXFP4", "command-a": "command-a-Q4_0", "gemma-3-27b": "gemma-3-27b-Q8_0",
    "qwen3-next-80b": "Qwen3-Next-80B-A3B-Q8_0", "llama-3.1-405b": "Llama-3.1-405B-Q4_K", "llama-3.3-70b": "Llama-3.1-70B-Q4_K",
    "mistral-large-2": "Mistral-Large-2407-Q4_K", "qwen2.5-72b": "Qwen2.5-72B-Q4_0", "qwen3-32b": "Qwen3-32B-Q4_K",
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_known_model_keeps_what_a_header_of_it_says(name: str, tmp_path: Path) -> None:
    """Headers that others wrote from the same configurations, compared with llama.cpp's answers elsewhere."""
    (known,) = (one for one in HEADER_MODELS if one.name == HEADERS[name])
    header = summarize(read_gguf(known.write(tmp_path), weights=False)).shape
    model = find(name)
    shape = model.shape(next(one.name for one in model.quantizations if one.format == "gguf"))
    for demand in (Demand(32_768), Demand(4_096, sequences=3, key_type="q8_0", value_type="q4_0")):
        assert kv_cache(shape, demand).bytes == kv_cache(header, demand).bytes
    assert shape.parameters * (1 - shape.unloaded_bytes / shape.weight_bytes) == pytest.approx(
        header.parameters, rel=0.01
    )
    assert (shape.layers, shape.embedding, shape.heads) == (
        header.layers - model.layers.predicting,
        header.embedding,
        header.heads,
    )


def test_in_mlx_a_latent_model_has_the_widths_of_its_config() -> None:
    """A GGUF file's 576 and 512 are those of the compressed vector; keys and values of a head are made from it."""
    mlx, gguf = (find("deepseek-r1").shape(name) for name in ("MLX 4-bit", "Q4_K_M"))
    assert (mlx.architecture, mlx.key_dim, mlx.value_dim) == ("deepseek_v3", 192, 128)
    assert (gguf.architecture, gguf.key_dim, gguf.value_dim) == ("deepseek2", 576, 512)
    plan = mlx_memory(mlx, Demand(131_072))
    assert 500 * GIB < plan.total < 512 * GIB


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_what_is_named_to_be_pulled_means_one_type_only(model: KnownModel) -> None:
    """A reference without a wildcard means every file whose name has it: ``Q2_K`` is in ``UD-Q2_K_XL`` too."""
    assert set(model.files) <= {one.name for one in model.quantizations}
    assert not {name for name in model.files if name in {"Q2_K", "Q6_K"}}
