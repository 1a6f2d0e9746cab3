"""Looking over the store: each harm is noticed, though no byte is read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.models.store.shelf import put, sha, unplug, with_volumes

from ultralab.models.library import Library, model_path, rebuild, remove
from ultralab.models.store.knowledge import Known, Stamp
from ultralab.models.store.scanning import Scan, judge, scan
from ultralab.models.store.usage import last_used, used
from ultralab.models.store.whole import verify_all

A, B, C = b"a" * 1000, b"b" * 2000, b"c" * 10


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return with_volumes(tmp_path, "ssd")


@pytest.fixture(params=["at once", "later"])
def warm(request: pytest.FixtureRequest, library: Library) -> Library:
    """A library that was scanned, so soon that its folders' times say nothing, or when they do."""
    put(library, "m", {"a.gguf": A, "sub/b.json": B})
    put(library, "far", {"c": C}, library.volumes[0])
    if request.param == "later":
        time.sleep(0.1)  # the clock's tick must have passed: there is nothing else to wait for
    for _again in range(2):
        assert scan(library) == Scan(models=2, blobs=3, size=len(A) + len(B) + len(C))
    return library


HARM: dict[str, tuple[Callable[[Library], object], Callable[[Library], dict[str, tuple[Path, ...]]]]] = {
    "another time": (
        lambda library: os.utime(library.blobs / sha(A), (1, 1)),
        lambda library: {"changed": (library.blobs / sha(A),)},
    ),
    "another size": (
        lambda library: os.truncate(library.blobs / sha(A), 999),
        lambda library: {"changed": (library.blobs / sha(A),)},
    ),
    "another inode": (
        lambda library: other_inode(library.blobs / sha(A)),
        lambda library: {"changed": (library.blobs / sha(A),)},
    ),
    "another time on a volume": (
        lambda library: os.utime(library.volumes[0].blobs / sha(C), (1, 1)),
        lambda library: {"changed": (library.blobs / sha(C),)},
    ),
    "a lost blob": (
        lambda library: (library.blobs / sha(B)).unlink(),
        lambda library: {"missing": (library.blobs / sha(B),)},
    ),
    "a lost blob on a volume": (
        lambda library: (library.volumes[0].blobs / sha(C)).unlink(),
        lambda library: {"missing": (library.blobs / sha(C),)},
    ),
    "a new blob": (
        lambda library: (library.blobs / "new").write_bytes(b""),
        lambda library: {"unknown": (library.blobs / "new",)},
    ),
    "a new blob on a volume": (
        lambda library: (library.volumes[0].blobs / "new").write_bytes(b""),
        lambda library: {"unknown": (library.volumes[0].blobs / "new",)},
    ),
    "a lost name": (
        lambda library: (library.tree / "tiny/m/q4_0/sub/b.json").unlink(),
        lambda library: {"missing": (library.tree / "tiny/m/q4_0/sub/b.json",)},
    ),
    "a name that leads elsewhere": (
        lambda library: elsewhere(library.tree / "tiny/m/q4_0/a.gguf"),
        lambda library: {"missing": (library.tree / "tiny/m/q4_0/a.gguf",)},
    ),
    "a new name": (
        lambda library: (library.tree / "tiny/x").symlink_to("nowhere"),
        lambda library: {"unknown": (library.tree / "tiny/x",)},
    ),
    "a disk pulled out": (
        lambda library: unplug(library.volumes[0]),
        lambda library: {"unplugged": (library.volumes[0].blobs / sha(C),)},
    ),
}


def other_inode(path: Path) -> None:
    found = path.stat()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
    copy.replace(path)


def elsewhere(link: Path) -> None:
    link.unlink()
    link.symlink_to("/etc/passwd")


@pytest.mark.parametrize("harm", HARM)
def test_each_harm_is_noticed_and_stays_noticed(warm: Library, harm: str) -> None:
    do, told = HARM[harm]
    do(warm)
    for _again in range(3):
        seen = scan(warm)
        found = {name: getattr(seen, name) for name in ("changed", "missing", "unknown", "unplugged")}
        assert {name: paths for name, paths in found.items() if paths} == told(warm)
        assert not seen.clean


def test_what_changed_is_trusted_again_when_it_was_read(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    assert scan(library).clean
    os.utime(library.blobs / sha(A), (1, 1))
    assert scan(library).changed == (library.blobs / sha(A),)
    verify_all(library, [record])
    assert scan(library).clean


def test_an_unplugged_disk_that_comes_back(warm: Library) -> None:
    away = unplug(warm.volumes[0])
    assert scan(warm).unplugged
    away.rename(warm.volumes[0].root)
    assert scan(warm).clean


def test_new_and_removed_models_are_no_harm(warm: Library) -> None:
    put(warm, "another", {"x": b"x", "c": C})
    assert scan(warm).clean
    remove(warm, "m")
    assert scan(warm) == Scan(models=2, blobs=2, size=1 + len(C))


def test_a_lost_cache_is_learned_again(warm: Library) -> None:
    warm.knowledge.write_bytes(b"garbage" * 5000)
    assert scan(warm).clean
    warm.knowledge.unlink()
    (warm.blobs / sha(A)).chmod(0o644)
    (warm.blobs / sha(A)).write_bytes(b"short")
    assert scan(warm).changed == (warm.blobs / sha(A),)  # a size that no model promises is never learned
    assert scan(warm).changed == (warm.blobs / sha(A),)


def test_an_empty_library(library: Library) -> None:
    assert scan(library) == Scan()
    assert scan(Library(library.home / "none")) == Scan()


def test_metadata_that_vanishes_leaves_the_bytes_unknown(warm: Library) -> None:
    (warm.metadata / "m--q4_0.json").unlink()
    assert {path.name for path in scan(warm).unknown} == {sha(A), sha(B), "a.gguf", "b.json"}


GOOD, OTHER, ABSENT = Stamp(1, 10, 5), Stamp(1, 10, 6), Stamp(-1, -1, -1)


@pytest.mark.parametrize(
    ("now", "old", "known", "changed"),
    [
        (GOOD, GOOD, None, False),
        (OTHER, GOOD, None, True),
        (OTHER, GOOD, OTHER, False),  # it was hashed since
        (OTHER, GOOD, GOOD, True),
        (GOOD, None, None, False),  # seen for the first time
        (Stamp(1, 9, 5), None, None, True),  # with a size that no model promises
        (GOOD, None, OTHER, True),  # what was hashed looked otherwise
        (GOOD, ABSENT, None, False),  # it is back
        (ABSENT, GOOD, None, False),  # missing is told apart
    ],
)
def test_the_judgement(now: Stamp, old: Stamp | None, known: Stamp | None, changed: bool) -> None:
    before = {} if old is None else {"x": old}
    hashed = {} if known is None else {"x": Known(known, "x")}
    found, trusted = judge({"x": now}, before, hashed, {"x": 10})
    assert found == (["x"] if changed else [])
    assert (trusted["x"] == now) == (not changed and now != ABSENT)


def test_rebuilding_mends_names_and_sweeps_links(warm: Library) -> None:
    old = warm.home / "store" / "models" / "m" / "q4_0"
    old.mkdir(parents=True)
    (old / "a.gguf").symlink_to(f"../../../blobs/sha256/{sha(A)}")
    (warm.home / "store" / "models" / "mine.txt").write_text("mine")
    (warm.tree / "tiny" / "m" / "q4_0" / "a.gguf").unlink()
    (warm.tree / "old" / "x").mkdir(parents=True)
    (warm.tree / "old" / "x" / "y").symlink_to(f"../../../blobs/sha256/{sha(B)}")
    (warm.tree / "own").symlink_to("/etc")
    (warm.blobs / ".half.123.link").symlink_to("/nowhere")
    assert rebuild(warm) == 2
    assert scan(warm).unknown == (warm.tree / "own",)
    assert [path.name for path in (warm.home / "store" / "models").rglob("*")] == ["mine.txt"]
    assert not (warm.tree / "old").exists()


def test_rebuilding_keeps_links_while_a_metadata_file_cannot_be_read(warm: Library) -> None:
    (warm.metadata / "m--q4_0.json").write_text("{")
    assert rebuild(warm) == 1
    assert (warm.tree / "tiny/m/q4_0/a.gguf").read_bytes() == A


def test_when_models_were_used(library: Library) -> None:
    one, two = put(library, "one", {"a": A}), put(library, "two", {"b": B})
    assert last_used(library) == {}
    now = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
    used(library, two, now)
    used(library, one, now)
    used(library, one, now + timedelta(days=1))
    used(library, one, now - timedelta(days=9))
    assert last_used(library) == {"one:q4_0": now + timedelta(days=1), "two:q4_0": now}
    library.knowledge.write_bytes(b"garbage" * 5000)
    scan(library)
    remove(library, "one")
    assert last_used(library) == {"two:q4_0": now}
    assert model_path(library, two).read_bytes() == B
