"""Nothing of exact mode stays on the disk, not even of a process that was killed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ultralab.assess.exact.folder import PREFIX, own_folder


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path)
    yield tmp_path
    tempfile.tempdir = before


def aged(folder: Path) -> Path:
    os.utime(folder, (time.time() - 60,) * 2)
    return folder


def test_it_is_gone_afterwards_whatever_happens(place: Path) -> None:
    def fail() -> None:
        with own_folder() as folder:
            (folder / "model.gguf").write_bytes(b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(place: Path) -> None:
    left = place / f"{PREFIX}left"
    left.mkdir()
    (left / "model.gguf").write_bytes(b"x")
    aged(left)
    newborn = place / f"{PREFIX}new"
    newborn.mkdir()
    other = place / "other"
    other.mkdir()
    with own_folder() as mine:
        assert not left.exists()
        aged(mine)
        with own_folder() as second:
            assert {mine, second, newborn, aged(other)} == set(place.iterdir())


def test_links_are_not_followed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = tmp_path_factory.mktemp("kept")
    (kept / "file").write_bytes(b"x")
    (place / f"{PREFIX}link").symlink_to(kept)
    aged(kept)
    with own_folder():
        pass
    assert [path.name for path in kept.iterdir()] == ["file"]
