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

from ultralab.memory import holders, open_ledger
from ultralab.system import clock
from ultralab.system.process import identify

pytestmark = pytest.mark.alone

SOON = 2.0  # seconds

# The owner: loads a model, says the engine's and the guard's pid, and waits, or asks for many tokens.
OWNER = """
import json, sys, time
from pathlib import Path
from ultralab.engines import engine
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.host import Request, loaded
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT

name, model, folder, work = sys.argv[1:]
shape = FORMAT.read_header(from_path(Path(model))).shape
request = Request(ModelFile(Path(model), "the model", "gguf", shape), LoadOptions(context=2048, threads=1))
ledger = open_ledger(Path(folder), 10**12)
with loaded(engine(name), request, ledger=ledger, log=Path(folder) / "engine.log") as running:
    print(json.dumps([running.pid, running.child.guard.pid]), flush=True)
    if work == "ask":
        running.client.generate(running.client.tokenize("Once upon a time"), 1900, 1)
    time.sleep(120)
"""


@contextmanager
def owner(name: str, model: Path, folder: Path, work: str = "wait") -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, name, str(model), str(folder), work],
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


def is_gone(pid: int, within: float) -> bool:
    """Whether a process ends in time."""
    deadline = clock.monotonic() + within
    while identify(pid) is not None and clock.monotonic() < deadline:
        clock.sleep(0.01)
    return identify(pid) is None


def serving(model: Path) -> list[int]:
    """The processes that were asked to serve a model."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(model) in one.environ().get("ULTRALAB_ENGINE_REQUEST", ""):
                found.append(one.pid)
    return found


def nobody_serves(model: Path, within: float) -> bool:
    deadline = clock.monotonic() + within
    while (left := serving(model)) and clock.monotonic() < deadline:
        clock.sleep(0.02)
    return left == []


@pytest.mark.parametrize("name", ["fake", "llamacpp"])
def test_an_engine_ends_with_its_killed_owner(name: str, smollm2: Path, tmp_path: Path) -> None:
    with owner(name, smollm2, tmp_path) as process:
        engine, guard = pids(process)
        ledger = open_ledger(tmp_path, 10**12)
        assert [item.holder.pid for item in holders(ledger)] == [process.pid]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert is_gone(engine, within=SOON)
        assert is_gone(guard, within=SOON)
        assert holders(ledger) == ()


@pytest.mark.parametrize("work", ["wait", "ask"])
@pytest.mark.parametrize("name", ["fake", "llamacpp"])
def test_ctrl_c_ends_the_engine_and_gives_the_memory_back(name: str, work: str, smollm2: Path, tmp_path: Path) -> None:
    with owner(name, smollm2, tmp_path, work) as process:
        engine, guard = pids(process)
        clock.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
        assert (is_gone(engine, within=0), is_gone(guard, within=0)) == (True, True)
        assert open_ledger(tmp_path, 10**12).database.run("everything") == []


def test_an_owner_killed_in_the_middle_of_a_request_leaves_nothing(smollm2: Path, tmp_path: Path) -> None:
    with owner("llamacpp", smollm2, tmp_path, "ask") as process:
        engine, guard = pids(process)
        clock.sleep(0.3)
        process.kill()
        process.wait()
        assert (is_gone(engine, within=SOON), is_gone(guard, within=SOON)) == (True, True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_owner_ended_while_the_model_loads_leaves_nothing(number: int, smollm2: Path, tmp_path: Path) -> None:
    model = tmp_path / "only-here.gguf"
    model.symlink_to(smollm2)
    with owner("llamacpp", model, tmp_path) as process:
        while not (tmp_path / "engine.log").exists():
            assert process.poll() is None
            clock.sleep(0.01)
        process.send_signal(number)
        assert process.wait(10) == -number
    assert nobody_serves(model, within=SOON)
    assert holders(open_ledger(tmp_path, 10**12)) == ()


@pytest.mark.parametrize("name", ["fake", "llamacpp"])
def test_an_engine_ends_when_owner_and_guard_are_killed_at_once(name: str, smollm2: Path, tmp_path: Path) -> None:
    with owner(name, smollm2, tmp_path) as process:
        engine, guard = pids(process)
        for pid in (guard, process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        assert is_gone(engine, within=SOON)
