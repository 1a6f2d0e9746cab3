"""What a loaded model holds of the machine's memory, and who gets the last of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ultralab.app import Lab
from ultralab.app.engine_options import Wanted
from ultralab.app.engines import configured, model_file, serving
from ultralab.engines.options import LoadOptions
from ultralab.engines.tiny import write_gguf
from ultralab.kernel.progress import SILENT
from ultralab.memory import holders, open_ledger
from ultralab.settings.schema import Settings

pytestmark = pytest.mark.alone

WANTED = Wanted(context=256, threads=1)

# One that takes a model for a moment as soon as a file appears; its exit status says whether there was memory for it.
OWNER = """
import sys, time
from dataclasses import replace
from pathlib import Path
from ultralab.app import Lab
from ultralab.settings.schema import Settings
from ultralab.app.engine_options import Wanted
from ultralab.app.engines import serving
from ultralab.kernel.errors import OutOfMemory
from ultralab.kernel.progress import SILENT
from ultralab.memory import open_ledger

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
lab = Lab(folder / "none", Settings())
lab.__dict__["ledger"] = open_ledger(folder, limit)
print("here", flush=True)
while not (folder / "go").exists():
    time.sleep(0.001)
try:
    with serving(lab, str(folder / "m.gguf"), Wanted(context=256, threads=1), SILENT, engine_name="fake"):
        time.sleep(2)
except OutOfMemory as error:
    print(error.hint, flush=True)
    sys.exit(7)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """No lab, with a ledger of its own."""
    found = Lab(tmp_path / "none", Settings())
    found.__dict__["ledger"] = open_ledger(tmp_path, 10**12)  # where a cached property keeps it
    return found


def test_what_is_loaded_beside_the_model_is_held_too(lab: Lab, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    held = []
    for wanted in (WANTED, replace(WANTED, draft=str(path))):
        with serving(lab, str(path), wanted, SILENT, engine_name="llamacpp"):
            held.append([item.amount for item in holders(lab.ledger)])
    plan = configured(lab, "llamacpp").plan(model_file(lab, str(path)).shape, LoadOptions(context=256, threads=1))
    assert held[0] == [plan.total]
    assert held[1][0] > plan.total + path.stat().st_size * 0.9
    assert holders(lab.ledger) == ()


def test_the_last_memory_is_given_once(lab: Lab, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    one = configured(lab, "fake").plan(model_file(lab, str(path)).shape, LoadOptions(context=256)).total
    words = [sys.executable, "-c", OWNER, str(tmp_path), str(2 * one - 1)]
    owners = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for owner in owners:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "here\n"
    (tmp_path / "go").touch()
    said = [owner.communicate(timeout=60)[0] for owner in owners]
    assert sorted(owner.returncode for owner in owners) == [0, 7, 7]
    winner = next(owner.pid for owner in owners if owner.returncode == 0)
    assert all(f"process {winner}" in text for text in said if text)
    assert holders(lab.ledger) == ()
