"""Whether the one process that does a thing for a folder is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ultralab.system.presence import announce, present
from ultralab.system.process import identify

CODE = (
    "import sys; from pathlib import Path; from ultralab.system.presence import announce; announce(Path(sys.argv[1]))"
)


def test_it_is_there_as_long_as_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    assert present(path) is None
    announce(path)
    assert present(path) == identify()
    subprocess.run([sys.executable, "-c", CODE, path], check=True)
    assert present(path) is None


def test_in_a_moved_folder_it_is_the_same_and_in_a_copied_one_nobody_is(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    announce(tmp_path / "lab" / "daemon.json")
    shutil.copytree(tmp_path / "lab", tmp_path / "copy")
    (tmp_path / "lab").rename(tmp_path / "moved")
    assert present(tmp_path / "moved" / "daemon.json") == identify()
    assert present(tmp_path / "copy" / "daemon.json") is None


def test_what_is_damaged_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    announce(path)
    whole = json.loads(path.read_text())
    broken = ["", "[]", "{}", json.dumps({**whole, "pid": "x"}), json.dumps({**whole, "pid": os.getpid() + 10**7})]
    for text in broken:
        path.write_text(text)
        assert present(path) is None
