"""``ultralab plan`` as a person uses it: files that hold a header only, far files, bad input, no lab at all."""

from __future__ import annotations

import itertools
import json
import random
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.command import Done, environment, ultralab
from tests.architectures.dense import LLAMA_31_8B, MODELS
from tests.fault_server import Site, serve
from tests.gguf_maker import ARR, BOOL, STR, U32, Tensor, entry, gguf_bytes, small_keys, small_model
from tests.hf_maker import hf_llama

MIB = 1024**2


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    """No lab, and nobody outside is reached."""
    return environment(ULTRALAB_STATE=str(tmp_path / "state"), ULTRALAB_HOME=str(tmp_path / "no lab"))


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """The header of Llama 3.1 8B in Q8_0, and nothing behind it."""
    path = tmp_path / "Llama 3.1 头.gguf"
    path.write_bytes(LLAMA_31_8B.header())
    return path


def plan(env: Mapping[str, str], *arguments: str | Path) -> Done:
    return ultralab("plan", *arguments, env=env)


def shown(env: Mapping[str, str], *arguments: str | Path) -> dict[str, Any]:
    done = plan(env, "show", *arguments, "--json")
    assert (done.status, done.err) == (0, "")
    found: dict[str, Any] = done.data
    return found


def test_a_header_alone_is_enough_and_no_lab_is_needed(env: Mapping[str, str], llama: Path) -> None:
    found = shown(env, llama, "--context", "131072", "--machine", "m3-ultra-96")
    assert found["weights_bytes"] // MIB == 8137
    assert found["kv_cache_bytes"] == 16384 * MIB
    assert found["compute_bytes"] / MIB == pytest.approx(418.5, abs=0.1)
    parts = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes")
    assert found["total_bytes"] == sum(found[part] for part in parts)
    assert found["fits"] is True
    assert found["limit_bytes"] == 72 * 1024**3
    assert found["max_context"] == 131_072
    for key in (*parts, "total_bytes", "decode_tok_s", "prefill_tok_s", "ttft_s"):
        told = found["predictions"][key]
        assert told["value"] == found[key]
        assert told["low"] <= told["value"] <= told["high"]
        assert told["basis"]
        assert told["error_band"] >= 0
    assert found["machine"]["name"] == "m3-ultra-96"
    assert 0 < found["decode_of_nominal_bandwidth"] < 1
    assert found["warnings"] == []


@pytest.mark.parametrize(("kv", "expected"), [("q8_0", 8704), ("q4_0", 4608)])
def test_a_quantized_cache(env: Mapping[str, str], llama: Path, kv: str, expected: int) -> None:
    found = shown(env, llama, "--context", "131072", "--kv", kv)
    assert found["kv_cache_bytes"] == expected * MIB


def test_sequences_flash_attention_and_keys_apart(env: Mapping[str, str], llama: Path) -> None:
    one = shown(env, llama, "--context", "8192")
    four = shown(env, llama, "--context", "8192", "--parallel", "4")
    pool = shown(env, llama, "--context", "8192", "--parallel", "4", "--unified")
    plain = shown(env, llama, "--context", "8192", "--no-flash")
    keys = shown(env, llama, "--context", "8192", "--kv-keys", "q8_0")
    assert four["kv_cache_bytes"] == 4 * one["kv_cache_bytes"]
    assert pool["kv_cache_bytes"] == one["kv_cache_bytes"]
    assert plain["compute_bytes"] > one["compute_bytes"]
    assert keys["kv_cache_bytes"] == one["kv_cache_bytes"] * (34 / 32 + 2) / 4


def test_what_does_not_fit_says_what_would(env: Mapping[str, str], llama: Path) -> None:
    found = shown(env, llama, "--context", "131072", "--machine", "m1-8")
    assert found["fits"] is False
    assert found["max_context"] == 0
    done = plan(env, "show", llama, "--context", "131072", "--machine", "m1-8")
    assert done.status == 0
    assert "Does not fit" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_what_may_not_fit_within_its_error_band_is_said(env: Mapping[str, str], llama: Path) -> None:
    most = shown(env, llama, "--machine", "m1-16")["max_context"]
    found = shown(env, llama, "--machine", "m1-16", "--context", str(most))
    assert found["total_bytes"] <= found["limit_bytes"] < found["predictions"]["total_bytes"]["high"]
    assert found["fits"] is True
    assert found["max_context"] == most
    assert "Just fits" in plan(env, "show", llama, "--machine", "m1-16", "--context", str(most)).out
    assert shown(env, llama, "--machine", "m1-16", "--context", str(most + 256))["fits"] is False


def test_a_context_beyond_the_models_is_answered_with_a_warning(env: Mapping[str, str], llama: Path) -> None:
    found = shown(env, llama, "--context", "262144")
    assert found["kv_cache_bytes"] == 2 * 16384 * MIB
    assert found["max_context"] <= 131_072
    (warning,) = found["warnings"]
    assert "131072" in warning


def test_an_unknown_architecture_has_exact_weights_and_no_confident_number(
    env: Mapping[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "new.gguf"
    path.write_bytes(small_model().replace(b"llama", b"lamma"))
    found = shown(env, path)
    assert found["weights_bytes"] == 272 + 256 + 2304 + 3456
    assert found["kv_cache_bytes"] is found["compute_bytes"] is found["total_bytes"] is found["max_context"] is None
    for key in ("kv_cache_bytes", "compute_bytes", "total_bytes"):
        assert found["predictions"][key]["known"] is False
        assert found["predictions"][key]["high"] > 0
    assert any("lamma" in warning for warning in found["warnings"])
    drawn = plan(env, "show", path)
    assert "≤" in drawn.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--context", "0"), "the context is 0"),
        (("--context", "-5"), "the context is -5"),
        (("--context", "1000000000000"), "1000000000000"),
        (("--parallel", "0"), "the number of sequences is 0"),
        (("--parallel", "1000"), "256"),
        (("--prompt", "-1"), "the prompt is -1"),
        (("--ubatch", "0"), "the micro-batch is 0"),
        (("--machine", "m9-ultra"), "m9-ultra"),
        (("--engine", "vllm"), "vllm"),
        (("--engine", "mlx"), "mlx"),
        (("--kv", "q8_0", "--no-flash"), "flash attention"),
        (("--kv", "q3_0"), "q3_0"),
    ],
)
def test_absurd_questions_are_refused(
    env: Mapping[str, str], llama: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = plan(env, "show", llama, *arguments, "--json")
    assert done.status == 2
    assert said in done.error["message"] or said in str(done.error.get("hint"))
    assert done.error["hint"]


def test_numbers_that_contradict_each_other_are_both_named(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(small_model(llama__embedding_length=(U32, 128)))
    done = plan(env, "show", path, "--json")
    assert done.status != 0
    assert "128" in done.error["message"]
    assert "64" in done.error["message"]


def test_a_well_known_name_is_no_model_here_but_advice_knows_it(env: Mapping[str, str]) -> None:
    done = plan(env, "show", "qwen3-32b", "--json")
    assert done.status == 2
    assert "ultralab plan advise qwen3-32b" in done.error["hint"]


def test_a_draft_model_is_in_the_sum(env: Mapping[str, str], llama: Path, tmp_path: Path) -> None:
    small = tmp_path / "draft 小.gguf"
    small.write_bytes(next(known for known in MODELS if known.name == "Qwen3-0.6B-Q8_0").header())
    asked = ("--context", "8192", "--machine", "m1-16")
    alone, draft = shown(env, llama, *asked), shown(env, small, *asked)
    both = shown(env, llama, *asked, "--draft", small)
    for part in ("weights_bytes", "kv_cache_bytes", "compute_bytes"):
        assert both[part] == alone[part] + draft[part]
    assert both["draft"] == str(small)
    assert 0 < both["max_context"] < alone["max_context"]
    assert any("draft" in warning for warning in both["warnings"])


def test_a_projector_is_in_the_sum_and_llama_cpps_alone(env: Mapping[str, str], llama: Path, tmp_path: Path) -> None:
    projector = tmp_path / "mmproj 图.gguf"
    keys = {
        "image_size": 896, "patch_size": 14, "embedding_length": 1152, "attention.head_count": 16,
        "feed_forward_length": 4304, "block_count": 27,
    }  # fmt: skip
    header = [entry("general.architecture", STR, "clip"), entry("clip.has_vision_encoder", BOOL, True)]
    header += [entry(f"clip.vision.{name}", U32, number) for name, number in keys.items()]
    projector.write_bytes(gguf_bytes(header, [Tensor("mm.0.weight", (1152, 4096), "F16")]))
    alone, both = shown(env, llama), shown(env, llama, "--projector", projector)
    plain = shown(env, llama, "--projector", projector, "--no-flash")["compute_bytes"]
    assert both["weights_bytes"] == alone["weights_bytes"] + 1152 * 4096 * 2
    assert both["projector"] == str(projector)
    scores = 4096**2 * 16 * 4
    assert plain - shown(env, llama, "--no-flash")["compute_bytes"] >= scores > both["compute_bytes"]
    folder = hf_llama(tmp_path / "safetensors")
    refused = plan(env, "show", folder, "--projector", projector, "--json")
    assert refused.status == 2
    assert "mlx" in refused.error["message"]


def test_no_such_model(env: Mapping[str, str], tmp_path: Path) -> None:
    done = plan(env, "show", tmp_path / "nothing.gguf", "--json")
    assert done.status != 0
    assert "nothing.gguf" in done.error["message"]


def far_header() -> bytes:
    """A header of the usual size: 128,256 tokens and as many merges, some megabytes."""
    source = random.Random(1)
    words = ["".join(source.choices(string.ascii_lowercase, k=source.randint(2, 14))) for _ in range(128_256)]
    keys = [
        *small_keys(tokenizer__ggml__tokens=(ARR, (STR, words)), llama__embedding_length=(U32, 64)),
        entry("tokenizer.ggml.merges", ARR, (STR, [f"{a} {b}" for a, b in itertools.pairwise(words)])),
    ]
    tensors = [Tensor("token_embd.weight", (64, 128_256), "Q8_0"), Tensor("blk.0.attn_q.weight", (64, 64), "Q4_0")]
    tensors += [Tensor("blk.0.ffn_up.weight", (64, 96), "Q4_0")]
    return gguf_bytes(keys, tensors)


def test_a_far_file_takes_two_range_requests_at_most(env: Mapping[str, str]) -> None:
    content = far_header()
    with serve(Site(content)) as site:
        found = shown(env, f"{site.url}?x=model.gguf" if not site.url.endswith(".gguf") else site.url)
    ranged = [asked for asked in site.asked if asked]
    assert found["architecture"] == "llama"
    assert len(ranged) <= 2 + 1, ranged  # one to learn the size, of a server that is asked for the first time


def test_machines_and_limits(env: Mapping[str, str]) -> None:
    names = {one["name"] for one in plan(env, "machines", "--json").data["machines"]}
    assert {"this", "m3-ultra-96", "m3-ultra-256", "m3-ultra-512", "m1-8", "m4-max-128"} <= names
    told = plan(env, "limits", "--machine", "m3-ultra-512")
    assert told.status == 0
    assert "sudo sysctl iogpu.wired_limit_mb=" in told.out
    here = plan(env, "limits", "--json").data
    assert here["use"]["limit_bytes"] == here["machine"]["limit_bytes"]


def test_advice_and_the_ranking(env: Mapping[str, str]) -> None:
    advice = plan(env, "advise", "deepseek-r1", "--machine", "m3-ultra-512", "--json").data
    assert advice["chosen"]["fits"] is True
    assert advice["chosen"]["quantization"].startswith("IQ4")
    (q4,) = (row for row in advice["rows"] if (row["quantization"], row["context"]) == ("Q4_K_M", 32_768))
    assert (q4["fits"], q4["tight"]) == (True, True)
    assert advice["why"]
    small = plan(env, "advise", "deepseek-r1", "--machine", "m3-ultra-96", "--json").data
    assert small["chosen"] is None
    assert small["changes"]
    assert small["machines"] > 1
    drawn = plan(env, "fits", "--machine", "m3-ultra-96").out
    assert max(map(len, drawn.splitlines())) <= 80
    assert "slower than wanted" in " ".join(drawn.split())  # a cell is wrapped, never cut
    ranking = plan(env, "fits", "--machine", "m3-ultra-512", "--json").data
    assert {"deepseek-r1", "gpt-oss-120b", "llama-3.1-405b"} <= {one["id"] for one in ranking["models"]}
    unknown = plan(env, "advise", "deepseek-r9", "--json")
    assert unknown.status == 2
    assert "deepseek-r1" in unknown.error["hint"]


def test_the_guide_is_written_into_a_lab_and_keeps_what_its_owner_wrote(env: Mapping[str, str], tmp_path: Path) -> None:
    home = tmp_path / "lab 实验室"
    assert ultralab("init", home, "--lang", "zh_CN", env=env).status == 0
    arguments = ("plan", "fits", "--machine", "m3-ultra-512", "--write", "--json", "--home", home)
    assert ultralab(*arguments, env=env).data["written"] == [str(home / "models/large_models.md")]
    page = home / "models" / "large_models.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n我的话\n", encoding="utf-8")
    assert ultralab(*arguments, env=env).data["written"] == []
    text = page.read_text(encoding="utf-8")
    assert "我的话" in text
    assert "DeepSeek" in text
    assert "iogpu.wired_limit_mb" in text


@pytest.mark.alone
def test_calibration_is_kept_and_used(env: Mapping[str, str], tmp_path: Path, smollm2: Path) -> None:
    home = tmp_path / "lab"
    assert ultralab("init", home, env=env).status == 0
    assert ultralab("models", "pull", smollm2, "--name", "small", "--home", home, env=env).status == 0
    made = ultralab("plan", "calibrate", "--home", home, "--json", env=env)
    assert made.status == 0, made.err
    assert made.data["samples"] or made.data["disturbed"]  # other tests may keep the cores busy: then no run counts
    assert made.data["measured_bandwidth"] > 1e9
    kept = json.loads((home / "state" / "calibration.json").read_text())
    assert len(kept["samples"]) == len(made.data["samples"])
    after = ultralab("plan", "show", "small", "--home", home, "--json", env=env).data
    assert after["machine"]["measured_bandwidth"] == made.data["measured_bandwidth"]
    assert 0 < after["decode_of_measured_bandwidth"] < 1.5
