"""An installed llama-server, played by a stand-in that serves with xllamacpp: found, started, watched, ended."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from tests.gguf_maker import tiny_llama
from tests.unit.engines.llamacpp import stand_in
from tests.unit.engines.scripted_engine import CALM

from ultralab.engines.host import Request, loaded
from ultralab.engines.llamacpp.engine import LlamaCpp
from ultralab.engines.options import LoadOptions
from ultralab.engines.types import ModelFile
from ultralab.kernel.errors import EngineDied, EngineFailed
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT
from ultralab.settings.schema import EngineSettings
from ultralab.system import clock

OPTIONS = LoadOptions(context=256, threads=1)


@pytest.fixture
def others() -> set[psutil.Process]:
    """What other tests of this process started, and may not have collected yet."""
    return set(psutil.Process().children(recursive=True))


def program(path: Path, text: str = "") -> Path:
    """A program of one name; without ``text`` it is the stand-in."""
    path.write_text(text or f'#!/bin/sh\nexec {sys.executable} {stand_in.__file__} "$@"\n')
    path.chmod(0o755)
    return path


def saying(path: Path, rest: str) -> Path:
    """A program that tells a version, and does ``rest`` when it is to serve."""
    return program(path, f'#!/bin/sh\nif [ "$1" = --version ]; then echo "version: 1 (a)" >&2; exit; fi\n{rest}\n')


def request(tmp_path: Path) -> Request:
    path = tiny_llama(tmp_path / "tiny.gguf")
    return Request(ModelFile(path, "tiny", "gguf", FORMAT.read_header(from_path(path)).shape), OPTIONS)


def gone(pids: list[int]) -> bool:
    deadline = clock.monotonic() + 5
    while any(psutil.pid_exists(pid) for pid in pids) and clock.monotonic() < deadline:
        clock.sleep(0.02)
    return not any(psutil.pid_exists(pid) for pid in pids)


def test_the_settings_choose(tmp_path: Path) -> None:
    there = program(tmp_path / "llama-server")

    def chosen(name: str) -> LlamaCpp:
        return LlamaCpp().configured(EngineSettings(llama_server=name), "", lambda _name: "")

    assert chosen("embedded").availability() == LlamaCpp().availability()
    assert chosen(str(there)).availability().version == "llama-server 4711"
    missing = chosen(str(tmp_path / "nowhere")).availability()
    assert missing.reason == f"the program {tmp_path / 'nowhere'} is not there"
    assert "llama_server" in missing.hint
    other = chosen(str(program(tmp_path / "other", "#!/bin/sh\necho hello\n"))).availability()
    assert "does not tell its version" in other.reason
    broken = chosen(str(program(tmp_path / "broken", "#!/bin/sh\nexit 3\n"))).availability()
    assert "status 3" in broken.reason


@pytest.mark.alone
def test_it_serves_and_its_own_process_is_told(tmp_path: Path) -> None:
    engine = LlamaCpp(str(program(tmp_path / "llama-server")))
    with loaded(engine, request(tmp_path), ledger=open_ledger(tmp_path, 10**12), log=tmp_path / "log") as model:
        server = psutil.Process(model.pid)
        assert "stand_in.py" in " ".join(server.cmdline())
        assert model.endpoint.secret not in " ".join(server.cmdline())
        launcher = server.parent()
        assert launcher is not None
        assert os.getpgid(model.pid) == os.getpgid(launcher.pid) == launcher.pid
        assert model.version == "llama-server 4711"
        assert len(model.client.generate([5, 6, 7], 4, 1).tokens) == 4
        assert model.footprint() > 10**7
        pids = [model.pid, launcher.pid]
    assert gone(pids)


@pytest.mark.alone
@pytest.mark.parametrize("who", ["server", "launcher"])
def test_when_one_of_the_two_is_killed_both_are_gone(tmp_path: Path, who: str) -> None:
    engine = LlamaCpp(str(program(tmp_path / "llama-server")))
    pids: list[int] = []

    def work() -> None:
        with loaded(engine, request(tmp_path), ledger=open_ledger(tmp_path, 10**12), log=tmp_path / "log") as model:
            launcher = psutil.Process(model.pid).ppid()
            pids.extend((model.pid, launcher))
            os.kill(model.pid if who == "server" else launcher, signal.SIGKILL)
            while True:
                model.client.tokenize("x")

    with pytest.raises(EngineDied) as caught:
        work()
    assert caught.value.data["status"] == 128 + signal.SIGKILL
    assert gone(pids)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ('echo "E init: out of luck" >&2; exit 1', "out of luck"),
        ("exit 3", "exit status 3"),
        ('echo "error: invalid argument: $1" >&2; exit 1', "invalid argument: --model"),
    ],
)
def test_one_that_does_not_start_is_quoted(
    tmp_path: Path, rest: str, expected: str, others: set[psutil.Process]
) -> None:
    engine = LlamaCpp(str(saying(tmp_path / "llama-server", rest)))
    with (
        pytest.raises(EngineFailed) as caught,
        loaded(engine, request(tmp_path), ledger=open_ledger(tmp_path, 10**12), log=tmp_path / "log"),
    ):
        pass
    assert expected in caught.value.message
    assert set(psutil.Process().children(recursive=True)) <= others


def test_a_flood_in_its_log_is_no_flood_in_memory(tmp_path: Path) -> None:
    engine = LlamaCpp(str(saying(tmp_path / "llama-server", "head -c 20000000 /dev/zero >&2; exit 4")))
    with (
        pytest.raises(EngineFailed) as caught,
        loaded(engine, request(tmp_path), ledger=open_ledger(tmp_path, 10**12), log=tmp_path / "log"),
    ):
        pass
    assert len(caught.value.message) < 10_000


# It says where it listens, writes more than a pipe holds, and only then has loaded its model; or answers nonsense.
TALKER = """
import socket, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
kind = sys.argv[1]
class Handler(BaseHTTPRequestHandler):
    loaded = False
    def do_GET(self):
        if kind == "nonsense":
            self.wfile.write(b"\\\\0no HTTP\\r\\n\\r\\n")
            return
        self.send_response(200 if Handler.loaded else 503)
        self.end_headers()
    do_POST = do_GET
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("x" * 70_000, file=sys.stderr)
print(f"main: server is listening on http://127.0.0.1:{server.server_address[1]}", file=sys.stderr, flush=True)
for _ in range(3000): print("a long story " * 10, file=sys.stderr, flush=True)
Handler.loaded = True
threading.Event().wait()
"""


@pytest.mark.parametrize("kind", ["late", "nonsense"])
def test_one_that_talks_much_before_it_is_ready_is_heard_out(
    tmp_path: Path, kind: str, others: set[psutil.Process]
) -> None:
    (tmp_path / "talker.py").write_text(TALKER)
    engine = LlamaCpp(str(saying(tmp_path / "llama-server", f"exec {sys.executable} {tmp_path}/talker.py {kind}")))
    asked: list[float] = []

    def work() -> None:
        with loaded(
            engine, request(tmp_path), ledger=open_ledger(tmp_path, 10**12), log=tmp_path / "log", patience=CALM
        ) as model:
            asked.append(model.load_seconds)
            model.client.tokenize("x")

    with pytest.raises(EngineFailed) as caught:
        work()
    assert asked[0] < 10
    if kind == "nonsense":
        assert f"The engine's log: {tmp_path / 'log'}" in caught.value.hint
        assert "a long story" in caught.value.message
    assert set(psutil.Process().children(recursive=True)) <= others


def test_a_port_that_is_taken_has_a_remedy(tmp_path: Path) -> None:
    said = "srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080"
    engine = LlamaCpp(str(saying(tmp_path / "llama-server", f'echo "{said}" >&2; exit 1')))
    with (
        pytest.raises(EngineFailed) as caught,
        loaded(engine, request(tmp_path), ledger=open_ledger(tmp_path, 10**12), log=tmp_path / "log"),
    ):
        pass
    assert said in caught.value.message
    assert caught.value.hint.startswith("The port is taken by another program: ")
