"""Files that share bytes: on real file systems, with what each of them can do."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ultralab.kernel.errors import FileAccess, FileDamaged, NotFound
from ultralab.system import links

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than ``tmp_path``: the one in memory that every Linux has."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        assert folder.stat().st_dev != tmp_path.stat().st_dev
        yield folder


def two(folder: Path, other: Path | None = None) -> tuple[Path, Path]:
    source, target = folder / "blob", (other or folder) / "模型 🐼 copy.gguf"
    source.write_bytes(CONTENT)
    source.chmod(0o444)
    target.write_bytes(CONTENT)
    os.utime(target, ns=(1_600_000_000_000_000_000, 1_600_000_000_123_456_789))
    return source, target


def blocks(*paths: Path) -> int:
    """Bytes that these names have on their disks, each file counted once."""
    return sum({(s.st_dev, s.st_ino): s.st_blocks * 512 for s in (path.lstat() for path in paths)}.values())


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_two_copies_on_one_disk_become_one_to_the_byte(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    before = blocks(source, target)
    way = links.share(source, target)
    assert way in ("clone", "reflink", "hardlink")
    assert target.read_bytes() == CONTENT
    assert links.same_bytes(source, target)
    assert names_in(tmp_path) == {"blob", target.name}
    if way == "hardlink":  # ext4 and tmpfs; the others tell the blocks of both
        assert target.samefile(source)
        assert blocks(source, target) == before - len(CONTENT) // 4096 * 4096 - 4096 * (len(CONTENT) % 4096 > 0)
    assert stat.S_IMODE(source.stat().st_mode) == 0o444


def test_another_disk_gets_a_link_by_name(tmp_path: Path, other_disk: Path) -> None:
    source, target = two(tmp_path, other_disk)
    assert links.share(source, target) == "symlink"
    assert target.is_symlink()
    assert target.read_bytes() == CONTENT
    assert target.readlink() == source
    assert names_in(other_disk) == {target.name}


def test_a_way_that_does_not_lead_there_changes_nothing(tmp_path: Path, other_disk: Path) -> None:
    source, target = two(tmp_path, other_disk)
    before = links.stamp(target)
    assert links.share(source, target, ways=("clone", "reflink", "hardlink")) is None
    assert links.stamp(target) == before
    assert names_in(other_disk) == {target.name}


def test_sharing_again_is_nothing(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    links.share(source, target, ways=("hardlink",))
    before = links.stamp(target)
    assert links.share(source, target) == "hardlink"
    assert links.stamp(target) == before


def test_the_source_may_be_a_link_itself(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    name = tmp_path / "store-link"
    name.symlink_to(source)
    assert links.share(name, target, ways=("hardlink",)) == "hardlink"
    assert target.samefile(source)
    assert not target.is_symlink()


def test_a_file_that_changed_since_it_was_compared_stays(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    proven = (links.stamp(source), links.stamp(target))
    with target.open("r+b") as stream:
        stream.write(b"mine")
    os.utime(target, ns=(1_600_000_000_000_000_000, 1_600_000_000_123_456_789))  # somebody hides it
    with pytest.raises(FileDamaged, match="changed"):
        links.share(source, target, proven=proven)
    assert target.read_bytes()[:4] == b"mine"
    assert not target.samefile(source)
    source.chmod(0o644)
    source.write_bytes(b"x" * len(CONTENT))
    with pytest.raises(FileDamaged) as caught:
        links.share(source, target, proven=(proven[0], links.stamp(target)))
    assert caught.value.data["path"] == str(source)


def test_files_of_different_size_are_never_shared(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    target.write_bytes(CONTENT + b"1")
    with pytest.raises(FileDamaged):
        links.share(source, target)
    assert target.stat().st_size == len(CONTENT) + 1


def test_a_link_takes_the_right_to_read_from_nobody(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    source.chmod(0o400)
    target.chmod(0o644)
    assert links.share(source, target, ways=("hardlink", "symlink")) is None
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert stat.S_IMODE(source.stat().st_mode) == 0o400
    assert not target.samefile(source)


def test_what_an_interrupted_call_left_is_taken_away(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    (tmp_path / f".{target.name}{links.SUFFIX}").write_text("half")
    assert links.share(source, target, ways=("hardlink",)) == "hardlink"
    assert names_in(tmp_path) == {"blob", target.name}


def test_only_files_that_are_there_are_shared(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    with pytest.raises(NotFound):
        links.share(tmp_path / "gone", target)
    with pytest.raises(NotFound):
        links.share(source, tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileAccess):
        links.share(source, tmp_path / "pipe")
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(FileAccess):  # the link's own bytes are what would be replaced
        links.share(source, link)


def test_two_files_with_the_same_content_are_told_from_one(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    assert not links.same_bytes(source, target)
    os.sync()  # the disk's addresses exist once the bytes are there
    assert not links.same_bytes(source, target)
    (tmp_path / "empty").touch()
    (tmp_path / "void").touch()
    assert not links.same_bytes(tmp_path / "empty", tmp_path / "void")


def test_the_disk_tells_where_a_byte_lies(tmp_path: Path) -> None:
    source, _target = two(tmp_path)
    os.sync()
    start = links._place_of(source, 0)
    assert start is not None  # ext4, xfs, btrfs and apfs tell; nothing else is a developer's disk
    assert links._place_of(source, 100) == start + 100
    assert links._place_of(source, len(CONTENT) + 10_000_000) is None


def test_a_copy_by_clone_is_a_copy_or_nothing(tmp_path: Path) -> None:
    source, _target = two(tmp_path)
    made = links.copy_shared(source, tmp_path / "new")
    assert made is (tmp_path / "new").exists()
    if made:
        assert (tmp_path / "new").read_bytes() == CONTENT


def test_a_file_open_for_writing_is_noticed_where_the_system_tells(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    tells = hasattr(fcntl, "F_SETLEASE")  # Linux
    with target.open("r+b"):
        assert links.is_being_written(target) is tells
    assert not links.is_being_written(target)
    with source.open("rb"):
        assert not links.is_being_written(source)


def test_what_macos_answers_is_read_as_its_header_packs_it() -> None:
    """``struct log2phys`` of <sys/fcntl.h>: four bytes of flags, then two ``off_t`` without padding."""
    answer = bytes.fromhex("00000000001000000000000000a0000001000000")
    assert links._LOG2PHYS.unpack(answer) == (0, 4096, 0x1_0000_A000)


def test_the_longest_name_can_be_shared(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    longest = target.rename(tmp_path / ("模" * 83 + ".gguf"))  # 254 bytes
    assert links.share(source, longest, ways=("hardlink",)) == "hardlink"
    assert names_in(tmp_path) == {"blob", longest.name}
