"""The library's one copy, as other tools see it: their own readers where they are to be had here, their layouts else."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
from tests.gguf_maker import STR, small_model
from tests.unit.models.neighbours.folders import COMMIT, everything, hub_repo, ollama_model, put, sha256

from ultralab.kernel.errors import AlreadyExists, NotFound, Unsupported
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.library import Library, add, model_path, remove, verify
from ultralab.models.neighbours import FOLDER, NEIGHBOURS
from ultralab.models.neighbours.base import HeldFile, Holding
from ultralab.models.neighbours.huggingface import HUGGING_FACE
from ultralab.models.neighbours.llamacpp import LLAMA_CPP
from ultralab.models.neighbours.lmstudio import LM_STUDIO
from ultralab.models.neighbours.ollama import OLLAMA
from ultralab.models.sharing.adopt import adopt, bundle_of, find_holdings
from ultralab.models.sharing.expose import expose, exposed_to, unexpose
from ultralab.models.store.hashing import hash_of
from ultralab.models.types import ModelRecord, Staged

MODEL = small_model()
OTHER = small_model(general__name=(STR, "Another"))
FIRST, SECOND = "Tiny-00001-of-00002.safetensors", "sub/Tiny-00002-of-00002.safetensors"


@pytest.fixture(autouse=True)
def nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "lab 实验室")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "主目录").mkdir()
    return tmp_path / "主目录"


@pytest.fixture
def other_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def model(
    library: Library,
    contents: dict[str, bytes],
    *,
    source: str = "path:/x",
    revision: str = "",
    format: str = "gguf",
    name: str = "tiny-7b",
) -> ModelRecord:
    """A model in the library, with a real GGUF's header whatever its files are called."""
    staged = []
    for file, content in contents.items():
        path = put(library.partial / file.replace("/", "-"), content)
        staged.append(Staged(path, file, len(content), sha256(content)))
    path = put(library.home / "header.gguf", MODEL)
    held = HeldFile("header.gguf", path, len(MODEL))
    header = FORMAT.read_header(bundle_of(Holding("", "", path, files=(held,))))
    header = replace(header, format=format, entry="", files=())
    return add(library, staged, header, source=source, added_by="me", name=name, variant="q4_0", revision=revision)


def one(library: Library) -> ModelRecord:
    return model(library, {"Tiny-7B-Q4_0.gguf": MODEL})


def hub(home: Path) -> Path:
    return home / ".cache/huggingface/hub"


# Hugging Face, read by its own library


def test_the_hubs_own_library_finds_a_model_offline(library: Library, home: Path) -> None:
    contents = {FIRST: MODEL, SECOND: OTHER, "config.json": b"{}"}
    record = model(library, contents, format="safetensors", source="hf:org/Tiny", revision=COMMIT)
    shown = expose(library, record, HUGGING_FACE, home=home)
    folder = huggingface_hub.snapshot_download("org/Tiny", cache_dir=hub(home), local_files_only=True)
    assert {name: (Path(folder) / name).read_bytes() for name in contents} == contents
    again = huggingface_hub.snapshot_download("org/Tiny", revision=COMMIT, cache_dir=hub(home), local_files_only=True)
    assert again == folder
    cache = huggingface_hub.scan_cache_dir(hub(home))
    assert cache.warnings == []
    [repo] = cache.repos
    assert (repo.repo_id, repo.nb_files) == ("org/Tiny", 3)
    assert repo.size_on_disk == sum(len(content) for content in contents.values())
    assert [revision.refs for revision in repo.revisions] == [frozenset({"main"})]
    assert COMMIT in shown.how_to
    # nothing is stored twice
    assert (hub(home) / "models--org--Tiny/blobs" / sha256(MODEL)).samefile(library.blobs / sha256(MODEL))
    assert (expose(library, record, HUGGING_FACE, home=home)) == shown
    # what the hub's tools delete is theirs
    cache.delete_revisions(COMMIT).execute()
    verify(library, record)
    expose(library, record, HUGGING_FACE, home=home)
    assert unexpose(library, record, HUGGING_FACE, home=home)
    assert everything(hub(home)) == {}
    verify(library, record)


def test_a_model_from_elsewhere_has_a_repository_of_its_own(library: Library, home: Path) -> None:
    record = one(library)
    expose(library, record, HUGGING_FACE, home=home)
    path = huggingface_hub.hf_hub_download(
        "ultralab/tiny-7b-q4_0", "Tiny-7B-Q4_0.gguf", cache_dir=hub(home), local_files_only=True
    )
    assert Path(path).read_bytes() == MODEL


def test_the_hubs_own_snapshots_and_refs_stay(library: Library, home: Path) -> None:
    other = "0" * 40
    hub_repo(hub(home), "org/Tiny", {"Tiny-7B-Q4_0.gguf": OTHER, "README.md": b"hi"}, commit=other)
    before = everything(hub(home))
    record = model(library, {"Tiny-7B-Q4_0.gguf": MODEL}, source="hf:org/Tiny:*Q4_0*", revision=COMMIT)
    expose(library, record, HUGGING_FACE, home=home)
    folder = huggingface_hub.snapshot_download("org/Tiny", revision=COMMIT, cache_dir=hub(home), local_files_only=True)
    assert (Path(folder) / "Tiny-7B-Q4_0.gguf").read_bytes() == MODEL
    assert (hub(home) / "models--org--Tiny/refs/main").read_text() == other
    assert huggingface_hub.scan_cache_dir(hub(home)).warnings == []
    unexpose(library, record, HUGGING_FACE, home=home)
    after = everything(hub(home))
    assert {name: what for name, what in after.items() if what[3] is not None} == {
        name: what for name, what in before.items() if what[3] is not None
    }


def test_what_was_adopted_from_the_hub_is_shown_to_it_without_a_change(library: Library, home: Path) -> None:
    hub_repo(hub(home), "org/Tiny", {"Tiny-7B-Q4_0.gguf": MODEL})
    [found] = find_holdings(library, NEIGHBOURS, [FORMAT], home=home)
    record = adopt(library, found, [FORMAT], partial(hash_of, library))
    before = everything(home)
    expose(library, record, HUGGING_FACE, home=home)
    assert everything(home) == before
    assert unexpose(library, record, HUGGING_FACE, home=home) == ()
    assert everything(home) == before


def test_on_another_disk_the_hub_gets_links_in_a_repository_of_its_own(
    library: Library, home: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(other_disk))
    record = model(library, {"Tiny-7B-Q4_0.gguf": MODEL}, source="hf:org/Tiny", revision=COMMIT)
    expose(library, record, HUGGING_FACE, home=home)
    folder = huggingface_hub.snapshot_download("ultralab/tiny-7b-q4_0", cache_dir=other_disk, local_files_only=True)
    assert (Path(folder) / "Tiny-7B-Q4_0.gguf").read_bytes() == MODEL
    assert huggingface_hub.scan_cache_dir(other_disk).warnings == []
    cache = huggingface_hub.scan_cache_dir(other_disk)
    cache.delete_revisions(*(revision.commit_hash for repo in cache.repos for revision in repo.revisions)).execute()
    verify(library, record)


# Ollama, by its documented layout; no Ollama is to be had here


def test_what_ollama_reads(library: Library, home: Path) -> None:
    record = one(library)
    shown = expose(library, record, OLLAMA, home=home)
    models = home / ".ollama/models"
    manifest = json.loads((models / "manifests/registry.ollama.ai/ultralab/tiny-7b/q4_0").read_text())
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    digest = f"sha256:{sha256(MODEL)}"
    assert manifest["layers"] == [
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(MODEL)}
    ]
    config = models / "blobs" / manifest["config"]["digest"].replace(":", "-")
    assert config.stat().st_size == manifest["config"]["size"]
    assert f"sha256-{sha256(config.read_bytes())}" == config.name
    fields = json.loads(config.read_text())
    assert (fields["model_format"], fields["model_family"], fields["file_type"]) == ("gguf", "llama", "Q4_0")
    assert shown.how_to == "ollama run ultralab/tiny-7b:q4_0"
    # and our own reader of what Ollama holds
    [found] = find_holdings(library, [OLLAMA], [FORMAT], home=home)
    assert (found.holding.source_ref, found.already, found.claimed) == (
        "ollama:ultralab/tiny-7b:q4_0", record.ref, False,
    )  # fmt: skip
    (models / "blobs" / f"sha256-{sha256(MODEL)}").unlink()  # `ollama rm`
    verify(library, record)
    expose(library, record, OLLAMA, home=home)
    unexpose(library, record, OLLAMA, home=home)
    assert everything(models) == {}


def test_what_ollama_has_itself_stays_its_own(library: Library, home: Path) -> None:
    ollama_model(home / ".ollama/models", "tiny", MODEL)
    before = everything(home)
    record = one(library)
    expose(library, record, OLLAMA, home=home)
    unexpose(library, record, OLLAMA, home=home)
    after = everything(home)
    assert {name: what for name, what in after.items() if what[3] is not None} == {
        name: what for name, what in before.items() if what[3] is not None
    }


# LM Studio and llama.cpp


def test_what_lm_studio_and_llama_cpp_read(library: Library, home: Path) -> None:
    split = {"Tiny-Q4_0-00001-of-00002.gguf": MODEL, "Tiny-Q4_0-00002-of-00002.gguf": OTHER}
    record = model(library, split)
    shown = expose(library, record, LM_STUDIO, home=home)
    place = home / ".lmstudio/models/ultralab/tiny-7b-q4_0"
    assert set(shown.paths) == {place / name for name in split}
    assert all(path.is_symlink() and not path.readlink().is_symlink() for path in shown.paths)
    assert {path.name: path.read_bytes() for path in shown.paths} == split
    assert not place.is_symlink()
    served = expose(library, record, LLAMA_CPP, home=home)
    assert {path.name: path.read_bytes() for path in served.paths} == split
    assert served.paths[0].parent.parent.name == "ultralab"
    assert shlex.quote(str(served.paths[0])) in served.how_to
    assert exposed_to(library, record, NEIGHBOURS) == ("lmstudio", "llamacpp")
    assert find_holdings(library, NEIGHBOURS, [FORMAT], home=home) == ()  # they are the lab's own
    for tool in (LM_STUDIO, LLAMA_CPP):
        unexpose(library, record, tool, home=home)
    assert exposed_to(library, record, NEIGHBOURS) == ()
    assert not place.parent.exists()


@pytest.mark.parametrize("tool", [OLLAMA, LLAMA_CPP, LM_STUDIO])
def test_formats_that_a_tool_cannot_use_say_so(library: Library, home: Path, tool: object) -> None:
    record = model(library, {"model.safetensors": MODEL}, format="gptq")
    with pytest.raises(Unsupported, match="gptq") as caught:
        expose(library, record, tool, home=home)  # type: ignore[arg-type]
    assert caught.value.hint
    assert not any(home.iterdir())


def test_ollama_takes_no_split_models_and_folders_take_none(library: Library, home: Path) -> None:
    record = model(library, {"a-00001-of-00002.gguf": MODEL, "a-00002-of-00002.gguf": OTHER})
    with pytest.raises(Unsupported, match="split into 2"):
        expose(library, record, OLLAMA, home=home)
    with pytest.raises(Unsupported):
        expose(library, record, FOLDER, home=home)


# what is never done


def test_nothing_of_others_is_overwritten(library: Library, home: Path) -> None:
    record = one(library)
    theirs = put(home / ".lmstudio/models/ultralab/tiny-7b-q4_0/Tiny-7B-Q4_0.gguf", b"theirs")
    before = everything(home)
    with pytest.raises(AlreadyExists) as caught:
        expose(library, record, LM_STUDIO, home=home)
    assert caught.value.data["path"] == str(theirs)
    assert everything(home) == before
    assert unexpose(library, record, LM_STUDIO, home=home) == ()
    manifest = put(home / ".ollama/models/manifests/registry.ollama.ai/ultralab/tiny-7b/q4_0", b"{}")
    with pytest.raises(AlreadyExists):
        expose(library, record, OLLAMA, home=home)
    assert manifest.read_bytes() == b"{}"
    assert not (home / ".ollama/models/blobs").exists()  # nothing was made before the refusal


def test_what_was_changed_since_is_not_taken_away(library: Library, home: Path) -> None:
    record = one(library)
    shown = expose(library, record, OLLAMA, home=home)
    manifest = shown.paths[-1]
    manifest.write_text('{"edited": "by Ollama"}')
    blob = shown.paths[0]
    blob.unlink()
    blob.write_bytes(b"pulled anew")
    gone = unexpose(library, record, OLLAMA, home=home)
    assert set(gone) == {shown.paths[1]}
    assert manifest.exists()
    assert blob.read_bytes() == b"pulled anew"


def test_a_note_that_cannot_be_read_costs_nobody_a_file(library: Library, home: Path) -> None:
    record = one(library)
    shown = expose(library, record, LM_STUDIO, home=home)
    [note] = (library.home / "state/exposed").iterdir()
    for content in ("", "{", "[1, {}]", '[{"path": "/etc/passwd", "kind": "rm", "mark": ""}]', "[" * 100_000):
        note.write_text(content)
        assert unexpose(library, record, LM_STUDIO, home=home) == ()
        assert shown.paths[0].exists()


def test_an_interrupted_call_is_taken_up_and_taken_back(library: Library, home: Path) -> None:
    """Every prefix of what is made, with the note that was written before: as kill -9 would leave it."""
    record = model(library, {FIRST: MODEL, SECOND: OTHER}, format="safetensors")
    whole = expose(library, record, HUGGING_FACE, home=home)
    [note] = (library.home / "state/exposed").iterdir()
    for count in range(len(whole.paths) + 1):
        for path in whole.paths[count:]:
            path.unlink(missing_ok=True)
        assert expose(library, record, HUGGING_FACE, home=home) == whole
        assert all(path.exists() for path in whole.paths)
        saved = note.read_text()
        unexpose(library, record, HUGGING_FACE, home=home)
        assert everything(hub(home)) == {}
        expose(library, record, HUGGING_FACE, home=home)
        assert note.read_text() == saved
    shutil.rmtree(library.home / "state/exposed")
    assert expose(library, record, HUGGING_FACE, home=home) == whole  # equal to what would be made: left as it is
    assert unexpose(library, record, HUGGING_FACE, home=home) == ()


def test_a_model_that_moved_or_changed_is_shown_anew(library: Library, home: Path, tmp_path: Path) -> None:
    record = one(library)
    shown = expose(library, record, LM_STUDIO, home=home)
    elsewhere = put(tmp_path / "other volume" / sha256(MODEL), MODEL)
    blob = library.blobs / sha256(MODEL)
    blob.unlink()
    blob.symlink_to(elsewhere)  # as `models move` leaves it
    assert shown.paths[0].read_bytes() == MODEL
    assert expose(library, record, LM_STUDIO, home=home) == shown
    assert expose(library, record, OLLAMA, home=home).paths[0].samefile(elsewhere)
    remove(library, record.ref)
    changed = model(library, {"New-Name.gguf": OTHER})
    again = expose(library, changed, LM_STUDIO, home=home)
    assert [path.name for path in again.paths] == ["New-Name.gguf"]
    assert [path.name for path in shown.paths[0].parent.iterdir()] == ["New-Name.gguf"]


def test_a_model_whose_bytes_are_gone_is_shown_to_nobody(library: Library, home: Path) -> None:
    record = one(library)
    (library.blobs / sha256(MODEL)).unlink()
    with pytest.raises(NotFound):
        expose(library, record, OLLAMA, home=home)
    assert not any(home.iterdir())


def test_tools_see_the_path_that_engines_are_given(library: Library, home: Path) -> None:
    record = one(library)
    [path] = expose(library, record, LLAMA_CPP, home=home).paths
    assert path.samefile(model_path(library, record))
