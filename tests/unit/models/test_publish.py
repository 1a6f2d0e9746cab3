"""Publishing and withdrawing: one copy of every byte, on its volume, whatever moment the power goes."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

import pytest
from tests.unit.models.store.killing import killed_at
from tests.unit.models.store.shelf import adopt, age, listing, put, record_of, sha, unplug, with_volumes

from ultralab.kernel.errors import AlreadyExists, RequestError
from ultralab.models.catalog.index import load
from ultralab.models.library import Library, model_path, rebuild, records, remove
from ultralab.models.publish import publish
from ultralab.models.store.scanning import scan
from ultralab.models.store.whole import verify_all
from ultralab.models.types import Staged

A, B, C = b"a" * 1000, b"b" * 2000, b"c" * 10
FILES = {"model-00001-of-00002.safetensors": A, "model-00002-of-00002.safetensors": B, "config.json": C}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return with_volumes(tmp_path, "ssd")


def states(library: Library) -> set[str]:
    return {verdict.state for verdict in verify_all(library, records(library))}


def test_a_model_of_several_files_and_folders(library: Library) -> None:
    record = put(library, "m", {**FILES, "tokenizer/词表 🚀 x.json": C})
    folder = model_path(library, record)
    assert listing(folder) == ["config.json", *sorted(FILES)[1:], "tokenizer/词表 🚀 x.json"]
    assert (folder / "tokenizer" / "词表 🚀 x.json").readlink() == Path("../../../../../blobs/sha256") / sha(C)
    assert listing(library.blobs) == sorted({sha(A), sha(B), sha(C)})
    assert listing(library.partial) == []
    assert scan(library).clean
    assert records(library) == (record,)


def test_bytes_on_another_volume(library: Library) -> None:
    (ssd,) = library.volumes
    record = put(library, "m", FILES, ssd)
    assert listing(ssd.blobs) == sorted({sha(A), sha(B), sha(C)})
    assert {(library.blobs / sha(part)).readlink() for part in (A, B, C)} == {
        ssd.blobs / sha(part) for part in (A, B, C)
    }
    assert (model_path(library, record) / "config.json").read_bytes() == C
    assert listing(ssd.partial) == []
    remove(library, "m")
    assert (listing(ssd.blobs), listing(library.home / "store")) == ([], ["ultralab-volume.json"])


def test_bytes_that_are_there_are_stored_once(library: Library) -> None:
    put(library, "one", {"a": A})
    inode = (library.blobs / sha(A)).stat().st_ino
    put(library, "two", {"x": A, "y": A, "z": B}, library.volumes[0])
    assert (library.blobs / sha(A)).stat().st_ino == inode
    assert listing(library.volumes[0].root) == [f"blobs/sha256/{sha(B)}", "ultralab-volume.json"]
    assert states(library) == {"whole"}


def test_bad_bytes_that_are_there_are_replaced_and_kept_aside(library: Library) -> None:
    put(library, "one", {"a": A})
    blob = library.blobs / sha(A)
    blob.chmod(0o644)
    blob.write_bytes(b"x" * len(A))  # the size tells nothing
    put(library, "two", {"b": A})
    assert (blob.read_bytes(), (library.store.damaged / sha(A)).read_bytes()) == (A, b"x" * len(A))
    blob.chmod(0o644)
    blob.write_bytes(b"short")
    put(library, "three", {"c": A})
    assert (blob.read_bytes(), (library.store.damaged / f"{sha(A)}.2").read_bytes()) == (A, b"short")
    assert states(library) == {"whole"}


def test_adopted_files_stay_as_they_are(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "other tool 其他"
    record = adopt(library, "m", folder, {"a.gguf": A})
    (path,) = folder.iterdir()
    before = path.stat()
    assert (library.blobs / sha(A)).readlink() == path.resolve()
    assert model_path(library, record).read_bytes() == A
    put(library, "copy", {"mine.gguf": A})  # the bytes are there: no second copy
    assert (library.blobs / sha(A)).readlink() == path.resolve()
    assert listing(library.partial) == []
    remove(library, "m")
    remove(library, "copy")
    after = path.stat()
    assert (path.read_bytes(), after.st_mode, after.st_mtime_ns) == (A, before.st_mode, before.st_mtime_ns)
    assert not (library.blobs / sha(A)).is_symlink()


def test_keeping_what_is_in_the_store_already(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    blob = library.blobs / sha(A)
    kept = Staged(blob, "b.gguf", len(A), sha(A), kept=True)
    publish(library, [kept], record_of("n", {"b.gguf": A}), load(library.catalog, library.metadata), replace=False)
    assert (blob.is_symlink(), blob.read_bytes(), model_path(library, record).read_bytes()) == (False, A, A)


def test_bytes_on_an_unplugged_volume_are_got_again(library: Library) -> None:
    (ssd,) = library.volumes
    record = put(library, "m", {"a.gguf": A}, ssd)
    away = unplug(ssd)
    assert put(library, "m", {"a.gguf": A}) == record
    assert (model_path(library, record).read_bytes(), (library.blobs / sha(A)).is_symlink()) == (A, False)
    away.rename(ssd.root)
    assert scan(library).unknown == (ssd.blobs / sha(A),)


def test_the_same_bytes_under_another_file_name_leave_no_second_name(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    assert put(library, "m", {"b.gguf": A}) == record
    assert [path.name for path in library.folder(record).iterdir()] == ["a.gguf"]


def test_replacing_takes_the_old_bytes_along(library: Library) -> None:
    put(library, "m", {"a.gguf": A, "config.json": C})
    with pytest.raises(AlreadyExists, match="another model m:q4_0"):
        put(library, "m", {"a.gguf": B, "config.json": C})
    (library.partial / "a.gguf.ready").unlink()
    (library.partial / "config.json.ready").unlink()
    record = put(library, "m", {"b.gguf": B, "config.json": C}, replace=True)
    assert listing(library.blobs) == sorted([sha(B), sha(C)])
    assert listing(library.folder(record)) == ["b.gguf", "config.json"]
    assert scan(library).clean


@pytest.mark.parametrize(
    "names", [("Model.gguf", "model.gguf"), ("caf\u00e9.gguf", "cafe\u0301.gguf"), ("straße", "STRASSE"), ("a", "a/b")]
)
def test_names_that_a_mac_cannot_tell_apart(library: Library, names: tuple[str, str]) -> None:
    with pytest.raises(RequestError, match="cannot be told apart"):
        put(library, "m", {names[0]: A, names[1]: B})
    assert records(library) == ()
    assert not library.blobs.exists()


def test_somebodys_own_file_under_a_name_is_never_replaced(library: Library) -> None:
    record = record_of("m", {"a.gguf": A})
    own = library.folder(record) / "a.gguf"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    with pytest.raises(Exception, match=r"a\.gguf"):
        put(library, "m", {"a.gguf": A})
    assert (own.read_bytes(), records(library)) == (b"mine", ())
    remove_me = put(library, "n", {"x.gguf": A})
    rebuild(library)
    assert own.read_bytes() == b"mine"
    assert model_path(library, remove_me).read_bytes() == A


@pytest.mark.parametrize("where", [pytest.param("home", marks=pytest.mark.slow), "ssd"])
def test_killed_at_any_step_of_publishing(tmp_path: Path, where: str) -> None:
    for step in count():
        (tmp_path / str(step)).mkdir()
        library = with_volumes(tmp_path / str(step), "ssd")
        volume = library.store if where == "home" else library.volumes[0]
        first = put(library, "first", {"config.json": C})
        killed = killed_at(step, partial(put, library, "m", FILES, volume))
        assert model_path(library, first).read_bytes() == C
        for record in records(library):  # what has a metadata file is whole
            model_path(library, record)
        assert states(library) == {"whole"}
        assert not scan(library).missing
        put(library, "m", FILES, volume)
        rebuild(library)
        assert (states(library), scan(library).clean) == ({"whole"}, True), step
        assert listing(library.store.damaged) == []
        if not killed:
            assert step > 15
            return


@pytest.mark.parametrize("where", [pytest.param("home", marks=pytest.mark.slow), "ssd"])
def test_killed_at_any_step_of_removing(tmp_path: Path, where: str) -> None:
    for step in count():
        (tmp_path / str(step)).mkdir()
        library = with_volumes(tmp_path / str(step), "ssd")
        first = put(library, "first", {"config.json": C})
        put(library, "m", FILES, library.store if where == "home" else library.volumes[0])
        killed = killed_at(step, partial(remove, library, "m"))
        assert states(library) == {"whole"}
        assert model_path(library, first).read_bytes() == C
        left = {path.name for path in scan(library).unknown}
        if "m" in {record.name for record in records(library)}:
            assert left == set()
            remove(library, "m")
            assert scan(library).clean
        else:
            assert left <= {sha(A), sha(B), *FILES}
            put(library, "m", FILES)
            rebuild(library)
            remove(library, "m")
        assert records(library) == (first,)
        if not killed:
            assert step > 6
            return


def test_a_file_of_an_instant(library: Library, tmp_path: Path) -> None:
    """A foreign file that is rewritten right after it was adopted is noticed, though its size is the same."""
    record = adopt(library, "m", tmp_path / "tool", {"a.gguf": A})
    path = model_path(library, record).resolve()
    assert scan(library).clean
    path.write_bytes(b"x" * len(A))
    age(path)
    assert scan(library).changed == (library.blobs / sha(A),)
