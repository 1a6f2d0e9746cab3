"""File names of the real world and what the library calls the models in them."""

from __future__ import annotations

import pytest

from ultralab.kernel.errors import RequestError
from ultralab.models.formats.base import ModelHeader
from ultralab.models.names import Names, names_for, require_name, split_quantization, title_for
from ultralab.planner.types import ModelShape

SHAPE = ModelShape("qwen2", 28, 3584, 18944, 28, 4, 128, 128, 152064, 32768, 7_615_616_512, 8, 8)


def header(title: str = "", basename: str = "", quantization: str = "Q4_K") -> ModelHeader:
    metadata = {"general.basename": basename} if basename else {}
    return ModelHeader("gguf", title, "", quantization, 4.5, {}, SHAPE, metadata)


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", Names("smollm2-135m-instruct", "q4_1", "smollm2")),
        ("Qwen2.5-7B-Instruct-Q4_K_M.gguf", Names("qwen2.5-7b-instruct", "q4_k_m", "qwen2.5")),
        ("qwen2.5-7b-instruct-fp16.gguf", Names("qwen2.5-7b-instruct", "fp16", "qwen2.5")),
        ("DeepSeek-R1-Q4_K_M-00001-of-00009.gguf", Names("deepseek-r1", "q4_k_m", "deepseek-r1")),
        ("DeepSeek-V3-0324-UD-IQ2_XXS-00001-of-00005.gguf", Names("deepseek-v3-0324", "ud-iq2_xxs", "deepseek-v3-0324")),
        ("Meta-Llama-3.1-8B-Instruct-Q8_0.gguf", Names("meta-llama-3.1-8b-instruct", "q8_0", "meta-llama-3.1")),
        ("Mixtral-8x7B-Instruct-v0.1.Q5_K_S.gguf", Names("mixtral-8x7b-instruct-v0.1", "q5_k_s", "mixtral")),
        ("gpt-oss-20b-mxfp4.gguf", Names("gpt-oss-20b", "mxfp4", "gpt-oss")),
        ("gemma-3-27b-it-qat-q4_0.gguf", Names("gemma-3-27b-it-qat", "q4_0", "gemma-3")),
        ("Qwen3-30B-A3B-Instruct-2507-BF16.gguf", Names("qwen3-30b-a3b-instruct-2507", "bf16", "qwen3")),
        ("llama-2-7b.Q3_K_L.gguf", Names("llama-2-7b", "q3_k_l", "llama-2")),
        ("Llama-3.2-1B.i1-Q4_K_M.gguf", Names("llama-3.2-1b", "i1-q4_k_m", "llama-3.2")),
        ("tinyllama-1.1b-chat-v1.0.Q6_K.gguf", Names("tinyllama-1.1b-chat-v1.0", "q6_k", "tinyllama")),
        ("phi-2.F32.gguf", Names("phi-2", "f32", "phi-2")),
        ("bitnet-b1.58-2B-4T-TQ2_0.gguf", Names("bitnet-b1.58-2b-4t", "tq2_0", "bitnet-b1.58")),
        ("My Model (final).gguf", Names("my-model-final", "q4_k", "my-model-final")),
        ("a--b-Q8_0.GGUF", Names("a-b", "q8_0", "a-b")),
        ("UPPER.gguf", Names("upper", "q4_k", "upper")),
    ],
)  # fmt: skip
def test_names_from_file_names(file_name: str, expected: Names) -> None:
    assert names_for(file_name, header()) == expected


@pytest.mark.parametrize(
    ("file_name", "title", "expected"),
    [
        ("model.gguf", "Tiny Llama", Names("tiny-llama", "q4_k", "tiny-llama")),
        ("model-Q8_0.gguf", "Tiny Llama", Names("tiny-llama", "q8_0", "tiny-llama")),
        ("ggml-model-f16.gguf", "", Names("qwen2-7.62b", "f16", "qwen2")),
        ("Q4_0.gguf", "Phi 4", Names("phi-4", "q4_0", "phi-4")),
        ("通义千问-7B-Q4_0.gguf", "Qwen 7B", Names("qwen-7b", "q4_0", "qwen")),
        ("通义千问-7B-Q4_0.gguf", "通义千问", Names("7b", "q4_0", "7b")),
        ("模型.gguf", "模型", Names("qwen2-7.62b", "q4_k", "qwen2")),
        ("🚀.gguf", "", Names("qwen2-7.62b", "q4_k", "qwen2")),
        (".gguf", "", Names("qwen2-7.62b", "q4_k", "qwen2")),
    ],
)
def test_names_where_the_file_name_says_little(file_name: str, title: str, expected: Names) -> None:
    assert names_for(file_name, header(title)) == expected


@pytest.mark.parametrize(
    ("file_name", "title", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Smollm2 135M 8k Mix1", "SmolLM2-135M-Instruct"),
        ("DeepSeek-R1-Q4_K_M-00001-of-00009.gguf", "", "DeepSeek-R1"),
        ("My Model (final).gguf", "x", "My Model (final)"),
        ("model-Q8_0.gguf", "Tiny Llama", "Tiny Llama"),
        ("通义千问-7B-Q4_0.gguf", "Qwen 7B", "通义千问-7B"),
        ("模型.gguf", "模型 甲", "模型 甲"),
        ("a\x1b[31mb.gguf", "x", "a\N{REPLACEMENT CHARACTER}[31mb"),
        ("model.gguf", "", ""),
    ],
)
def test_titles_are_what_people_read(file_name: str, title: str, expected: str) -> None:
    assert title_for(file_name, header(title)) == expected


def test_the_basename_in_the_header_is_the_family() -> None:
    assert names_for("x-7b-Q4_0.gguf", header(basename="Qwen2.5")) == Names("x-7b", "q4_0", "qwen2.5")


@pytest.mark.parametrize("name", ["model.gguf", "q4.gguf", "Q4_K_M", "no-quantization-here.gguf"])
def test_what_is_stripped_is_only_a_quantization(name: str) -> None:
    expected = {
        "model.gguf": ("model", ""),
        "q4.gguf": ("", "q4"),
        "Q4_K_M": ("", "q4_k_m"),
        "no-quantization-here.gguf": ("no-quantization-here", ""),
    }
    assert split_quantization(name) == expected[name]


def test_a_name_of_the_users_own() -> None:
    assert require_name("my-model.v2") == "my-model.v2"
    for bad in ("My Model", "", "../x", "a--b", "模型", "a" * 101):
        with pytest.raises(RequestError) as caught:
            require_name(bad)
        assert caught.value.hint
