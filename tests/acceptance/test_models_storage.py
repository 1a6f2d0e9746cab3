"""Where bytes lie, as the owner of a lab sees it: volumes, damage, other tools, and what goes when space is short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.command import Done, environment, ultralab
from tests.gguf_maker import tiny_llama
from tests.hub_servers import COMMIT, HuggingFace, serve
from tests.unit.models.neighbours.folders import everything, hub_repo, ollama_model, put, sha256

Run = Callable[..., Done]

HOLD = """
import sys
from pathlib import Path
from ultralab.app.lab import open_lab
from ultralab.models import find
from ultralab.models.store.usage import in_use
library = open_lab(Path(sys.argv[1])).library
with in_use(library, find(library, sys.argv[2])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The home folder of somebody who has a lab in it."""
    folder = tmp_path / "用户 u"
    folder.mkdir()
    return folder


@pytest.fixture
def run(user: Path) -> Run:
    """Run ``ultralab models …`` in the lab ``user/lab`` with ``--json``."""
    env = environment(HOME=str(user))
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE", "HF_ENDPOINT"):
        env.pop(name, None)
    assert ultralab("init", user / "lab", "--lang", "en", env=env).status == 0

    def models(*arguments: str | Path, as_json: bool = True, **more: str) -> Done:
        json_ = ("--json",) if as_json else ()
        return ultralab("models", *arguments, "--home", user / "lab", *json_, env={**env, **more})

    return models


def model(run: Run, user: Path, name: str, seed: int = 1) -> Any:
    """A pulled model of this name."""
    done = run("pull", tiny_llama(user / f"{name} 模型.gguf", seed=seed), "--name", name)
    assert done.status == 0, done.err
    return done.data


def log(user: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (user / "lab/state/logs/storage.jsonl").read_text().splitlines()]


def blobs(folder: Path) -> set[str]:
    return {path.name for path in (folder / "blobs" / "sha256").iterdir()}


def test_a_disk_that_is_moved_pulled_out_and_plugged_in_elsewhere(run: Run, user: Path) -> None:
    one, disk = model(run, user, "one"), user / "盘 SSD"
    disk.mkdir()
    assert run("volumes", "add", "ssd", disk).data == {"name": "ssd", "root": str(disk)}
    assert run("volumes", "add", "ssd", disk).status == 0
    for _again in range(2):
        moved = run("move", "one", "ssd")
        assert (moved.status, moved.data["ref"], moved.data["volume"]) == (0, one["ref"], "ssd")
    assert blobs(disk) == {one["sha256"]}
    assert [line["act"] for line in log(user)] == ["moved"]
    disk.rename(away := user / "in a drawer")
    states = {line["name"]: (line["state"], line["used"]) for line in run("volumes", "list").data}
    assert states == {"home": ("present", 0), "ssd": ("missing", one["size"])}
    unplugged = run("verify")
    assert unplugged.status == 1
    assert "not plugged in" in unplugged.data[0]["problems"][0]["message"]
    for refused in (run("move", "one", "home"), run("volumes", "remove", "ssd")):
        assert (refused.status, refused.out) == (2, "")
        assert refused.error["hint"]
    assert not disk.exists()
    assert run("volumes", "add", "ssd", user).status == 2
    assert run("volumes", "add", "ssd", away).data["root"] == str(away)
    assert run("move", "one", "home").status == 0
    assert (blobs(away), blobs(user / "lab/store")) == (set(), {one["sha256"]})
    assert run("verify").status == 0
    assert run("volumes", "remove", "ssd").status == 0
    assert [line["name"] for line in run("volumes", "list").data] == ["home"]


def test_two_labs_do_not_share_a_volume(run: Run, user: Path) -> None:
    (user / "disk").mkdir()
    assert run("volumes", "add", "ssd", user / "disk").status == 0
    assert ultralab("init", user / "other", "--lang", "en").status == 0
    other = ultralab("models", "volumes", "add", "ssd", user / "disk", "--home", user / "other", "--json")
    assert (other.status, other.error["kind"]) == (2, "AlreadyExists")


def test_damage_is_found_taken_aside_and_mended(run: Run, user: Path) -> None:
    one, two = model(run, user, "one"), model(run, user, "two", seed=2)
    blob = user / "lab/store/blobs/sha256" / one["sha256"]
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    bad = run("verify")
    assert bad.status == 1
    assert {line["ref"]: line["whole"] for line in bad.data} == {one["ref"]: False, two["ref"]: True}
    assert (user / "lab/store/damaged" / one["sha256"]).read_bytes() == content
    assert run("verify", "two").status == 0
    model(run, user, "one")
    assert run("verify").status == 0


def test_what_other_tools_have_is_registered_in_place(run: Run, user: Path) -> None:
    contents = [tiny_llama(user / f"{seed}.gguf", seed=seed, layers=8).read_bytes() for seed in range(4)]
    hub_repo(user / ".cache/huggingface/hub", "org/Big-GGUF", {"big-F32.gguf": contents[0], "README.md": b"hi"})
    ollama_model(user / ".ollama/models", "small", contents[1])
    put(user / ".lmstudio/models/pub/Mid-GGUF/mid-F32.gguf", contents[2])
    again = put(user / ".lmstudio/models/pub/Again-GGUF/big-F32.gguf", contents[0])
    put(user / ".cache/llama.cpp/tiny-F32.gguf", contents[3])
    before = {name: everything(user / name) for name in (".cache", ".ollama", ".lmstudio")}
    assert [line["ref"] for line in run("adopt").data] == [None] * 5
    found = run("adopt", "--yes")
    assert (found.status, {line["tool"] for line in found.data}) == (0, {"hf", "ollama", "lmstudio", "llamacpp"})
    assert len({line["ref"] for line in found.data} - {None}) == 4
    assert [line["act"] for line in log(user)] == ["adopted"] * 4
    told = run("adopt", "--yes", as_json=False).out
    assert "registered" not in told
    assert len(log(user)) == 4
    assert run("verify").status == 0
    shared = run("dedupe").data
    (left,) = shared["files"]  # it changed a moment ago: somebody may be writing it
    assert (shared["saved_bytes"], left["path"], left["size"], left["state"]) == (
        0,
        str(again),
        len(contents[0]),
        "left",
    )
    assert "Nothing lies" not in run("dedupe", as_json=False).out
    assert {name: everything(user / name) for name in before} == before
    gone = next(line for line in found.data if line["tool"] == "ollama")
    removed = run("remove", gone["ref"], "--yes")
    assert (removed.data["freed"], len(removed.data["stays"])) == (0, 1)
    assert everything(user / ".ollama") == before[".ollama"]
    (user / ".cache/llama.cpp/tiny-F32.gguf").unlink()
    lost = run("verify", next(line for line in found.data if line["tool"] == "llamacpp")["ref"])
    assert lost.status == 1
    assert "another tool" in lost.data[0]["problems"][0]["message"]


def test_a_model_is_shown_to_each_tool_and_hidden_again(run: Run, user: Path) -> None:
    one = model(run, user, "one")
    everywhere: list[str] = []
    for tool in ("ollama", "lmstudio", "hf", "llamacpp"):
        shown = run("expose", "one", "--to", tool)
        assert shown.status == 0, shown.err
        assert any(sha256(Path(path).read_bytes()) == one["sha256"] for path in shown.data["paths"])
        hidden = run("expose", "one", "--to", tool, "--undo")
        assert {*hidden.data["paths"]} == {*shown.data["paths"]}
        assert not any(os.path.lexists(path) for path in shown.data["paths"])
        assert run("expose", "one", "--to", tool).data == shown.data
        everywhere += shown.data["paths"]
    assert run("expose", "one", "--to", "hf").data["paths"] == [path for path in everywhere if "huggingface" in path]
    assert [line["act"] for line in log(user)] == ["shown", "hidden", "shown"] * 4 + ["shown"]
    assert run("remove", "one", "--yes").data["freed"] == one["size"]
    assert not any(os.path.lexists(path) for path in everywhere)
    assert run("expose", "one", "--to", "hf", "--undo").status == 2  # there is no such model


def test_removing_asks_refuses_what_is_loaded_and_is_recorded(run: Run, user: Path) -> None:
    one = model(run, user, "one")
    assert run("remove", "one").error["hint"] == "Add --yes."
    assert run("expose", "one", "--to", "lmstudio").status == 0
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(user / "lab"), "one"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        refused = run("remove", "one", "--yes")
        assert (refused.status, refused.error["kind"]) == (1, "Busy")
        kept = run("prune", "--unused-for", "0d", "--yes")
        assert (kept.status, [bool(act["error"]) for act in kept.data]) == (1, [True])
        holder.communicate(b"\n")
    assert run("verify").status == 0
    assert (user / ".lmstudio/models/ultralab/one-f32").is_dir()
    removed = run("remove", "one", "--yes")
    assert (removed.data["freed"], removed.data["stays"]) == (one["size"], [])
    assert blobs(user / "lab/store") == set()
    line = log(user)[-1]
    assert (line["act"], line["what"], line["bytes"], line["standing"]) == ("removed", one["ref"], one["size"], False)
    assert run("reindex").data == {"models": 0}
    assert list((user / "lab/state/locks").glob("model-*")) == []


def test_what_a_volume_that_is_away_keeps_is_said(run: Run, user: Path) -> None:
    model(run, user, "one")
    (user / "disk").mkdir()
    run("volumes", "add", "ssd", user / "disk")
    run("move", "one", "ssd")
    (user / "disk").rename(user / "away")
    removed = run("remove", "one", "--yes").data
    assert removed["freed"] == 0
    assert "ssd" in removed["stays"][0]


def test_while_a_metadata_file_cannot_be_read_bytes_stay(run: Run, user: Path) -> None:
    one = model(run, user, "one")
    (user / "lab/models/metadata/two--f32.json").write_text("{")
    removed = run("remove", "one", "--yes").data
    assert (removed["freed"], len(removed["stays"])) == (0, 1)
    assert blobs(user / "lab/store") == {one["sha256"]}


def age(user: Path, ref: str) -> None:
    """Let a model be here for a year: the metadata file is the truth."""
    path = user / "lab/models/metadata" / f"{ref.replace(':', '--')}.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "added": "2020-01-01T00:00:00+00:00"}))


def test_a_standing_yes_asks_the_source_and_takes_only_what_comes_back(run: Run, user: Path) -> None:
    kept, offered = (tiny_llama(user / f"{name}.gguf", seed=number).read_bytes() for number, name in enumerate("ko"))
    files = {"kept-F32.gguf": kept, "offered-F32.gguf": offered}
    hub = HuggingFace(files, "org/tiny")
    with serve(hub) as served:
        near = {"HF_ENDPOINT": served.url, "HF_TOKEN": ""}
        for name in ("kept", "offered"):
            assert run("pull", f"hf:org/tiny:{name}-F32.gguf", "--name", name, **near).status == 0
        model(run, user, "own", seed=9)
        for name in ("kept", "offered", "own"):
            age(user, f"{name}:f32")
        config = ultralab("config", "set", "models.prune_free", "900TB", "--home", user / "lab")
        assert config.status == 0, config.err
        proposed = run("prune").data
        assert [(line["what"], line["class"]) for line in proposed] == [
            ("kept:f32", "refetchable"),
            ("offered:f32", "refetchable"),
            ("own:f32", "neither"),
        ]
        assert run("prune", "--standing", **near).data == []  # nobody said yes
        assert ultralab("config", "set", "models.prune", "refetchable", "--home", user / "lab").status == 0
        assert run("tag", "kept", "keep").status == 0
        files["offered-F32.gguf"] = kept  # the source has other bytes now
        assert run("prune", "--standing", **near).data == []
        files["offered-F32.gguf"] = offered
        (act,) = run("prune", "--standing", **near).data
        assert (act["what"], act["freed"], act["error"]) == ("offered:f32", len(offered), None)
        (line,) = log(user)
        assert (line["what"], line["standing"], line["revision"]) == ("offered:f32", True, COMMIT)
        assert line["back"] in act["back"]
        assert run("prune", "--standing", **near).data == []
    assert [line["ref"] for line in run("list").data] == ["kept:f32", "own:f32"]
    assert run("prune", "--standing", "--yes").status == 2


def test_proposals_can_be_read_on_a_narrow_terminal(run: Run, user: Path) -> None:
    model(run, user, "one")
    damaged = user / "lab/store/damaged" / ("ab" * 32)
    damaged.parent.mkdir()
    damaged.write_bytes(b"x" * 9000)
    told = run("prune", "--unused-for", "0d", as_json=False, COLUMNS="80").out
    assert "    This file was found damaged and set aside.\n" in "".join(
        f"{line.rstrip()}\n" for line in told.splitlines()
    )
    assert len(told.splitlines()) < 12
