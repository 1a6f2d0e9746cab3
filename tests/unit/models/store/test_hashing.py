"""Hashing: once, on all cores, and never again while nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.models.store.shelf import age, sha

from ultralab.kernel.errors import FileAccess, FileDamaged, NotFound
from ultralab.models.store import knowledge
from ultralab.models.store.hashing import hash_of, hashes_of, read_all, read_file
from ultralab.models.store.knowledge import Known, Stamp, settled
from ultralab.models.store.layout import Library
from ultralab.system import clock

CHILD = """
import sys
from pathlib import Path
from ultralab.models.store.hashing import hashes_of
from ultralab.models.store.layout import Library
read = []
sys.addaudithook(lambda event, args: read.append(args[0]) if event == "open" else None)
print(sorted(hashes_of(Library(Path(sys.argv[1])), [Path(path) for path in sys.argv[2:]]).values()))
print([path for path in read if path in sys.argv[2:]])
"""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "lab")


def make(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    age(path)
    return path


def in_a_child(library: Library, *paths: Path) -> list[str]:
    argv = [sys.executable, "-c", CHILD, str(library.home), *map(str, paths)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def test_an_unchanged_file_is_not_opened(library: Library, tmp_path: Path) -> None:
    one, two = make(tmp_path, "模型 🚀.gguf", b"one"), make(tmp_path, "two", b"two" * 1000)
    hashes = str(sorted([sha(b"one"), sha(b"two" * 1000)]))
    assert in_a_child(library, one, two) == [hashes, str([str(two), str(one)])]  # the largest first
    assert in_a_child(library, one, two) == [hashes, "[]"]
    os.utime(one, ns=(0, one.stat().st_mtime_ns + 1))
    assert in_a_child(library, one, two) == [hashes, str([str(one)])]


def test_a_changed_file_is_read_again(library: Library, tmp_path: Path) -> None:
    path = make(tmp_path, "a", b"one")
    assert hash_of(library, path) == sha(b"one")
    path.write_bytes(b"other")
    age(path)  # the same time as before, another size
    assert hash_of(library, path) == sha(b"other")
    other = make(tmp_path, "b", b"third")
    other.replace(path)  # the same time and size, another inode
    assert hash_of(library, path) == sha(b"third")


def test_a_file_of_this_moment_is_not_trusted(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.write_bytes(b"one")
    moment = (int(clock.timestamp()) + 1) * 1_000_000_000  # as a disk that counts in two seconds would say it
    os.utime(path, ns=(moment, moment))
    hash_of(library, path)
    path.write_bytes(b"two")
    os.utime(path, ns=(moment, moment))
    assert hash_of(library, path) == sha(b"two")


@pytest.mark.parametrize(
    ("modified", "now", "expected"),
    [
        (1_000_000_123, 1_000_000_123, False),
        (1_000_000_123, 1_040_000_000, False),
        (1_000_000_123, 1_060_000_000, True),
        (2_000_000_000, 3_000_000_000, False),  # whole hundredths: perhaps a disk that counts in two seconds
        (2_000_000_000, 4_600_000_000, True),
        (9_000_000_123, 1_000_000_000, True),  # in the future: nobody writes there now
    ],
)
def test_when_a_time_is_trusted(modified: int, now: int, expected: bool) -> None:
    assert settled(modified, now) is expected


def test_what_is_no_file(library: Library, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    good = make(tmp_path, "good", b"good")
    paths = [tmp_path / "pipe", tmp_path / "none", tmp_path / "loop", tmp_path, good]
    found = hashes_of(library, paths)
    assert [type(found[path]) for path in paths] == [FileAccess, NotFound, FileAccess, FileAccess, str]
    with pytest.raises(NotFound):
        hash_of(library, tmp_path / "none")


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = make(tmp_path, "a", bytes(3 * 1024 * 1024))
    with pytest.raises(FileDamaged, match="changed while it was read"):
        read_file(path, lambda _count: os.utime(path))


def test_many_files_at_once(tmp_path: Path) -> None:
    paths = [make(tmp_path, f"file {number}", bytes([number]) * number * 1000) for number in range(60)]
    found = dict(read_all(paths))
    assert {path.name: known.sha256 for path, known in found.items() if isinstance(known, Known)} == {
        f"file {number}": sha(bytes([number]) * number * 1000) for number in range(60)
    }


def test_leaving_early_stops_the_reading(tmp_path: Path) -> None:
    paths = [make(tmp_path, f"file {number}", bytes(2 * 1024 * 1024)) for number in range(50)]
    reading = read_all(paths)
    assert isinstance(next(reading)[1], Known)
    reading.close()  # type: ignore[attr-defined]
    assert list(read_all([])) == []


@pytest.mark.parametrize("harm", ["garbage", "truncated", "a folder"])
def test_a_lost_cache_costs_only_time(library: Library, tmp_path: Path, harm: str) -> None:
    path = make(tmp_path, "a", b"one")
    hash_of(library, path)
    if harm == "garbage":
        library.knowledge.write_bytes(b"not a database " * 1000)
    elif harm == "truncated":
        library.knowledge.write_bytes(library.knowledge.read_bytes()[:5000])
    else:
        library.knowledge.unlink()
        library.knowledge.mkdir()
    assert hash_of(library, path) == sha(b"one")
    if harm != "a folder":
        assert knowledge.recall(library, [knowledge.path_key(path)])


def test_what_is_known_may_be_forgotten(library: Library) -> None:
    known = Known(Stamp(1, 2, 3), "f" * 64)
    knowledge.remember(library, {b"/a\xff\n": known, b"/b": known})
    knowledge.forget(library, [b"/b"])
    assert knowledge.recall(library, [b"/a\xff\n", b"/b", b"/c"]) == {b"/a\xff\n": known}
