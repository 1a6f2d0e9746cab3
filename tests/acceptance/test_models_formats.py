"""Formats as their user meets them: inspected, pulled, made into other models, by the installed command."""

from __future__ import annotations

import json
import re
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors import safe_open
from tests.acceptance.command import finish, half_written, signal_group, start, ultralab, wait_until
from tests.gguf_maker import Tensor, gguf_bytes, small_keys, small_model, split_model, tiny_llama
from tests.hf_maker import hf_llama, packed_llama
from tests.safetensors_maker import SMALL, directory, framed, sharded
from tests.torch_maker import imported, saved, several, text

KEYS = {
    "format", "title", "architecture", "parameters", "active_parameters", "layers", "heads", "kv_heads", "embedding",
    "experts", "experts_used", "context", "quantization", "bits_per_weight", "tensor_types", "dtype", "tokenizer",
    "vocabulary", "chat_template", "licence", "base_models", "tags", "languages", "entry", "files", "size", "unsafe",
    "safe_to_load", "where", "fit",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("formats") / "实验室 lab"
    assert ultralab("init", home, "--lang", "en").status == 0
    return home


def _gguf(folder: Path) -> Path:
    return tiny_llama(folder / "小 模型 😀.gguf")


def _split(folder: Path) -> Path:
    for name, content in split_model(2).items():
        (folder / name).write_bytes(content)
    return folder


def _sharded(folder: Path) -> Path:
    return sharded(folder, [dict(list(SMALL.items())[:2]), dict(list(SMALL.items())[2:])])


def _plain(folder: Path) -> Path:
    hf_llama(folder)
    (folder / "README.md").write_text("---\nlicense: mit\nbase_model: 原/base\n---\n")
    return folder


def _packed(method: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        packed_llama(folder, method)
        return folder

    return make


def _mlx(folder: Path) -> Path:
    return directory(folder, SMALL, format="mlx")


def _pickle(folder: Path) -> Path:
    return saved(folder / "pytorch_model.bin", {"w": ("HalfStorage", (10, 4))})


MADE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "gguf": (_gguf, "gguf"),
    "gguf in parts": (_split, "gguf"),
    "safetensors": (_plain, "safetensors"),
    "shards": (_sharded, "safetensors"),
    "mlx": (_mlx, "mlx"),
    "gptq": (_packed("gptq"), "gptq"),
    "awq": (_packed("awq"), "awq"),
    "pickle": (_pickle, "pytorch"),
}


def _elements(path: Path) -> int:
    """What independent libraries count in all files below a path."""
    total = 0
    for file in [path] if path.is_file() else sorted(path.iterdir()):
        if file.suffix == ".gguf":
            total += sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors)
        elif file.suffix == ".safetensors":
            with safe_open(file, "np") as stream:
                total += sum(int(np.prod(stream.get_slice(name).get_shape())) for name in stream.keys())  # noqa: SIM118
    return total


@pytest.mark.parametrize("name", MADE)
def test_every_format_is_inspected(home: Path, tmp_path: Path, name: str) -> None:
    make, format_ = MADE[name]
    path = make(tmp_path)
    done = ultralab("models", "inspect", path, "--home", home, "--json")
    assert (done.status, done.err) == (0, "")
    data = done.data
    assert set(data) == KEYS
    assert data["format"] == format_
    assert data["safe_to_load"] is (format_ != "pytorch")
    assert bool(data["unsafe"]) is (format_ == "pytorch")
    if format_ in ("gguf", "safetensors", "mlx"):
        assert data["parameters"] == _elements(path)
    assert 0 < data["bits_per_weight"] <= 32
    assert data["size"] == sum(file["size"] for file in data["files"])
    shown = ultralab("models", "inspect", path, "--home", home)
    assert shown.status == 0
    assert format_ in shown.out
    assert "\x1b" not in shown.out


def test_what_belongs_to_a_folder_is_said(home: Path, tmp_path: Path) -> None:
    folder = _plain(tmp_path / "m")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    data = ultralab("models", "inspect", folder, "--home", home, "--json").data
    config = json.loads((folder / "config.json").read_text())
    assert (data["licence"], data["base_models"], data["chat_template"]) == ("mit", ["原/base"], "{{ messages }}")
    assert (data["layers"], data["heads"]) == (config["num_hidden_layers"], config["num_attention_heads"])
    assert (data["kv_heads"], data["context"]) == (config["num_key_value_heads"], config["max_position_embeddings"])


def test_a_pickle_that_would_create_a_file_is_listed_unsafe_and_never_runs(home: Path, tmp_path: Path) -> None:
    witness, folder = tmp_path / "created", tmp_path / "evil"
    folder.mkdir()
    payload = imported("os", "system") + several(text(f"touch '{witness}'")) + b"R"
    saved(folder / "pytorch_model.bin", {"w": ("HalfStorage", (10, 4))}, payload)
    for place in (folder, folder / "pytorch_model.bin"):
        found = ultralab("models", "inspect", place, "--home", home, "--json").data
        assert found["safe_to_load"] is False
        assert any("os.system" in reason for reason in found["unsafe"])
    pulled = ultralab("models", "pull", folder, "--name", "evil", "--home", home, "--json")
    assert (pulled.status, pulled.data["format"]) == (0, "pytorch"), pulled.err
    assert any("os.system" in reason for reason in pulled.data["unsafe"])
    assert "os.system" in ultralab("models", "show", pulled.data["ref"], "--home", home).out
    assert "⚠" in ultralab("models", "list", "--home", home).out
    assert not witness.exists()


def _without_a_shard(folder: Path) -> Path:
    (_sharded(folder) / "model-00002-of-00002.safetensors").unlink()
    return folder


def _two(folder: Path) -> Path:
    for name in ("m.Q4_0.gguf", "m.Q8_0.gguf"):
        (folder / name).write_bytes(small_model())
    return folder


def _file(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content())
        return folder / name

    return make


BAD: dict[str, tuple[Callable[[Path], Path], int, str]] = {
    "a shard is missing": (_without_a_shard, 1, "model-00002-of-00002.safetensors"),
    "two quantizations": (_two, 2, r"m\.Q4_0.*m\.Q8_0"),
    "cut off": (_file("m.gguf", lambda: small_model()[:-1000]), 1, "1000 of"),
    "a wrong size": (_file("m.safetensors", lambda: struct.pack("<Q", 2**63) + b"{}"), 2, "no model format"),
    "deep": (_file("m.safetensors", lambda: framed(b'{"a":' + b"[" * 10**6)), 1, "nested too deep|does not end"),
    "a name to draw with": (
        _file("m.gguf", lambda: gguf_bytes(small_keys(), [Tensor("\x1b[31m\u202e\n", (4,), code=99)])), 1, "unknown tensor type",
    ),
    "a text": (_file("m.gguf", lambda: b"hello"), 2, "no model format"),
    "nothing": (_file("m.gguf", lambda: b""), 2, "no model format"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_hostile_file_gives_a_status_and_one_clear_sentence(home: Path, tmp_path: Path, name: str) -> None:
    make, status, said = BAD[name]
    path = make(tmp_path)
    for verb in ("inspect", "pull"):
        done = ultralab("models", verb, path, "--home", home)
        assert (done.status, done.out) == (status, ""), done.err
        assert re.search(said, done.err), done.err
        first, hint = done.err.splitlines()[-2:]
        assert first.startswith("Error: ")
        assert hint.startswith("  → ")
        assert "Traceback" not in done.err
        assert not {"\x1b", "\u202e"} & set(done.err)
    error = ultralab("models", "inspect", path, "--home", home, "--json").error
    assert error["exit_status"] == status
    assert re.search(said, f"{error['message']} {error['hint']}")
    assert half_written(home) == []


def test_a_quantization_is_recorded_with_its_parent_and_made_once(home: Path, tmp_path: Path) -> None:
    parent = ultralab("models", "pull", _gguf(tmp_path), "--name", "tiny", "--home", home, "--json").data
    made = ultralab("models", "quantize", parent["ref"], "Q8_0", "--home", home, "--json")
    assert made.status == 0, made.err
    derived = made.data["derived"]
    assert (derived["parent"], derived["parent_sha256"]) == (parent["ref"], parent["sha256"])
    assert (derived["quantization"], derived["tool"]) == ("Q8_0", "ultralab + gguf")
    assert re.search(r"gguf \d", derived["tool_version"])
    shown = ultralab("models", "show", made.data["ref"], "--home", home).out
    assert parent["ref"] in shown
    assert "ultralab + gguf" in shown
    again = ultralab("models", "quantize", parent["ref"], "q8_0", "--home", home, "--json")
    assert (again.status, again.data) == (0, made.data)
    kinds = {
        tensor.tensor_type.name
        for tensor in GGUFReader(home / "store" / "blobs" / "sha256" / made.data["sha256"]).tensors
    }
    assert kinds == {"F32", "Q8_0"}
    assert half_written(home) == []


def test_a_quantization_without_its_tool_says_how_to_get_it(home: Path, tmp_path: Path) -> None:
    ref = ultralab("models", "pull", _gguf(tmp_path), "--name", "other", "--home", home, "--json").data["ref"]
    missing = ultralab("models", "quantize", ref, "Q4_K_M", "--llama-cpp", tmp_path, "--home", home)
    assert missing.status == 2
    assert "llama-quantize" in missing.err
    assert "brew install llama.cpp" in missing.err
    unknown = ultralab("models", "quantize", ref, "Q9", "--home", home, "--json")
    assert (unknown.status, unknown.error["kind"]) == (2, "UnknownChoice")


@pytest.mark.slow  # a framework, and an interruption
def test_a_conversion_interrupted_leaves_nothing_and_then_succeeds(home: Path, tmp_path: Path) -> None:
    packed_llama(tmp_path / "awq", "awq")
    parent = ultralab("models", "pull", tmp_path / "awq", "--name", "packed", "--home", home, "--json").data
    before = sorted(path.name for path in (home / "models" / "metadata").iterdir())
    arguments = ("models", "convert", parent["ref"], "--to", "safetensors", "--home", home, "--json")
    process = start(*arguments)
    wait_until(lambda: bool(half_written(home)) or process.poll() is not None)  # it works in a folder of its own
    signal_group(process, signal.SIGINT)
    done = finish(process)
    assert (done.status, done.out) == (130, ""), done.err
    assert "Traceback" not in done.err
    assert half_written(home) == []
    assert sorted(path.name for path in (home / "models" / "metadata").iterdir()) == before
    made = ultralab(*arguments)
    assert made.status == 0, made.err
    assert (made.data["format"], made.data["derived"]["parent_sha256"]) == ("safetensors", parent["sha256"])
    assert re.match(r"\d+/\d+ greedy tokens equal|not judged: ", made.data["derived"]["judged"])
    assert half_written(home) == []
