"""Remedies for recorded last lines of engines. The source of each stands beside it."""

from __future__ import annotations

import pytest

from ultralab.engines.host.diagnosis import ending, remedy
from ultralab.engines.host.log import last_words

MEMORY, UNKNOWN, DAMAGED = (
    "There was not enough memory",
    "This version of the engine does not know",
    "The model's files",
)

RECORDED = [
    # ggml-org/llama.cpp, issue 9701 and pull request 7010
    ("error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)", MEMORY),
    # ml-explore/mlx, pull request 479
    (
        "[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        MEMORY,
    ),
    # BodhiSearch/BodhiApp, issue 4 (llama.cpp)
    ("ggml_gallocr_reserve_n: failed to allocate Metal buffer of size 8891928576", MEMORY),
    # ggml-org/llama.cpp, issue 9460
    ("ggml_backend_metal_buffer_type_alloc_buffer: error: failed to allocate buffer, size = 50000.00 MiB", MEMORY),
    # the texts of llama.cpp in xllamacpp 2026.10
    ("llama_model_load: error loading model: unable to allocate CPU buffer", MEMORY),
    ("llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers", MEMORY),
    ("error loading model architecture: unknown model architecture: 'wolf'", UNKNOWN),
    ("error loading model vocabulary: unknown pre-tokenizer type: 'wolf'", UNKNOWN),
    ("tensor 'blk.3.attn_q.weight' data is not within the file bounds, model is corrupted or incomplete", DAMAGED),
    ("gguf_init_from_file_impl: invalid magic characters: 'GGML', expected 'GGUF'", DAMAGED),
    ("main: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080", "The port is taken"),
    # ml-explore/mlx, mlx/backend/metal/allocator.cpp
    (
        "[metal::malloc] Attempting to allocate 38654705664 bytes which is greater than the maximum allowed buffer size",
        MEMORY,
    ),
    # mlx_lm 0.32, utils.py
    ("ValueError: Model type wolf not supported.", UNKNOWN),
    # pytorch/pytorch, issue 130112
    ("RuntimeError: MPS backend out of memory (MPS allocated: 5.50 GB, other allocations: 14.76 GB)", MEMORY),
    # pytorch, c10/core/impl/alloc_cpu.cpp
    ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.", MEMORY),
    # transformers 5, models/auto/configuration_auto.py
    ("model type `wolf` but Transformers does not recognize this architecture. This could be because", UNKNOWN),
    # safetensors, bindings/python
    ("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge", DAMAGED),
    # Python
    ("OSError: [Errno 98] Address already in use", "The port is taken"),
    ("OSError: [Errno 28] No space left on device", "The disk is full"),
    ("OSError: [Errno 24] Too many open files: 'model.safetensors'", "Too many files are open"),
    ("ModuleNotFoundError: No module named 'mlx_lm'", "A package that the engine needs is missing"),
    ("MemoryError", MEMORY),
]


@pytest.mark.parametrize(("line", "begins"), RECORDED)
def test_a_recorded_line_leads_to_its_remedy(line: str, begins: str) -> None:
    assert remedy(["it starts", line, "it ends"], 1).startswith(begins)


def test_the_newest_line_that_says_something_counts() -> None:
    lines = [line for line, _ in RECORDED]
    assert remedy([*lines, "unknown model architecture: 'x'"]).startswith(UNKNOWN)
    assert remedy([lines[0], *["nothing"] * 60]) == ""


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        (137, "Somebody killed it, most likely the system"),
        (132, "The engine was built for another"),
        (139, ""),
        (1, ""),
    ],
)
def test_how_it_ended_tells_something_too(status: int, begins: str) -> None:
    assert remedy([], status)[: len(begins) or None] == begins


@pytest.mark.parametrize(
    "line",
    [
        "load_tensors: offloaded 33/33 layers to GPU",
        "llama_kv_cache: size = 512.00 MiB, allocated",
        "ggml_metal_init: recommendedMaxWorkingSetSize  = 154618.82 MB",
        "srv    init: memory is fine",
    ],
)
def test_an_ordinary_line_says_nothing(line: str) -> None:
    assert remedy([line], 1) == ""


def test_how_it_ended_in_words() -> None:
    assert [ending(status) for status in (None, 0, 7, 137)] == [
        "it still runs",
        "exit status 0",
        "exit status 7",
        "killed by signal 9",
    ]


def test_last_words_are_few_and_short() -> None:
    assert last_words(("a", "b", "c"), count=2) == "b / c"
    assert last_words(("x" * 10,), width=5) == "…xxxx"
    assert last_words(()) == ""
