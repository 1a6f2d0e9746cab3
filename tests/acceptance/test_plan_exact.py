"""``ultralab plan show --exact``: llama.cpp's own answer, for files that hold a header only, here and far away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.command import environment, ultralab
from tests.architectures.dense import LLAMA_31_8B
from tests.architectures.latent import MODELS
from tests.fault_server import Site, serve
from tests.gguf_maker import STR, small_model

MIB = 1024**2
PARTS = ("weights_bytes", "kv_cache_bytes", "compute_bytes")


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    """No lab, nobody outside is reached, and a folder of our own for what is temporary."""
    (tmp_path / "tmp").mkdir()
    return environment(
        ULTRALAB_STATE=str(tmp_path / "state"), ULTRALAB_HOME=str(tmp_path / "no lab"), TMPDIR=str(tmp_path / "tmp")
    )


def shown(env: Mapping[str, str], *arguments: str | Path) -> dict[str, Any]:
    done = ultralab("plan", "show", *arguments, "--exact", "--json", env=env)
    assert (done.status, done.err) == (0, "")
    found: dict[str, Any] = done.data
    return found


@pytest.mark.parametrize(("kv", "cache"), [("f16", 10980), ("q8_0", 5833)])
def test_deepseek_v3_before_it_is_downloaded(env: Mapping[str, str], tmp_path: Path, kv: str, cache: int) -> None:
    (model,) = (one for one in MODELS if one.name == "DeepSeek-V3-Q4_0")
    path = tmp_path / "DeepSeek-V3 头.gguf"
    path.write_bytes(model.header())
    found = shown(env, path, "--context", "163840", "--kv", kv, "--machine", "m3-ultra-512")
    mib = [found[part] / MIB for part in PARTS]
    assert [int(part) for part in mib[:2]] == [359969, cache]
    assert kv != "f16" or round(mib[2]) == 566
    assert found["exact"]["engine"] == "xllamacpp 2026.10.11549"
    assert found["exact"]["seconds"] < 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_far_file_costs_no_request_more(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "here.gguf"
    path.write_bytes(LLAMA_31_8B.header())
    site = Site(LLAMA_31_8B.header() + bytes(500_000))
    with serve(site):
        far = shown(env, site.url, "--context", "4096")
        assert len([span for span in site.asked if span]) <= 2
    here = shown(env, path, "--context", "4096")
    assert [far[part] for part in PARTS] == [here[part] for part in PARTS]


def test_what_llama_cpp_does_not_take_is_refused_in_its_words(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "unknown.gguf"
    path.write_bytes(small_model(general__architecture=(STR, "llama4000")))
    done = ultralab("plan", "show", path, "--exact", "--engine", "llamacpp", "--json", env=env)
    assert done.status != 0
    assert done.out == ""
    assert "llama4000" in done.error["message"]
    assert done.error["hint"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_values_in_q8_0_need_flash_attention(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "here.gguf"
    path.write_bytes(LLAMA_31_8B.header())
    done = ultralab("plan", "show", path, "--exact", "--kv", "q8_0", "--no-flash", "--json", env=env)
    assert done.status == 2
    assert "flash attention" in done.error["message"]
