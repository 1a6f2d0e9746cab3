"""The flags of an installed llama-server, and what it prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.engines.llamacpp.stand_in import flags

from ultralab.engines.llamacpp.program import address_in, arguments, environment, version_in
from ultralab.engines.options import Adapter, LoadOptions, PromptCache

PLAIN = LoadOptions(context=512, threads=2, parallel=3)


def test_every_option_has_its_flag() -> None:
    options = replace(
        PLAIN,
        seed=7,
        key_type="q8_0",
        value_type="q4_0",
        batch=256,
        ubatch=128,
        draft=Path("/m/draft.gguf"),
        adapters=(Adapter(Path("/a/one.gguf")), Adapter(Path("/a/two.gguf"), 0.5)),
        prompt_cache=PromptCache(Path("/kept"), 10**9),
        chat_template="{{ messages }}",
        projector=Path("/m/mmproj.gguf"),
    )
    given = vars(flags().parse_args(arguments("llama-server", Path("/m/model.gguf"), options)[1:]))
    assert {name: value for name, value in given.items() if value is not False and value not in ("", None)} == {
        "no_webui": True,
        "slots": True,
        "jinja": True,
        "no_repack": True,
        "no_kv_unified": True,
        "host": "127.0.0.1",
        "port": 0,
        "cache_ram": 0,
        "fit": "off",
        "model": "/m/model.gguf",
        "ctx_size": 1536,
        "parallel": 3,
        "batch_size": 256,
        "ubatch_size": 128,
        "seed": 7,
        "threads": 2,
        "threads_batch": 2,
        "threads_draft": 2,
        "threads_batch_draft": 2,
        "flash_attn": "on",
        "cache_type_k": "q8_0",
        "cache_type_v": "q4_0",
        "spec_type": "draft-simple",
        "model_draft": "/m/draft.gguf",
        "lora_scaled": "/a/one.gguf:1.0,/a/two.gguf:0.5",
        "slot_save_path": "/kept",
        "chat_template": "{{ messages }}",
        "mmproj": "/m/mmproj.gguf",
    }


def test_what_is_not_set_has_no_flag() -> None:
    given = arguments("llama-server", Path("/m"), LoadOptions(flash=False))
    for flag in ("--threads", "--spec-type", "--lora-scaled", "--slot-save-path", "--chat-template", "--embeddings"):
        assert flag not in given
    assert given[given.index("--flash-attn") + 1] == "off"


def test_embeddings_are_pooled_as_the_header_says_or_by_the_mean() -> None:
    options = replace(PLAIN, embeddings=True, ubatch=128)
    own, mean = (arguments("s", Path("/m"), options, pooled=pooled) for pooled in (True, False))
    assert own[-1] == "--embeddings"
    assert mean[-3:] == ("--embeddings", "--pooling", "mean")
    assert own[own.index("--batch-size") + 1] == "128"


def test_its_environment_has_the_secret_and_no_options() -> None:
    found = environment({"PATH": "/bin", "LLAMA_ARG_CTX_SIZE": "7", "LLAMA_CACHE": "/c"}, "s3cret")
    assert found == {
        "PATH": "/bin",
        "LLAMA_CACHE": "/c",
        "LLAMA_API_KEY": "s3cret",
        "LLAMA_SERVER_ROUTER_PORT": "0",
    }


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("0.00.661.785 I srv          init: listening on http://127.0.0.1:35399", "http://127.0.0.1:35399"),
        ("main: server is listening on http://127.0.0.1:8080 - starting the main loop", "http://127.0.0.1:8080"),
        ("main: binding port to default address family", ""),
        ("listening on http://127.0.0.1:0", ""),
        ("listening on http://0.0.0.0:80", ""),
    ],
)
def test_the_address_in_its_log(line: str, address: str) -> None:
    assert address_in(line) == address


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("version: 6325 (4efd5a8)\nbuilt with cc for Linux x86_64\n", "llama-server 6325"),
        ("ggml_metal_init: found device\nversion: 10021 (33a75f41)\n", "llama-server 10021"),
        ("ls (GNU coreutils) 9.1", ""),
        ("", ""),
    ],
)
def test_its_version(output: str, version: str) -> None:
    assert version_in(output) == version
