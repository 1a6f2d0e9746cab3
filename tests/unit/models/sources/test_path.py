"""Files and folders of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ultralab.kernel.errors import FileAccess, NotFound, Unsupported
from ultralab.models.sources.base import RemoteFile, Resolution
from ultralab.models.sources.path import SOURCE


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names_of(path: Path) -> list[str]:
    return [file.name for file in SOURCE.resolve(str(path)).files]


def test_one_file(tmp_path: Path) -> None:
    path = tmp_path / "模型 x-Q4_0.gguf"
    path.write_bytes(b"12345")
    assert SOURCE.resolve(str(path)) == Resolution(
        ref=f"path:{path}",
        name="模型 x-Q4_0",
        version="",
        licence="",
        homepage="",
        files=(RemoteFile(path.name, path.as_uri(), 5, ""),),
    )


def test_a_folder_with_what_lies_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "My Model"
    put(folder, "model.safetensors", "config.json", "sub/x.json", ".hidden", ".git/config")
    found = SOURCE.resolve(f"{folder}/")
    assert (found.ref, found.name) == (f"path:{folder}", "My Model")
    assert [file.name for file in found.files] == ["config.json", "model.safetensors", "sub/x.json"]
    assert found.files[2].url == (folder / "sub/x.json").as_uri()


def test_one_part_means_the_model(tmp_path: Path) -> None:
    put(tmp_path, "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "n.gguf")
    assert names_of(tmp_path / "m-00002-of-00002.gguf") == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    put(tmp_path / "st", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "config.json",
        "model.safetensors.index.json", "tokenizer.json", "picture.png")  # fmt: skip
    assert names_of(tmp_path / "st/model-00001-of-00002.safetensors") == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]


def test_a_lone_file_among_others_stays_alone(tmp_path: Path) -> None:
    put(tmp_path, "lora.safetensors", "package.json", "notes.py")
    assert names_of(tmp_path / "lora.safetensors") == ["lora.safetensors"]


def test_links_keep_their_names(tmp_path: Path) -> None:
    put(tmp_path, "blobs/abc")
    (tmp_path / "m.gguf").symlink_to(tmp_path / "blobs/abc")
    assert names_of(tmp_path / "m.gguf") == ["m.gguf"]


def test_one_s_own_odd_name_is_mended(tmp_path: Path) -> None:
    put(tmp_path, "a\nb.gguf")
    (file,) = SOURCE.resolve(str(tmp_path / "a\nb.gguf")).files
    assert (file.name, file.url) == ("a-b.gguf", (tmp_path / "a\nb.gguf").as_uri())


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        SOURCE.resolve(str(tmp_path / "no.gguf"))
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "no.gguf")
    with pytest.raises(NotFound, match="no such file"):
        SOURCE.resolve(str(tmp_path / "gone.gguf"))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="holds no files"):
        SOURCE.resolve(str(tmp_path))


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(FileAccess, match="not a regular file"):
        SOURCE.resolve(str(tmp_path / "m.gguf"))
    put(tmp_path, "x.gguf")
    assert names_of(tmp_path) == ["x.gguf"]


def test_loops_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(FileAccess):
        SOURCE.resolve(str(tmp_path / "a"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/again").symlink_to(tmp_path / "folder")
    put(tmp_path / "folder", "x.gguf")
    assert names_of(tmp_path / "folder") == ["x.gguf"]


def test_a_name_below_a_file(tmp_path: Path) -> None:
    put(tmp_path, "x.gguf")
    with pytest.raises(FileAccess):
        SOURCE.resolve(str(tmp_path / "x.gguf/y"))
