"""Locks between real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ultralab.kernel.errors import Busy, FileAccess
from ultralab.system import clock
from ultralab.system.locks import exclusive, sweep

HOLDER = (
    "import sys; from pathlib import Path; from ultralab.system.locks import exclusive\n"
    "with exclusive(Path(sys.argv[1]), 'the thing'): print('held', flush=True); sys.stdin.readline()\n"
)


def holder(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_only_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "thing.lock"
    with holder(path) as other:
        begun = clock.monotonic()
        with pytest.raises(Busy) as caught, exclusive(path, "the thing", timeout=0.2):
            pass
        assert 0.2 <= clock.monotonic() - begun < 3
        assert caught.value.message == "Another ultralab process is busy with the thing."
        assert caught.value.data == {"path": str(path)}
        with exclusive(tmp_path / "locks" / "other.lock", "another thing", timeout=0.2):
            pass
        assert other.stdin is not None
        other.stdin.close()
    with exclusive(path, "the thing", timeout=0):
        pass


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as other:
        other.kill()
        with exclusive(tmp_path / "lock", "the thing", timeout=5):
            pass


def test_an_error_in_the_block_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock", "the thing"):
        raise ZeroDivisionError
    with exclusive(tmp_path / "lock", "the thing", timeout=0):
        pass


def test_one_process_waits_for_itself_too(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lock", "the thing"),
        pytest.raises(Busy),
        exclusive(tmp_path / "lock", "the thing", timeout=0.1),
    ):
        pass


def test_a_lock_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "lock", tmp_path / "folder"):
        with pytest.raises(FileAccess) as caught, exclusive(path, "the thing", timeout=1):
            pass
        assert caught.value.data == {"path": str(path)}


def test_everybody_has_a_turn(tmp_path: Path) -> None:
    """Six processes add one to a number in a file, each ten times."""
    adder = (
        "import sys; from pathlib import Path; from ultralab.system.locks import exclusive\n"
        "folder = Path(sys.argv[1])\n"
        "for _ in range(10):\n"
        "    with exclusive(folder / 'lock', 'the number'):\n"
        "        (folder / 'number').write_text(str(int((folder / 'number').read_text()) + 1))\n"
    )
    (tmp_path / "number").write_text("0")
    crowd = [subprocess.Popen([sys.executable, "-c", adder, str(tmp_path)]) for _ in range(6)]
    assert [one.wait(60) for one in crowd] == [0] * 6
    assert (tmp_path / "number").read_text() == "60"


SHARER = (
    "import sys; from pathlib import Path; from ultralab.system.locks import shared\n"
    "print('waits', flush=True)\n"
    "with shared(Path(sys.argv[1])): print('has', flush=True); sys.stdin.readline()\n"
)


def test_lock_files_that_nobody_holds_are_swept(tmp_path: Path) -> None:
    for name in ("idle", "held"):
        with exclusive(tmp_path / f"{name}.lock", "the thing"):
            pass
    (tmp_path / "no-lock").write_text("x")
    with holder(tmp_path / "held.lock") as other:
        sweep(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["held.lock", "no-lock"]
        assert other.stdin is not None
        other.stdin.close()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["no-lock"]


@pytest.mark.parametrize("together", [True, False])
def test_whoever_waited_for_a_swept_file_has_the_new_one(tmp_path: Path, together: bool) -> None:
    path = tmp_path / "lock"
    waiter = SHARER if together else HOLDER.replace("with", "print('waits', flush=True)\nwith").replace("held", "has")
    with exclusive(path, "the thing"):
        other = subprocess.Popen(
            [sys.executable, "-c", waiter, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        assert other.stdout.readline() == b"waits\n"
        while together and not _opened(path, other.pid):  # the other kind looks again and again
            pass
        path.unlink()
    with other:
        assert other.stdout.readline() == b"has\n"
        with pytest.raises(Busy), exclusive(path, "the thing", timeout=0):
            pass
        other.communicate(b"\n")


def _opened(path: Path, pid: int) -> bool:
    return any(str(path) == opened.path for opened in psutil.Process(pid).open_files())
