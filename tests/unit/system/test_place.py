"""Who may move a database's files, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ultralab.kernel.errors import Busy
from ultralab.system.place import alone, in_place

# Says that it holds the folder, and holds it until it is told to let go.
HOLDER = """
import sys
from pathlib import Path
from ultralab.system import place
with getattr(place, sys.argv[2])(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(folder: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_several_hold_it_and_one_is_alone(tmp_path: Path) -> None:
    first = holder(tmp_path, "in_place")
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with in_place(tmp_path):
        pass
    waits = holder(tmp_path, "alone")
    first.communicate("go\n")
    assert waits.stdout is not None
    assert waits.stdout.readline() == "held\n"
    waits.kill()  # and so lets go
    waits.communicate()
    with alone(tmp_path):
        pass


@pytest.mark.parametrize("how", ["in_place", "alone"])
def test_who_is_not_let_in_says_so(tmp_path: Path, how: str) -> None:
    come_in = in_place if how == "in_place" else alone
    with alone(tmp_path), pytest.raises(Busy) as caught, come_in(tmp_path, patience=0.05):
        pass
    assert caught.value.data == {"path": str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_somebody_elses_trouble(tmp_path: Path) -> None:
    with in_place(tmp_path / "none"), alone(tmp_path / "none"):
        assert not (tmp_path / "none").exists()
