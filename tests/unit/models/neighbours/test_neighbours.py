"""What each tool's folder tells, in good order and in bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.unit.models.neighbours.folders import COMMIT, hub_repo, ollama_model, put, sha256

from ultralab.kernel.errors import UnknownChoice, Unsupported
from ultralab.models.neighbours import FOLDER, NEIGHBOURS, HeldFile, Holding, neighbour
from ultralab.models.neighbours.huggingface import HUGGING_FACE
from ultralab.models.neighbours.llamacpp import LLAMA_CPP
from ultralab.models.neighbours.lmstudio import LM_STUDIO
from ultralab.models.neighbours.ollama import OLLAMA
from ultralab.models.neighbours.walk import Passed, Seen, regular_files, small_json, small_text

BIG = b"x" * 300
OTHER = b"y" * 400
VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE")


@pytest.fixture(autouse=True)
def nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def good(found: list[Holding]) -> list[Holding]:
    return [holding for holding in found if not holding.problem]


def problems(found: list[Holding]) -> dict[str, str]:
    return {holding.where.name: holding.problem for holding in found if holding.problem}


def test_each_tool_has_its_name() -> None:
    assert [tool.name for tool in NEIGHBOURS] == ["hf", "ollama", "lmstudio", "llamacpp"]
    assert neighbour("ollama") is OLLAMA
    with pytest.raises(UnknownChoice) as caught:
        neighbour("olama")
    assert "ollama" in caught.value.hint


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    for tool in NEIGHBOURS:
        assert list(tool.holdings(tmp_path / "gone")) == []


# Hugging Face


def test_where_the_hub_keeps_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HUGGING_FACE.folders(tmp_path) == (tmp_path / ".cache/huggingface/hub",)
    monkeypatch.setenv("HF_HOME", "/disk/hf")
    assert HUGGING_FACE.folders(tmp_path) == (Path("/disk/hf/hub"),)
    monkeypatch.setenv("HF_HUB_CACHE", "/disk/cache")
    assert HUGGING_FACE.folders(tmp_path) == (Path("/disk/cache"),)


def test_a_repository_with_several_ggufs_is_several_models(tmp_path: Path) -> None:
    place = hub_repo(tmp_path, "org/Tiny-GGUF", {"Tiny-Q4_0.gguf": BIG, "Tiny-Q8_0.gguf": OTHER, "README.md": b"hi"})
    found = list(HUGGING_FACE.holdings(tmp_path))
    assert good(found) == [
        Holding(
            "hf",
            name,
            place / "blobs" / sha256(content),
            f"hf:org/Tiny-GGUF:{name}",
            COMMIT,
            (HeldFile(name, place / "blobs" / sha256(content), len(content), sha256(content)),),
        )
        for name, content in (("Tiny-Q4_0.gguf", BIG), ("Tiny-Q8_0.gguf", OTHER))
    ]


def test_a_folder_of_safetensors_is_one_model(tmp_path: Path) -> None:
    contents = {"model.safetensors": BIG, "config.json": b"{}", "tokenizer.json": OTHER}
    place = hub_repo(tmp_path, "org/Tiny", contents)
    [holding] = good(list(HUGGING_FACE.holdings(tmp_path)))
    assert (holding.name, holding.source_ref, holding.revision) == ("Tiny", "hf:org/Tiny", COMMIT)
    claims = {file.name: file.claimed_sha256 for file in holding.files}
    assert claims == {"model.safetensors": sha256(BIG), "config.json": "", "tokenizer.json": sha256(OTHER)}
    assert holding.where == place / "snapshots" / COMMIT
    assert holding.size == 702


def test_the_same_files_under_two_commits_are_told_once(tmp_path: Path) -> None:
    older = "0" * 40
    hub_repo(tmp_path, "org/Tiny", {"a-Q4_0.gguf": BIG}, commit=older, ref=None)
    hub_repo(tmp_path, "org/Tiny", {"a-Q4_0.gguf": BIG})
    [holding] = good(list(HUGGING_FACE.holdings(tmp_path)))
    assert holding.revision == COMMIT
    hub_repo(tmp_path, "org/Other", {"a-Q4_0.gguf": OTHER}, ref="refs/pr/1")
    hub_repo(tmp_path, "org/Third", {"b-Q4_0.gguf": OTHER}, ref=None)
    sources = [holding.source_ref for holding in good(list(HUGGING_FACE.holdings(tmp_path)))]
    assert "hf:org/Other@refs/pr/1:a-Q4_0.gguf" in sources
    assert f"hf:org/Third@{COMMIT}:b-Q4_0.gguf" in sources


def test_a_hostile_cache_stops_nothing(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret.gguf", BIG)
    cache = tmp_path / "hub"
    place = hub_repo(cache, "org/Tiny", {"good-Q4_0.gguf": OTHER})
    snapshot = place / "snapshots" / COMMIT
    (snapshot / "out.gguf").symlink_to(secret)
    (snapshot / "gone.gguf").symlink_to("../../blobs/gone")
    (snapshot / "loop.gguf").symlink_to("loop.gguf")
    (snapshot / "circle").symlink_to("..")
    os.mkfifo(snapshot / "pipe.gguf")
    (snapshot / "late.gguf.incomplete").write_bytes(BIG)
    (place / "snapshots" / "no commit").mkdir()
    (place / "refs" / "evil").symlink_to("/dev/zero")
    os.mkfifo(place / "refs" / "pipe")
    (cache / "models--..--..").mkdir()
    (cache / "models--org--bad\nname").mkdir()
    (cache / "datasets--org--data").mkdir()
    (cache / "models--org--file").write_text("no folder")
    found = list(HUGGING_FACE.holdings(cache))
    assert [holding.name for holding in good(found)] == ["good-Q4_0.gguf"]
    told = problems(found)
    assert told["out.gguf"] == "It leads out of the cache."
    assert {"gone.gguf", "loop.gguf", "pipe.gguf", "late.gguf.incomplete", "no commit", "models--..--.."} <= told.keys()
    assert told["models--org--bad\nname"] == "Its name is not a repository's."


# Ollama


def test_where_ollama_keeps_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OLLAMA.folders(tmp_path)[0] == tmp_path / ".ollama/models"
    monkeypatch.setenv("OLLAMA_MODELS", "/disk/ollama")
    assert OLLAMA.folders(tmp_path) == (Path("/disk/ollama"),)


def test_a_manifest_is_a_model(tmp_path: Path) -> None:
    blob = ollama_model(tmp_path, "llama3.2", BIG, tag="1b-instruct-q4_0")
    [holding] = OLLAMA.holdings(tmp_path)
    name = "llama3.2-1b-instruct-q4_0.gguf"
    assert holding == Holding(
        "ollama", name, blob, "ollama:llama3.2:1b-instruct-q4_0", sha256(BIG), (HeldFile(name, blob, 300, sha256(BIG)),)
    )


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ({"namespace": "someone"}, "ollama:someone/m:latest"),
        ({"host": "hf.co", "namespace": "org", "tag": "Q4_K_M"}, "hf:org/m:Q4_K_M"),
        ({"host": "example.org", "tag": "7b"}, "https://example.org/library/m:7b"),
    ],
)
def test_where_an_ollama_model_came_from(tmp_path: Path, where: dict[str, str], source: str) -> None:
    ollama_model(tmp_path, "m", BIG, **where)
    assert [holding.source_ref for holding in OLLAMA.holdings(tmp_path)] == [source]


def test_hostile_manifests_stop_nothing(tmp_path: Path) -> None:
    ollama_model(tmp_path, "good", BIG)
    library = tmp_path / "manifests/registry.ollama.ai/library"

    def manifest(name: str, value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        put(library / name / "latest", text.encode())

    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha256(BIG)}", "size": 300}
    manifest("dots", {"layers": [layer | {"digest": "sha256:../../../../etc/passwd"}]})
    manifest("short", {"layers": [layer | {"digest": "sha256:abc"}]})
    manifest("size", {"layers": [layer | {"size": 299}]})
    manifest("negative", {"layers": [layer | {"size": -1}]})
    manifest("truth", {"layers": [layer | {"size": True}]})
    manifest("gone", {"layers": [layer | {"digest": "sha256:" + "0" * 64}]})
    manifest("two", {"layers": [layer, layer]})
    manifest("tensors", {"layers": [layer | {"mediaType": "application/vnd.ollama.image.tensor; name=a"}]})
    manifest("list", [1, 2])
    manifest("deep", "[" * 100_000)
    manifest("huge", '{"layers": [' + " " * 2_000_000 + "]}")
    manifest("bytes", "\x00\xff")
    manifest("空 格", {"layers": [layer]})
    (library / "pipe").mkdir()
    os.mkfifo(library / "pipe" / "latest")
    (library / "loop").symlink_to(library)
    (tmp_path / "blobs" / f"sha256-{sha256(OTHER)}-partial").write_bytes(OTHER)
    found = list(OLLAMA.holdings(tmp_path))
    assert [holding.name for holding in good(found)] == ["good.gguf"]
    told = {holding.where.parent.name: holding.problem for holding in found if holding.problem}
    unread = "It is not a manifest that can be read."
    for name in ("dots", "short", "negative", "truth", "list", "deep", "huge", "bytes", "pipe"):
        assert told[name] == unread, name
    assert told["size"] == "Its blob has 300 bytes instead of 299."
    assert told["gone"].startswith("Its blob is missing")
    assert told["two"] == "It names no model file, or several."
    assert told["tensors"] == "It is stored tensor by tensor, which only Ollama reads."
    assert told["空 格"] == "Its name is not a model's."


# LM Studio


def test_where_lm_studio_keeps_its_models(tmp_path: Path) -> None:
    older = tmp_path / ".cache/lm-studio/models"
    assert LM_STUDIO.folders(tmp_path) == (tmp_path / ".lmstudio/models", older)
    put(tmp_path / ".lmstudio/settings.json", json.dumps({"downloadsFolder": "/disk/models"}).encode())
    assert LM_STUDIO.folders(tmp_path) == (Path("/disk/models"), older)
    for content in (b"{", b'{"downloadsFolder": 3}', b'{"downloadsFolder": "relative"}', b"[" * 100_000):
        put(tmp_path / ".lmstudio/settings.json", content)
        assert LM_STUDIO.folders(tmp_path) == (tmp_path / ".lmstudio/models", older)
    (tmp_path / "elsewhere").mkdir()
    put(tmp_path / ".lmstudio-home-pointer", str(tmp_path / "elsewhere").encode() + b"\n")
    assert LM_STUDIO.folders(tmp_path)[0] == tmp_path / "elsewhere/models"
    put(tmp_path / ".lmstudio-home-pointer", str(tmp_path / ".cache/lm-studio").encode())
    (tmp_path / ".cache/lm-studio").mkdir(parents=True)
    assert LM_STUDIO.folders(tmp_path) == (older,)


def test_what_lm_studio_holds(tmp_path: Path) -> None:
    gguf = put(tmp_path / "org/Tiny-GGUF/Tiny-Q4_0.gguf", BIG)
    put(tmp_path / "org/Tiny-GGUF/mmproj-Tiny-f16.gguf", b"p" * 50)
    put(tmp_path / "org/Tiny-GGUF/Tiny-imatrix.gguf", b"p" * 50)
    put(tmp_path / "mlx-community/微型 4bit/model.safetensors", OTHER)
    put(tmp_path / "mlx-community/微型 4bit/config.json", b"{}")
    put(tmp_path / "org/Tiny-GGUF/downloading_Big.gguf.part", BIG)
    put(tmp_path / "too-high.gguf", BIG)
    found = list(LM_STUDIO.holdings(tmp_path))
    assert {holding.name: [file.name for file in holding.files] for holding in good(found)} == {
        "Tiny-Q4_0.gguf": ["Tiny-Q4_0.gguf"],
        "微型 4bit": ["config.json", "model.safetensors"],
    }
    assert good(found)[-1].source_ref == f"path:{gguf}"
    assert problems(found).keys() == {
        "mmproj-Tiny-f16.gguf",
        "Tiny-imatrix.gguf",
        "downloading_Big.gguf.part",
    }


# llama.cpp


def test_where_llama_cpp_keeps_its_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    assert LLAMA_CPP.folders(tmp_path) == (tmp_path / caches / "llama.cpp",)
    monkeypatch.setenv("LLAMA_CACHE", "/disk/llama")
    assert LLAMA_CPP.folders(tmp_path) == (Path("/disk/llama"),)


def test_what_llama_cpp_downloaded_before_and_since(tmp_path: Path) -> None:
    put(tmp_path / "manifest=org=Tiny-GGUF=Q4_0.json", b"{}")
    first = put(tmp_path / "org_Tiny-GGUF_Tiny-Q4_0.gguf", BIG)
    put(tmp_path / "org_Tiny-GGUF_Tiny-Q4_0.gguf.etag", f'"{sha256(BIG)}"'.encode())
    put(tmp_path / "anything.gguf", OTHER)
    address = f"https://huggingface.co/ggml-org/Tiny-GGUF/resolve/{COMMIT}/sub/Tiny%20B-Q8_0.gguf"
    put(tmp_path / "third.gguf", OTHER + b"3")
    put(tmp_path / "third.gguf.json", json.dumps({"etag": '"no hash"', "url": address}).encode())
    put(tmp_path / "org_Tiny-GGUF_late.gguf.downloadInProgress", BIG)
    hub_repo(tmp_path, "new/Tiny-GGUF", {"New-Q4_0.gguf": BIG + b"4"})
    found = list(LLAMA_CPP.holdings(tmp_path))
    assert {holding.name: holding.source_ref for holding in good(found)} == {
        "Tiny-Q4_0.gguf": "hf:org/Tiny-GGUF:Tiny-Q4_0.gguf",
        "anything.gguf": f"path:{tmp_path / 'anything.gguf'}",
        "Tiny B-Q8_0.gguf": f"hf:ggml-org/Tiny-GGUF@{COMMIT}:Tiny B-Q8_0.gguf",
        "New-Q4_0.gguf": "hf:new/Tiny-GGUF:New-Q4_0.gguf",
    }
    claims = {holding.files[0].path.name: holding.files[0].claimed_sha256 for holding in good(found)}
    assert claims[first.name] == sha256(BIG)
    assert claims["third.gguf"] == ""
    assert {holding.tool for holding in found} == {"llamacpp"}
    assert problems(found).keys() == {"org_Tiny-GGUF_late.gguf.downloadInProgress"}


# any folder


def test_any_folder_is_sorted_folder_by_folder(tmp_path: Path) -> None:
    put(tmp_path / "下载/Big-Q4_0-00001-of-00002.gguf", BIG)
    put(tmp_path / "下载/Big-Q4_0-00002-of-00002.gguf", OTHER)
    put(tmp_path / "hf model/model.safetensors", BIG)
    put(tmp_path / "hf model/config.json", b"{}")
    found = list(FOLDER.holdings(tmp_path))
    assert {holding.name: len(holding.files) for holding in found} == {
        "Big-Q4_0-00001-of-00002.gguf": 2,
        "hf model": 2,
    }
    [one] = FOLDER.holdings(tmp_path / "下载/Big-Q4_0-00002-of-00002.gguf")
    assert [file.name for file in one.files] == ["Big-Q4_0-00001-of-00002.gguf", "Big-Q4_0-00002-of-00002.gguf"]
    assert FOLDER.folders(tmp_path) == ()


def test_a_plain_folder_is_shown_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        FOLDER.layout(tmp_path, None, {})  # type: ignore[arg-type]


def test_bad_names_are_told_and_left(tmp_path: Path) -> None:
    put(tmp_path / "a\nb.gguf", BIG)
    put(tmp_path / "right\u202eto-left.gguf", BIG)
    put(tmp_path / "good.gguf", BIG)
    found = list(FOLDER.holdings(tmp_path))
    assert [holding.name for holding in good(found)] == ["good.gguf"]
    assert len(problems(found)) == 2


# walking


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    put(tmp_path / "a/b/file", b"1")
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")
    found = list(regular_files(tmp_path))
    assert [item for item in found if isinstance(item, Seen)] == [Seen("a/b/file", tmp_path / "a/b/file", 1)]
    assert {item.path.name for item in found if isinstance(item, Passed)} == {"x", "y"}


def test_a_walk_is_bounded_in_depth(tmp_path: Path) -> None:
    put(tmp_path.joinpath(*"abcdefghijklmnop") / "file", b"1")
    found = list(regular_files(tmp_path))
    assert [type(item) for item in found] == [Passed]
    assert next(iter(regular_files(tmp_path, deepest=20))) == Seen(
        "/".join("abcdefghijklmnop") + "/file", tmp_path.joinpath(*"abcdefghijklmnop") / "file", 1
    )


def test_a_walk_is_bounded_in_files(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / f"{number % 3}/{number:02d}", b"1")
    found = list(regular_files(tmp_path, most=10))
    assert 0 < sum(isinstance(item, Seen) for item in found) < 10
    assert found[-1] == Passed(tmp_path, "It holds more than 10 files; the rest was not looked at.")


def test_a_folder_that_may_not_be_read_is_told() -> None:
    """As another user, where the one who runs the tests is allowed everything."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ultralab.models.neighbours.walk import regular_files\n"
        "if os.getuid() == 0:\n"
        "    os.setuid(65534)\n"
        "print([(type(item).__name__, item.path.name) for item in regular_files(Path(sys.argv[1]))])\n"
    )
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        put(folder / "open/file", b"1")
        put(folder / "closed/file", b"1")
        folder.chmod(0o755)
        (folder / "closed").chmod(0)
        done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, check=True)
        (folder / "closed").chmod(0o755)
    assert done.stdout.strip() == "[('Passed', 'closed'), ('Seen', 'file')]"


def test_small_records_are_bounded_and_never_block(tmp_path: Path) -> None:
    assert small_text(put(tmp_path / "a", b"text")) == "text"
    assert small_text(put(tmp_path / "b", b"12345"), most=4) == ""
    os.mkfifo(tmp_path / "pipe")
    assert small_text(tmp_path / "pipe") == ""
    assert small_text(tmp_path / "gone") == ""
    assert small_text(tmp_path) == ""
    assert small_text(Path("a\0b")) == ""
    assert small_json(put(tmp_path / "c", b"[1]")) == [1]
    assert small_json(put(tmp_path / "d", b"[1")) is None
