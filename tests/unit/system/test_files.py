"""Files written whole or not at all, on real file systems, full and forbidden ones too."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ultralab.kernel.errors import DiskFull, FileAccess, NotFound
from ultralab.system import files

LONG = "十" * 80 + ".json"  # 245 bytes: with a prefix and a suffix it would be longer than a name may be


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """No file of this process may grow beyond ``limit`` bytes."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["plain.txt", ".hidden", LONG])
def test_write_makes_folders_and_replaces(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a" / "b" / name
    files.write(path, "první\n")
    files.write(path, b"\x00second")
    assert path.read_bytes() == b"\x00second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_mode_is_kept_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write(tmp_path / "open", "x")
        files.write(tmp_path / "secret", "x", mode=0o600)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("open", "secret")] == [0o644, 0o600]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "file").write_text("before")

    def work() -> None:
        with files.new_file(tmp_path / "file") as stream:
            stream.write(b"half")
            stream.flush()
            raise error

    with pytest.raises(error):
        work()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "before"}


def test_it_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with files.new_file(tmp_path / "file") as stream:
        stream.write(b"half")
        stream.flush()
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_bytes() == b"half"


def test_a_file_that_may_not_grow_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileAccess) as caught, file_size_limit(1000):
        files.write(tmp_path / "file", b"x" * 2000)
    assert caught.value.message == f"{tmp_path / 'file'}: File too large"
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_does_not_fit_leaves_nothing_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "log"
    files.append_line(path, "first")
    with pytest.raises(DiskFull), file_size_limit(20):
        files.append_line(path, "x" * 30)
    assert path.read_text() == "first\n"
    files.append_line(path, "second\n")
    assert path.read_text() == "first\nsecond\n"


FULL = """
import os, subprocess, sys
from pathlib import Path
from ultralab.kernel.errors import DiskFull
from ultralab.memory import holders, open_ledger, release, reserve
from ultralab.system import files
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=True)

def refused(work):
    try:
        work()
    except DiskFull as error:
        return error.data["path"]
    return "went well"

ledger = open_ledger(place / "ledger", 10**12)
first = reserve(ledger, 1, "first")
(place / "ballast").write_bytes(bytes(100_000))
before = sorted(os.listdir(place))
print(refused(lambda: files.write(place / "file", bytes(400_000))) == str(place / "file"))
print(sorted(os.listdir(place)) == before)
with open(place / "filler", "wb", buffering=0) as stream:
    try:
        while True:
            stream.write(bytes(4096))
    except OSError:
        pass
print(refused(lambda: files.append_line(place / "log", "x" * 10_000)) == str(place / "log"), (place / "log").stat().st_size)
(place / "log").unlink()

def fill_the_ledger():
    for number in range(10_000):
        reserve(ledger, 1, "x" * 5000)

print(refused(fill_the_ledger) == str(ledger.database.path))
print(refused(lambda: files.require_space(place / "not" / "yet", 10**6)) == str(place / "not" / "yet"))
(place / "filler").unlink()
(place / "ballast").unlink()
print(reserve(ledger, 1, "after").amount, ledger.database.integrity(), holders(ledger)[0] == first)
"""


# A small file system of its own needs a mount name space, which Linux gives to any user, unless it was hardened.
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:

    def test_a_full_disk(tmp_path: Path) -> None:
        answer = subprocess.run(
            [*OWN_MOUNTS, sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert answer.stdout.splitlines() == ["True", "True", "True 0", "True", "True", "1 ok True"], answer.stderr


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for work in (
        lambda: files.write(tmp_path / "file" / "below", "x"),
        lambda: files.append_line(tmp_path / "file" / "below", "x"),
        lambda: files.read_text(tmp_path / "file" / "below"),
        lambda: files.sha256_of(tmp_path / "file" / "below"),
    ):
        with pytest.raises(FileAccess) as caught:
            work()
        assert caught.value.data == {"path": str(tmp_path / "file" / "below")}
        assert caught.value.hint == "Check the path and its permissions."


def test_a_folder_in_the_way_is_explained_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileAccess, match="Is a directory"):
        files.write(tmp_path / "taken", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_read_text(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes("读我\n".encode())
    (tmp_path / "bad").write_bytes(b"ab\xffcd")
    assert files.read_text(tmp_path / "good") == "读我\n"
    with pytest.raises(FileAccess) as caught:
        files.read_text(tmp_path / "bad")
    assert caught.value.message == f"{tmp_path / 'bad'} is not UTF-8 text (byte 2)."
    with pytest.raises(NotFound) as missing:
        files.read_text(tmp_path / "none")
    assert missing.value.message == f"There is no such file: {tmp_path / 'none'}"


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 17])
def test_sha256(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "file").write_bytes(content)
    blocks: list[int] = []
    assert files.sha256_of(tmp_path / "file", blocks.append) == hashlib.sha256(content).hexdigest()
    assert sum(blocks) == size


def test_sha256_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        files.sha256_of(tmp_path / "none")


def test_require_space(tmp_path: Path) -> None:
    files.require_space(tmp_path / "not" / "yet" / "there", 1)
    with pytest.raises(DiskFull) as caught:
        files.require_space(tmp_path / "not" / "yet" / "there", 10**15)
    assert caught.value.message.startswith(f"909 TiB are needed in {tmp_path / 'not' / 'yet' / 'there'}, ")
    assert caught.value.data["needed"] == 10**15
    assert not (tmp_path / "not").exists()
