"""One copy of every byte: what is counted, what is shared, what is left, and what a kill leaves."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.models.neighbours.folders import hub_repo, ollama_model, put, sha256

from ultralab.models.library import Library
from ultralab.models.sharing.dedupe import DedupePlan, Left, Place, apply, plan
from ultralab.system import files

BIG = os.urandom(2_500_000)
SAME_SIZE = os.urandom(2_500_000)
SMALL = b"s" * 1000


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(tmp_path / "lab")
    blob = put(library.blobs / sha256(BIG), BIG)
    blob.chmod(0o444)
    return library


@pytest.fixture
def other_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def make(library: Library, *places: Place, least: int = 1024 * 1024) -> DedupePlan:
    return plan(library, places, files.sha256_of, least=least, settled=0)


def used(*folders: Path) -> int:
    """Bytes that everything below has on its disk: what ``du`` counts."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            status = path.lstat()
            if path.is_file() and not path.is_symlink():
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def log_of(library: Library) -> list[dict[str, object]]:
    return [json.loads(line) for line in (library.home / "state/logs/storage.jsonl").read_text().splitlines()]


def test_what_is_promised_is_saved_to_the_byte(library: Library, tmp_path: Path) -> None:
    hub, ollama = tmp_path / "hub", tmp_path / "ollama 模型"
    place = hub_repo(hub, "org/Tiny", {"a.gguf": BIG, "b.gguf": SAME_SIZE})
    blob = ollama_model(ollama, "tiny", BIG)
    copy = put(ollama / "blobs" / f"sha256-{sha256(SAME_SIZE)}", SAME_SIZE)
    before = used(library.home / "store", hub, ollama)
    made = make(library, Place("hf", hub), Place("ollama", ollama))
    assert used(library.home / "store", hub, ollama) == before
    assert made.saved_bytes == 3 * 2_500_000
    replaced = (place / "blobs" / sha256(BIG), blob, copy)
    assert made.saved_allocated == sum(path.stat().st_blocks * 512 for path in replaced)
    assert made.already_shared_bytes == 0
    keepers = {group.sha256: group.keeper.names[0] for group in made.groups}
    assert keepers == {
        sha256(BIG): library.blobs / sha256(BIG),
        sha256(SAME_SIZE): place / "blobs" / sha256(SAME_SIZE),
    }
    results = apply(library, made)
    assert {result.path for result in results if result.way} == set(replaced)
    if {result.way for result in results} == {"hardlink"}:  # clones' blocks are counted at both names
        assert used(library.home / "store", hub, ollama) == before - made.saved_allocated
    for path, content in ((place / "blobs" / sha256(BIG), BIG), (blob, BIG), (copy, SAME_SIZE)):
        assert path.read_bytes() == content
    again = make(library, Place("hf", hub), Place("ollama", ollama))
    assert (again.groups, again.saved_bytes, again.already_shared_bytes) == ((), 0, 3 * 2_500_000)
    assert [(line["state"], line["act"]) for line in log_of(library)] == [("begun", "share"), ("done", "share")] * 3
    assert (library.blobs / sha256(BIG)).stat().st_mode & 0o777 == 0o444


def test_size_and_name_alone_mean_nothing(library: Library, tmp_path: Path) -> None:
    put(tmp_path / "a/model.gguf", SAME_SIZE)
    put(tmp_path / "b/model.gguf", SAME_SIZE[:-1] + bytes([SAME_SIZE[-1] ^ 1]))
    made = make(library, Place("x", tmp_path / "a"), Place("y", tmp_path / "b"))
    assert made.groups == ()
    assert made.saved_bytes == 0


def test_small_files_are_left_unless_asked_for(library: Library, tmp_path: Path) -> None:
    put(tmp_path / "a/one", SMALL)
    put(tmp_path / "a/two", SMALL)
    assert make(library, Place("x", tmp_path / "a")).groups == ()
    assert make(library, Place("x", tmp_path / "a"), least=1000).saved_bytes == 1000


def test_another_disk_gets_a_link_where_its_tool_follows_one(
    library: Library, tmp_path: Path, other_disk: Path
) -> None:
    put(other_disk / "lm/a/b/big.gguf", BIG)
    put(other_disk / "hub/blobs/big", BIG)
    made = make(library, Place("lmstudio", other_disk / "lm"), Place("hf", other_disk / "hub", links=False))
    assert made.saved_bytes == 2_500_000
    assert [left for left in made.left if left.path.name == "big"] == [
        Left(other_disk / "hub/blobs/big", "It is on another disk, and hf may delete what a link leads to.", 2_500_000)
    ]
    [result] = apply(library, made)
    assert result.way == "symlink"
    assert (other_disk / "lm/a/b/big.gguf").read_bytes() == BIG
    assert (other_disk / "lm/a/b/big.gguf").readlink() == library.blobs / sha256(BIG)
    again = make(library, Place("lmstudio", other_disk / "lm"))
    assert (again.groups, again.saved_bytes) == ((), 0)


def test_names_of_one_file_are_one_file(library: Library, tmp_path: Path) -> None:
    one = put(tmp_path / "a/one", BIG)
    (tmp_path / "a/two").hardlink_to(one)
    (tmp_path / "a/three").symlink_to(one)
    made = make(library, Place("x", tmp_path / "a"))
    assert (made.saved_bytes, made.already_shared_bytes) == (2_500_000, 2_500_000)
    before = used(tmp_path)
    results = apply(library, made)
    assert {result.path for result in results} == {one, tmp_path / "a/two"}
    if results[0].way == "hardlink":
        assert before - used(tmp_path) >= made.saved_allocated - 8192  # the log and the lock are new
        assert one.stat().st_nlink == 3
    assert (tmp_path / "a/three").read_bytes() == BIG


def test_a_file_with_names_elsewhere_frees_nothing_and_is_left(library: Library, tmp_path: Path) -> None:
    one = put(tmp_path / "a/one", BIG)
    (tmp_path / "outside").hardlink_to(one)
    made = make(library, Place("x", tmp_path / "a"))
    assert made.saved_bytes == 0
    assert "other names outside" in made.left[0].reason


def test_what_was_adopted_is_kept(library: Library, tmp_path: Path) -> None:
    hub_blob = put(tmp_path / "hub/blobs/x", SAME_SIZE)
    (library.blobs / sha256(SAME_SIZE)).symlink_to(hub_blob)
    other = put(tmp_path / "a/first", SAME_SIZE)
    made = make(library, Place("x", tmp_path / "a"), Place("hf", tmp_path / "hub"))
    [group] = made.groups
    assert group.keeper.names == (hub_blob,)
    apply(library, made)
    assert hub_blob.read_bytes() == other.read_bytes() == SAME_SIZE
    assert not hub_blob.is_symlink()


def test_links_lead_to_no_file_that_was_never_named(library: Library, tmp_path: Path) -> None:
    outside = put(tmp_path / "private/big", BIG)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link").symlink_to(outside)
    assert make(library, Place("x", tmp_path / "a")).groups == ()


def test_a_file_in_use_or_changed_is_left(library: Library, tmp_path: Path) -> None:
    one, two = put(tmp_path / "a/one", BIG), put(tmp_path / "a/two", BIG)
    with one.open("r+b"):
        made = make(library, Place("x", tmp_path / "a"))
        if sys.platform == "linux":
            assert made.left == (Left(one, "A program has it open for writing.", 2_500_000),)
    made = make(library, Place("x", tmp_path / "a"))
    assert made.saved_bytes == 5_000_000
    with two.open("r+b") as stream:
        stream.write(b"mine!")
    by_path = {result.path: result for result in apply(library, made)}
    assert by_path[one].way is not None
    assert by_path[two].way is None
    assert "changed" in by_path[two].reason
    assert two.read_bytes()[:5] == b"mine!"
    assert [line["state"] for line in log_of(library)] == ["begun", "done", "left"]
    put(tmp_path / "a/new", BIG)
    assert "within the last 60 seconds" in plan(library, [Place("x", tmp_path / "a")], files.sha256_of).left[0].reason


def test_a_rotten_keeper_costs_no_good_copy(library: Library, tmp_path: Path) -> None:
    """The cache of hashes says that both are equal; the disk has changed a bit in one without touching its times."""
    blob = library.blobs / sha256(BIG)
    good = put(tmp_path / "a/good", BIG)
    blob.chmod(0o644)
    blob.write_bytes(BIG[:1_000_000] + bytes([BIG[1_000_000] ^ 8]) + BIG[1_000_001:])
    made = plan(library, [Place("x", tmp_path / "a")], lambda _path: sha256(BIG), settled=0)
    assert made.saved_bytes == 2_500_000
    [result] = apply(library, made)
    assert result.way is None
    assert "differs" in result.reason
    assert good.read_bytes() == BIG
    assert not good.samefile(blob)


def test_what_cannot_be_read_is_told(library: Library, tmp_path: Path) -> None:
    os.mkfifo(put(tmp_path / "a/file", b"").with_name("pipe"))
    (tmp_path / "a/circle").symlink_to(tmp_path / "a")
    put(tmp_path / "a/late.gguf.incomplete", BIG)
    put(tmp_path / "a/copy", BIG)
    made = make(library, Place("x", tmp_path / "a"), Place("y", tmp_path / "gone"))
    assert {left.path.name for left in made.left} == {"pipe", "late.gguf.incomplete"}
    assert made.saved_bytes == 2_500_000


KILLED = """
import sys
from pathlib import Path
from ultralab.models.sharing.dedupe import Place, apply, plan
from ultralab.models.library import Library
from ultralab.system import files
library, folder = Library(Path(sys.argv[1])), Path(sys.argv[2])
made = plan(library, [Place("x", folder)], files.sha256_of, settled=0, least=1)
print("ready", flush=True)
apply(library, made)
print("done", flush=True)
"""


@pytest.mark.parametrize("moment", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04])
def test_killed_at_any_moment_nothing_is_lost(library: Library, tmp_path: Path, moment: float) -> None:
    folder = tmp_path / "many"
    contents = [hashlib.sha256(str(number % 20).encode()).digest() * 2000 for number in range(120)]
    for number, content in enumerate(contents):
        put(folder / f"{number:03d}", content)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(library.home), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(moment)  # the moments differ: that is the test
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    for number, content in enumerate(contents):
        assert (folder / f"{number:03d}").read_bytes() == content
    apply(library, plan(library, [Place("x", folder)], files.sha256_of, settled=0, least=1))
    made = plan(library, [Place("x", folder)], files.sha256_of, settled=0, least=1)
    assert made.groups == ()
    for number, content in enumerate(contents):
        assert (folder / f"{number:03d}").read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == [f"{number:03d}" for number in range(120)]
