"""``make setup`` for real, in a copy of the source tree that was never set up."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", "demo-lab", "build", "*.mo")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree, set up once."""
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT, symlinks=True)
    done = _make(folder)
    assert done.returncode == 0, done.stderr
    return folder


def _make(tree: Path) -> subprocess.CompletedProcess[str]:
    # What a person's shell has: no variables of the make that may be running these tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "setup"], cwd=tree, env=environment, capture_output=True, text=True, check=False)


def test_the_command_works_and_comes_from_this_tree(tree: Path) -> None:
    version = subprocess.run([tree / ".venv/bin/ultralab", "--version"], capture_output=True, text=True, check=False)
    assert (version.returncode, version.stderr) == (0, "")
    where = subprocess.run(
        [tree / ".venv/bin/python", "-c", "import ultralab; print(ultralab.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.strip() == str(tree / "src/ultralab/__init__.py")


def test_the_message_catalogues_are_compiled(tree: Path) -> None:
    sources = sorted(tree.glob("src/ultralab/locale/*/LC_MESSAGES/*.po"))
    assert [path.with_suffix(".mo").exists() for path in sources] == [True]


def test_tools_for_tests_are_left_out(tree: Path) -> None:
    assert not (tree / ".venv/bin/pytest").exists()


def test_again_nothing_is_done_and_nothing_said(tree: Path) -> None:
    stamp = (tree / ".venv/ultralab-setup.json").stat().st_mtime_ns
    start = time.perf_counter()
    done = _make(tree)
    assert time.perf_counter() - start < 3
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tree / ".venv/ultralab-setup.json").stat().st_mtime_ns == stamp


def test_a_changed_catalogue_is_compiled_again(tree: Path) -> None:
    catalogue = tree / "src/ultralab/locale/zh_CN/LC_MESSAGES/ultralab.po"
    before = catalogue.with_suffix(".mo").read_bytes()
    catalogue.write_text(
        catalogue.read_text(encoding="utf-8") + '\nmsgid "only here"\nmsgstr "只在这里"\n', encoding="utf-8"
    )
    assert _make(tree).returncode == 0
    after = catalogue.with_suffix(".mo").read_bytes()
    assert ("只在这里".encode() in before, "只在这里".encode() in after) == (False, True)
