"""Long runs of loading and killing: nothing grows, and nothing is left running."""

from __future__ import annotations

import gc
import os
import random
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.contracts.test_owner import SOON, is_gone, nobody_serves, owner, pids
from tests.gguf_maker import tiny_llama

from ultralab import machine
from ultralab.engines import engine
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.host import Patience, Request, loaded
from ultralab.kernel.errors import EngineDied
from ultralab.memory import holders, open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT
from ultralab.system import clock

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@dataclass(frozen=True)
class Weighed:
    """What this process holds: bytes of memory, open files, threads, children."""

    footprint: int
    files: int
    threads: int
    children: int


def weigh() -> Weighed:
    gc.collect()
    me = psutil.Process()
    return Weighed(
        machine.footprint(os.getpid()), me.num_fds(), threading.active_count(), len(me.children(recursive=True))
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["llamacpp", "fake"])
def test_a_hundred_loads_and_unloads_leave_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    shape = FORMAT.read_header(from_path(path)).shape
    request = Request(ModelFile(path, "tiny", "gguf", shape), LoadOptions(context=256, threads=1))
    ledger = open_ledger(tmp_path, 10**12)
    weighed: list[Weighed] = []
    begun = clock.monotonic()
    for number in range(105):
        if number >= 5:  # the first ones fill caches of the interpreter's
            weighed.append(weigh())
        with loaded(engine(name), request, ledger=ledger, log=tmp_path / "engine.log") as running:
            tokens = running.client.tokenize("ab")
            assert len(running.client.generate(tokens, 2, 1).arrivals) == 2
    weighed.append(weigh())
    took = (clock.monotonic() - begun) / 105
    first, last = weighed[0], weighed[-1]
    with capsys.disabled():
        print(f"\n{name}: {took:.2f} s a load; {first} -> {last}")
    assert (last.files, last.threads, last.children) == (first.files, first.threads, first.children)
    assert last.footprint - first.footprint < 4_000_000
    assert holders(ledger) == ()
    assert (tmp_path / "engine.log").stat().st_size <= 16 * 1024 * 1024
    assert nobody_serves(path, within=0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["llamacpp", "fake"])
def test_an_owner_killed_at_any_moment_leaves_nothing(name: str, tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    rng = random.Random(6)
    late: list[float] = []
    for _ in range(20):
        with owner(name, path, tmp_path) as process:
            clock.sleep(rng.uniform(0.2, 2.5))  # somewhere between its own start and a model that serves
            process.kill()
            process.wait()
            killed = clock.monotonic()
            assert nobody_serves(path, within=SOON)
            late.append(clock.monotonic() - killed)
    assert holders(open_ledger(tmp_path, 10**12)) == ()
    assert max(late) < SOON


def test_a_stopped_engine_ends_with_its_killed_owner(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    with owner("llamacpp", path, tmp_path) as process:
        child, guard = pids(process)
        psutil.Process(child).suspend()
        process.kill()
        process.wait()
        assert (is_gone(child, within=SOON), is_gone(guard, within=SOON)) == (True, True)


@pytest.mark.parametrize("name", ["llamacpp", "fake"])
def test_a_stopped_engine_is_found_out_in_the_middle_of_a_request(name: str, tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    shape = FORMAT.read_header(from_path(path)).shape
    request = Request(ModelFile(path, "tiny", "gguf", shape), LoadOptions(context=256, threads=1))
    hasty = Patience(silent=1.0, health=0.5, interval=0.2, ending=1.0)
    ledger = open_ledger(tmp_path, 10**12)

    def work() -> None:
        with loaded(engine(name), request, ledger=ledger, log=tmp_path / "engine.log", patience=hasty) as running:
            running.client.tokenize("ab")
            psutil.Process(running.pid).suspend()
            for _ in range(3):  # told to end, it goes on for a moment, and may still answer what lies there
                running.client.tokenize("ab")

    begun = clock.monotonic()
    with pytest.raises(EngineDied, match="tiny did not answer for 1 s; its process was ended"):
        work()
    assert clock.monotonic() - begun < 15
    assert holders(ledger) == ()
    assert nobody_serves(path, within=0)
