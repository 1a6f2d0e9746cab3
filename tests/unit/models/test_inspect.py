"""Inspecting: the format is found, the header is completed by the card, the data for --json has stable keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.gguf_maker import small_model
from tests.torch_maker import imported, saved
from tests.unit.models.far.test_files import Place, served

from ultralab.kernel.errors import NotFound, Unsupported
from ultralab.models.bundles import far, from_path
from ultralab.models.formats.base import Bundle
from ultralab.models.formats.gguf import FORMAT as GGUF
from ultralab.models.formats.pytorch import FORMAT as PYTORCH
from ultralab.models.inspect import choose_format, inspect, to_data
from ultralab.models.sources.base import RemoteFile

FORMATS = (GGUF, PYTORCH)
KEYS = {
    "format", "title", "architecture", "parameters", "active_parameters", "layers", "heads", "kv_heads", "embedding",
    "experts", "experts_used", "context", "quantization", "bits_per_weight", "tensor_types", "dtype", "tokenizer",
    "vocabulary", "chat_template", "licence", "base_models", "tags", "languages", "entry", "files", "size", "unsafe",
    "safe_to_load",
}  # fmt: skip


def written(path: Path) -> Path:
    path.write_bytes(small_model())
    return path


def test_a_gguf_file(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf")
    data = to_data(inspect(from_path(path), FORMATS))
    assert set(data) == KEYS
    assert (data["format"], data["safe_to_load"], data["unsafe"]) == ("gguf", True, [])
    assert data["files"] == [{"name": "m.gguf", "size": path.stat().st_size}]
    assert data["size"] == path.stat().st_size
    assert data["parameters"] > 0
    assert json.loads(json.dumps(data)) == data


def test_the_card_completes_the_header(tmp_path: Path) -> None:
    saved(tmp_path / "pytorch_model.bin", {"w": ("FloatStorage", (3,))}, imported("evil", "thing"))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "README.md").write_text("---\nlicense: mit\nbase_model: a/b\ntags: [x]\nlanguage: zh\n---\n")
    found = inspect(from_path(tmp_path), FORMATS)
    data = to_data(found)
    assert (data["licence"], data["base_models"], data["tags"], data["languages"]) == ("mit", ["a/b"], ["x"], ["zh"])
    assert [file["name"] for file in data["files"]] == ["README.md", "pytorch_model.bin"]
    assert found.total_bytes == sum(size for _name, size in found.files)
    assert data["safe_to_load"] is False
    assert "Loading pytorch_model.bin would import evil.thing." in data["unsafe"]


def test_the_header_comes_before_the_card(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    saved(folder / "pytorch_model.bin", {"w": ("FloatStorage", (3,))})
    (folder / "README.md").write_bytes(b"---\nlicense: \xff\xfe\n---\n")
    assert inspect(from_path(folder), FORMATS).card.licence.isprintable()


def test_far_and_near_are_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf")
    near = to_data(inspect(from_path(path), FORMATS))
    with served(Place(path.read_bytes())) as place, far([RemoteFile("m.gguf", place.url, None, "")], "x") as bundle:
        assert to_data(inspect(bundle, FORMATS)) == near


def test_no_known_format(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(Unsupported, match="no model format") as caught:
        choose_format(from_path(tmp_path), FORMATS)
    assert "gguf, pytorch" in caught.value.hint
    with pytest.raises(NotFound):
        choose_format(Bundle("x", ()), FORMATS)


def test_a_folder_with_two_quantizations_names_both(tmp_path: Path) -> None:
    one, other = written(tmp_path / "m.Q4_0.gguf"), written(tmp_path / "m.Q8_0.gguf")
    with pytest.raises(Unsupported, match="several models") as caught:
        inspect(from_path(tmp_path), FORMATS)
    assert caught.value.data["files"] == [one.name, other.name]
    assert f"{one.name} (" in caught.value.hint
    assert f"{other.name} (" in caught.value.hint
