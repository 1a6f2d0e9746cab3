"""Volumes: known by their marker, never made under a disk that is not plugged in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.models.store.shelf import unplug

from ultralab.kernel.errors import AlreadyExists, FileAccess, NotFound, RequestError
from ultralab.models.store.volumes import HOME, MARKER, Volume, parse, prepare, read_marker, state_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "lab 实验室"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    disk = tmp_path / "SSD 🚀 外置"
    disk.mkdir()
    return disk


def test_what_lab_toml_says() -> None:
    assert parse(["ssd=/Volumes/SSD 1/models", "big = /mnt/a=b"]) == (
        Volume("ssd", Path("/Volumes/SSD 1/models")),
        Volume("big", Path("/mnt/a=b")),
    )
    assert parse(["ssd=~/models"]) == (Volume("ssd", Path.home() / "models"),)
    assert parse([]) == ()


@pytest.mark.parametrize("text", ["ssd", "ssd=", "ssd=models", "=/x", "home=/x", "auto=/x", "S S D=/x", "../x=/x"])
def test_what_is_no_volume(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse([text])
    assert caught.value.hint


def test_a_name_counts_once() -> None:
    with pytest.raises(RequestError, match="'ssd'"):
        parse(["ssd=/a", "ssd=/b"])


def test_a_volume_is_prepared_once(home: Path, disk: Path) -> None:
    volume = prepare(disk, "ssd", home)
    marker = (disk / MARKER).read_bytes()
    own = read_marker(home / "store")
    assert own is not None
    assert json.loads(marker) == {"id": json.loads(marker)["id"], "name": "ssd", "lab": own.id}
    assert (prepare(disk, "ssd", home), (disk / MARKER).read_bytes()) == (volume, marker)
    state = state_of(volume, home)
    assert (state.volume, state.state) == (Volume("ssd", disk), "present")
    assert 0 < state.free <= state.total
    assert sorted(path.name for path in disk.iterdir()) == [MARKER]


def test_what_cannot_be_a_volume(home: Path, disk: Path, tmp_path: Path) -> None:
    (home / "store").mkdir(parents=True)
    with pytest.raises(RequestError, match="inside the lab"):
        prepare(home / "store", "ssd", home)
    (disk / "link").symlink_to(home)
    with pytest.raises(RequestError, match="inside the lab"):
        prepare(disk / "link", "ssd", home)
    (disk / "file").write_bytes(b"")
    with pytest.raises(FileAccess, match="not a folder"):
        prepare(disk / "file", "ssd", home)
    with pytest.raises(NotFound):
        prepare(tmp_path / "not plugged in" / "models", "ssd", home)
    assert not (tmp_path / "not plugged in").exists()
    prepare(disk, "ssd", home)
    with pytest.raises(AlreadyExists, match="volume ssd already"):
        prepare(disk, "other", home)
    with pytest.raises(AlreadyExists, match="another lab"):
        prepare(disk, "ssd", tmp_path / "other lab")


def test_a_disk_that_is_not_plugged_in(home: Path, disk: Path) -> None:
    volume = prepare(disk, "ssd", home)
    away = unplug(volume)
    assert (state_of(volume, home).state, state_of(volume, home).free) == ("missing", 0)
    disk.mkdir()  # an empty mount point that stayed
    assert state_of(volume, home).state == "missing"
    assert list(disk.iterdir()) == []
    disk.rmdir()
    away.rename(disk)
    assert state_of(volume, home).state == "present"


@pytest.mark.parametrize("harm", ["{", "[]", "null", '{"id": "x"}', "[" * 60_000, "\x00", "{" + " " * 70_000])
def test_a_marker_that_is_none(home: Path, disk: Path, harm: str) -> None:
    volume = prepare(disk, "ssd", home)
    (disk / MARKER).write_text(harm)
    assert state_of(volume, home).state == "foreign"
    with pytest.raises(FileAccess):
        prepare(disk, "ssd", home)


def test_another_disk_at_the_same_path(home: Path, disk: Path, tmp_path: Path) -> None:
    volume = prepare(disk, "ssd", home)
    assert state_of(Volume("big", disk), home).state == "foreign"
    assert state_of(volume, tmp_path / "other lab").state == "foreign"


def test_the_labs_own_volume_is_always_there(home: Path) -> None:
    state = state_of(Volume(HOME, home / "store"), home)
    assert (state.state, state.free > 0, home.exists()) == ("present", True, False)


def test_the_lab_may_be_moved(home: Path, disk: Path, tmp_path: Path) -> None:
    volume = prepare(disk, "ssd", home)
    home.rename(tmp_path / "moved")
    assert state_of(volume, tmp_path / "moved").state == "present"


def test_a_read_only_volume(disk: Path, home: Path) -> None:
    """Only somebody who is not root may be refused: a child gives that up, in folders that it may pass through."""
    prepare(disk, "ssd", home)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ultralab.models.store.volumes import Volume, state_of\n"
        "os.chdir(sys.argv[1])\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "print(state_of(Volume('ssd', Path('disk')), Path('lab')).state)"
    )
    place = disk.parent
    disk.rename(place / "disk")
    home.rename(place / "lab")
    for folder in (place, place / "lab", place / "lab" / "store"):
        folder.chmod(0o755)
    (place / "disk").chmod(0o555)
    argv = [sys.executable, "-c", script, str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    (place / "disk").chmod(0o755)
    assert (done.stdout, done.stderr) == ("read-only\n", "")
