"""Which architectures have a KV cache that the planner can compute: a table, shared by all formats."""

from __future__ import annotations

from typing import Final

GROUPED: Final = frozenset({
    "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom", "chatglm", "codeshell", "command-r",
    "dbrx", "deci", "deepseek", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "falcon", "gemma", "glm4", "glm4moe",
    "gpt2", "gptneox", "granite", "granitemoe", "grok", "hunyuan-dense", "hunyuan-moe", "internlm2", "jais", "llama",
    "maincoder", "minicpm", "minimax-m2", "mistral3", "mpt", "nanbeige", "nemotron", "olmo", "olmoe", "openelm", "orion",
    "phi2", "plamo", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "refact",
    "seed_oss", "smollm3", "stablelm", "starcoder", "starcoder2", "xverse",
})  # fmt: skip
"""Architectures whose KV cache is plain grouped-query attention over the whole context in every layer, as
llama.cpp builds them (``src/models``, ``src/llama-model.cpp``), unless a key of another kind says otherwise."""
