"""Other tools' models become the library's where they are; nothing of theirs is touched."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
from tests.gguf_maker import STR, small_model
from tests.safetensors_maker import LLAMA, SMALL, safetensors_bytes
from tests.unit.models.neighbours.folders import COMMIT, everything, hub_repo, ollama_model, put, sha256

from ultralab.kernel.errors import AlreadyExists, FileDamaged, NotFound, Unsupported
from ultralab.models.formats.base import Format
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.formats.safetensors import FORMAT as SAFETENSORS
from ultralab.models.library import Library, model_path, records, remove, verify
from ultralab.models.neighbours import NEIGHBOURS
from ultralab.models.sharing.adopt import Found, adopt, find_holdings
from ultralab.models.store.hashing import hash_of
from ultralab.models.types import ModelFile, ModelRecord

MODEL = small_model()
OTHER = small_model(general__name=(STR, "Another"))


@pytest.fixture(autouse=True)
def nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "lab 实验室")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "主目录 🏠"


def look(library: Library, home: Path, *paths: Path) -> tuple[Found, ...]:
    return find_holdings(library, NEIGHBOURS, [FORMAT], paths, home=home)


def take(library: Library, found: Found, name: str | None = None) -> ModelRecord:
    return adopt(library, found, [FORMAT], partial(hash_of, library), added_by="me", name=name)


def hub(home: Path) -> Path:
    return home / ".cache/huggingface/hub"


def test_a_model_of_the_hub_is_registered_where_it_is(library: Library, home: Path) -> None:
    place = hub_repo(hub(home), "org/Tiny-7B-GGUF", {"Tiny-7B-Q4_0.gguf": MODEL})
    before = everything(home)
    [found] = look(library, home)
    assert found.header is not None
    assert (found.problem, found.already, found.claimed) == ("", None, False)
    record = take(library, found)
    assert (record.ref, record.title, record.source, record.revision, record.added_by) == (
        "tiny-7b:q4_0", "Tiny-7B", "hf:org/Tiny-7B-GGUF:Tiny-7B-Q4_0.gguf", COMMIT, "me",
    )  # fmt: skip
    assert record.files == (ModelFile("Tiny-7B-Q4_0.gguf", len(MODEL), sha256(MODEL)),)
    assert everything(home) == before
    assert model_path(library, record).resolve() == (place / "blobs" / sha256(MODEL)).resolve()
    assert (library.blobs / sha256(MODEL)).is_symlink()
    verify(library, record)
    [again] = look(library, home)
    assert (again.already, again.claimed) == (record.ref, False)
    assert take(library, again) == record
    assert records(library) == (record,)
    remove(library, record.ref)
    assert everything(home) == before


def test_one_model_held_by_several_tools_is_one(library: Library, home: Path) -> None:
    hub_repo(hub(home), "org/Tiny-7B-GGUF", {"Tiny-7B-Q4_0.gguf": MODEL})
    ollama_model(home / ".ollama/models", "tiny", MODEL, tag="7b-q4_0")
    put(home / ".lmstudio/models/org/Tiny-7B-GGUF/Tiny-7B-Q4_0.gguf", MODEL)
    link = home / ".lmstudio/models/org/Linked/Linked.gguf"
    link.parent.mkdir()
    link.symlink_to(home / ".ollama/models/blobs" / f"sha256-{sha256(MODEL)}")
    found = look(library, home)
    assert [each.holding.tool for each in found] == [
        "hf",
        "ollama",
        "lmstudio",
    ]  # the link leads to a file told already
    first = take(library, found[0])
    assert [take(library, each) for each in found] == [first, first, first]
    told = {each.holding.tool: (each.already, each.claimed) for each in look(library, home)}
    # LM Studio's copy says nothing of itself: only hashing can tell
    assert told == {"hf": (first.ref, False), "ollama": (first.ref, True), "lmstudio": (None, False)}


def test_names_that_are_taken_get_the_tools_name(library: Library, home: Path) -> None:
    ollama_model(home / ".ollama/models", "tiny-7b", MODEL)
    hub_repo(hub(home), "org/Tiny-7B-GGUF", {"Tiny-7B-Q4_0.gguf": OTHER})
    found = {each.holding.tool: each for each in look(library, home)}
    one, two = take(library, found["hf"]), take(library, found["ollama"])
    assert (one.ref, two.ref) == ("tiny-7b:q4_0", "tiny-7b:q4_0-ollama")
    assert two.source == "ollama:tiny-7b:latest"
    assert [each.already for each in look(library, home)] == [one.ref, two.ref]
    put(home / "x/Tiny-7B-Q4_0.gguf", small_model(general__name=(STR, "Third")))
    third = look(library, home, home / "x")[-1]
    with pytest.raises(AlreadyExists):
        take(library, third, name="tiny-7b")
    assert take(library, third, name="mine").ref == "mine:q4_0"


def test_a_claim_is_not_believed(library: Library, home: Path) -> None:
    blob = ollama_model(home / ".ollama/models", "tiny", MODEL)
    blob.write_bytes(MODEL[:-1] + b"\x01")  # the last weight
    [found] = look(library, home)
    assert found.problem == ""
    with pytest.raises(FileDamaged) as caught:
        take(library, found)
    assert caught.value.data["expected"] == sha256(MODEL)
    assert records(library) == ()
    assert not list(library.home.rglob("blobs/sha256/*"))
    assert blob.exists()


def test_what_cannot_be_adopted_says_why(library: Library, home: Path) -> None:
    put(home / ".lmstudio/models/org/Bad/bad.gguf", b"GGUF" + b"\xff" * 100)
    put(home / ".lmstudio/models/org/None/none.gguf", b"no model at all")
    put(home / ".lmstudio/models/org/Empty/empty.gguf", b"")
    os.mkfifo(home / ".lmstudio/models/org/pipe.gguf")
    (home / ".lmstudio/models/loop").symlink_to(home / ".lmstudio/models")
    put(home / ".lmstudio/models/org/Good/good.gguf", MODEL)
    found = {each.holding.where.name: each for each in look(library, home)}
    assert {name for name, each in found.items() if each.header} == {"good.gguf"}
    assert all(each.problem for each in found.values() if each.header is None)
    assert found["none.gguf"].problem.endswith("is in no model format that ultralab knows.")
    with pytest.raises(Unsupported, match=r"bad\.gguf"):
        take(library, found["bad.gguf"])


def test_a_file_that_changes_meanwhile_is_refused(library: Library, home: Path) -> None:
    path = put(home / "models/Tiny-Q4_0.gguf", MODEL)
    [found] = look(library, home, home / "models")

    def slow_hash(file: Path) -> str:
        digest = hash_of(library, file)
        path.write_bytes(OTHER)
        return digest

    with pytest.raises(FileDamaged):
        adopt(library, found, [FORMAT], slow_hash, added_by="me")
    assert records(library) == ()
    path.write_bytes(MODEL[:-10])
    with pytest.raises(FileDamaged, match="bytes instead of"):
        take(library, found)
    path.unlink()
    with pytest.raises(NotFound):
        take(library, found)


def test_a_model_of_many_files_is_adopted_whole(library: Library, home: Path) -> None:
    weights = safetensors_bytes(SMALL)
    contents = {
        "model.safetensors": weights,
        "config.json": json.dumps(LLAMA).encode(),
        "tokenizer.json": json.dumps({"model": {"type": "BPE"}, "padding": "x" * 300}).encode(),
        "README.md": b"# A model",
        "picture.png": b"no part of it",
    }
    hub_repo(hub(home), "org/微型-Llama", {})
    hub_repo(hub(home), "org/Mini-Llama", contents)
    before = everything(home)
    formats: list[Format] = [FORMAT, SAFETENSORS]
    found = {each.holding.name: each for each in find_holdings(library, NEIGHBOURS, formats, home=home)}
    mini = found["Mini-Llama"]
    assert mini.header is not None, mini.problem
    record = adopt(library, mini, formats, partial(hash_of, library), added_by="me")
    assert (record.name, record.format, record.source, record.revision) == (
        "mini-llama", "safetensors", "hf:org/Mini-Llama", COMMIT,
    )  # fmt: skip
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {file.name for file in record.files}
    assert "picture.png" not in {file.name for file in record.files}
    assert {file.name: file.sha256 for file in record.files}["config.json"] == sha256(contents["config.json"])
    assert model_path(library, record) == library.folder(record)
    assert everything(home) == before
    again = {each.holding.name: each for each in find_holdings(library, NEIGHBOURS, formats, home=home)}
    assert (again["Mini-Llama"].already, again["Mini-Llama"].claimed) == (record.ref, False)


def test_a_path_by_name(library: Library, home: Path) -> None:
    path = put(home / "models/深度 求索-Q4_0.gguf", MODEL)
    [found] = look(library, home, path)
    record = take(library, found)
    assert record.files[0].name == "深度 求索-Q4_0.gguf"
    assert record.source == f"path:{path}"
    with pytest.raises(NotFound):
        look(library, home, home / "gone")


def test_bytes_that_are_in_the_store_already_are_not_linked_elsewhere(library: Library, home: Path) -> None:
    blob = ollama_model(home / ".ollama/models", "tiny", MODEL)
    [found] = look(library, home)
    record = take(library, found)
    assert (library.blobs / sha256(MODEL)).resolve() == blob.resolve()
    put(home / "copy/Tiny.gguf", MODEL)
    other = look(library, home, home / "copy")[-1]
    assert take(library, other) == record
    assert (library.blobs / sha256(MODEL)).resolve() == blob.resolve()
