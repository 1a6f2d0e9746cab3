"""What becomes of an engine when the process that loaded it ends in a bad way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.contracts.engine_suite import is_gone

from ultralab.memory import holders, open_ledger
from ultralab.system import clock

# The owner: loads a model, says the engine's and the guard's pid, and waits.
OWNER = """
import json, sys, time
from pathlib import Path
from ultralab.engines import engine
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.host import Request, loaded
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT

name, model, folder = sys.argv[1:]
shape = FORMAT.read_header(from_path(Path(model))).shape
request = Request(ModelFile(Path(model), "the model", "gguf", shape), LoadOptions(context=512, threads=1))
ledger = open_ledger(Path(folder), 10**12)
with loaded(engine(name), request, ledger=ledger, log=Path(folder) / "engine.log") as running:
    print(json.dumps([running.pid, running.child.guard.pid]), flush=True)
    time.sleep(120)
"""


@contextmanager
def owner(name: str, model: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, name, str(model), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a process group of its own, as a terminal gives each command
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def pids(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    found: list[int] = json.loads(process.stdout.readline())
    return found


@pytest.mark.parametrize("name", ["fake", "llamacpp"])
def test_an_engine_ends_with_its_killed_owner(name: str, smollm2: Path, tmp_path: Path) -> None:
    with owner(name, smollm2, tmp_path) as process:
        engine, guard = pids(process)
        ledger = open_ledger(tmp_path, 10**12)
        assert [item.holder.pid for item in holders(ledger)] == [process.pid]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holders(ledger) == ()
        assert is_gone(engine, within=7)
        assert is_gone(guard, within=1)


@pytest.mark.parametrize("name", ["fake", "llamacpp"])
def test_ctrl_c_ends_the_engine_and_gives_the_memory_back(name: str, smollm2: Path, tmp_path: Path) -> None:
    with owner(name, smollm2, tmp_path) as process:
        engine, guard = pids(process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
        assert (is_gone(engine, within=0), is_gone(guard, within=0)) == (True, True)
        assert open_ledger(tmp_path, 10**12).database.run("everything") == []


def test_an_owner_killed_while_the_model_loads_leaves_nothing(smollm2: Path, tmp_path: Path) -> None:
    model = tmp_path / "only-here.gguf"
    model.symlink_to(smollm2)
    with owner("llamacpp", model, tmp_path) as process:
        while not (tmp_path / "engine.log").exists():
            assert process.poll() is None
            clock.sleep(0.01)
        process.kill()
        process.wait()
    deadline = clock.monotonic() + 7
    while serving(model) and clock.monotonic() < deadline:
        clock.sleep(0.05)
    assert serving(model) == []


def serving(model: Path) -> list[int]:
    """The processes that were asked to serve a model."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(model) in one.environ().get("ULTRALAB_ENGINE_REQUEST", ""):
                found.append(one.pid)
    return found


@pytest.mark.parametrize("name", ["fake", "llamacpp"])
def test_an_engine_ends_when_owner_and_guard_are_killed_at_once(name: str, smollm2: Path, tmp_path: Path) -> None:
    with owner(name, smollm2, tmp_path) as process:
        engine, guard = pids(process)
        for pid in (guard, process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        assert is_gone(engine, within=7)
