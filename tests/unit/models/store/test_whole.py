"""Whether models are whole: what is said of each file, and what happens to damaged bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.models.store.shelf import adopt, listing, put, sha, unplug, with_volumes

from ultralab.kernel.errors import FileDamaged, NotFound
from ultralab.models.library import Library, model_path, verify
from ultralab.models.store.places import locate
from ultralab.models.store.whole import verify_all

A, B, C = b"a" * 1000, b"b" * 2000, b"c" * 10


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return with_volumes(tmp_path, "ssd")


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_every_file_is_judged_and_the_rest_goes_on(library: Library) -> None:
    (ssd,) = library.volumes
    home = put(library, "home-model", {"good": A, "flipped": B, "short": C, "lost": b"lost"})
    away = put(library, "away", {"far": b"far", "same": A}, ssd)
    damage(library.blobs / sha(B), b"B" + B[1:])
    damage(library.blobs / sha(C), C[:-1])
    (library.blobs / sha(b"lost")).unlink()
    unplug(ssd)
    verdicts = verify_all(library, [home, away])
    assert {(verdict.ref, verdict.file.name): verdict.state for verdict in verdicts} == {
        ("home-model:q4_0", "good"): "whole", ("home-model:q4_0", "flipped"): "damaged",
        ("home-model:q4_0", "short"): "damaged", ("home-model:q4_0", "lost"): "missing",
        ("away:q4_0", "far"): "unplugged", ("away:q4_0", "same"): "whole",
    }  # fmt: skip
    assert all(verdict.error is not None and verdict.error.hint for verdict in verdicts if verdict.state != "whole")
    assert {path.name: path.read_bytes() for path in library.store.damaged.iterdir()} == {
        sha(B): b"B" + B[1:],
        sha(C): C[:-1],
    }
    assert {verdict.file.name: verdict.aside for verdict in verdicts if verdict.state == "damaged"} == {
        "flipped": library.store.damaged / sha(B),
        "short": library.store.damaged / sha(C),
    }
    assert (locate(library, sha(B)).state, locate(library, sha(b"far")).state) == ("gone", "unplugged")
    with pytest.raises(FileDamaged, match="taken aside") as caught:
        model_path(library, home)
    assert "ultralab models pull path:/models/home-model" in caught.value.hint
    with pytest.raises(NotFound, match="on the volume ssd, which is not plugged in") as unplugged:
        model_path(library, away)
    assert unplugged.value.hint == "Plug the disk in and try again."


def test_getting_it_again_mends_it(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    damage(library.blobs / sha(A), b"?" * len(A))
    with pytest.raises(FileDamaged, match="SHA-256"):
        verify(library, record)
    assert put(library, "m", {"a.gguf": A}) == record
    verify(library, record)
    assert listing(library.store.damaged) == [sha(A)]


def test_verifying_trusts_no_cache(library: Library) -> None:
    """Same inode, size and time, another byte: only reading tells."""
    record = put(library, "m", {"a.gguf": A})
    verify(library, record)
    blob = library.blobs / sha(A)
    before = blob.stat()
    damage(blob, b"x" + A[1:])
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(FileDamaged, match="SHA-256"):
        verify(library, record)


def test_damage_on_another_volume_stays_there(library: Library) -> None:
    (ssd,) = library.volumes
    record = put(library, "m", {"a.gguf": A}, ssd)
    damage(ssd.blobs / sha(A), b"x" * len(A))
    (verdict,) = verify_all(library, [record])
    assert (verdict.state, verdict.aside) == ("damaged", ssd.damaged / sha(A))
    assert (listing(ssd.blobs), listing(library.blobs), listing(library.store.damaged)) == ([], [], [])
    put(library, "m", {"a.gguf": A})
    verify(library, record)


def test_another_tools_file_is_never_touched(library: Library, tmp_path: Path) -> None:
    record = adopt(library, "m", tmp_path / "tool", {"a.gguf": A})
    (path,) = (tmp_path / "tool").iterdir()
    path.write_bytes(b"theirs" * 100)
    with pytest.raises(FileDamaged, match="600 bytes instead of 1000"):
        verify(library, record)
    assert path.read_bytes() == b"theirs" * 100
    path.write_bytes(b"x" * len(A))
    adopt(library, "again", tmp_path / "other", {"b.gguf": A})
    assert model_path(library, record).read_bytes() == A
    assert path.read_bytes() == b"x" * len(A)


def test_lost_names_are_mended(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A, "sub/b": B})
    folder = library.folder(record)
    (folder / "a.gguf").unlink()
    (folder / "sub" / "b").unlink()
    (folder / "sub" / "b").symlink_to("/etc/passwd")
    model_path(library, record)
    assert ((folder / "a.gguf").read_bytes(), (folder / "sub" / "b").read_bytes()) == (A, B)


def test_a_blob_that_is_no_file(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    (library.blobs / sha(A)).unlink()
    (library.blobs / sha(A)).mkdir()
    with pytest.raises(FileDamaged):
        verify(library, record)
    (library.blobs / sha(B)).symlink_to(sha(B))
    assert put(library, "loop", {"b": B}).ref == "loop:q4_0"


def test_damage_where_nothing_can_be_set_aside_keeps_no_other_from_its_verdict(library: Library) -> None:
    one, two = put(library, "one", {"a.gguf": A}), put(library, "two", {"b.gguf": A[:-1]})
    damage(library.blobs / sha(A), b"x" * len(A))
    library.store.damaged.write_text("no folder")
    found = verify_all(library, [one, two])
    assert [(verdict.state, verdict.aside) for verdict in found] == [("damaged", None), ("whole", None)]
    assert (library.blobs / sha(A)).read_bytes() == b"x" * len(A)


def test_an_adopted_file_that_its_tool_deleted_is_told_as_that(library: Library, tmp_path: Path) -> None:
    record = adopt(library, "m", tmp_path / "tool", {"a.gguf": A})
    (path,) = (tmp_path / "tool").iterdir()
    path.unlink()
    with pytest.raises(NotFound, match="belonged to another tool") as caught:
        verify(library, record)
    assert caught.value.data["path"] == str(path)
