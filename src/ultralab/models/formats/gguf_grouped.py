"""Which architectures have a KV cache that the planner can compute: a table, shared by all formats."""

from __future__ import annotations

from typing import Final

GROUPED: Final = frozenset({
    "command-r", "gptneox", "granite", "granitemoe", "internlm2", "llama", "minicpm", "olmo", "olmo2", "olmoe", "phi2",
    "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "smollm3", "stablelm", "starcoder2",
})  # fmt: skip
"""Architectures whose KV cache is plain grouped-query attention over the whole context in every layer, as
llama.cpp builds them (``src/models``, ``src/llama-model.cpp``), unless a key of another kind says otherwise."""
