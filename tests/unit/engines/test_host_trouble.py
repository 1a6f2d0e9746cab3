"""Engines that behave badly: every one of them ends in bounded time, with a reason, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest
from tests.unit.engines.scripted_engine import (
    CALM,
    READY,
    SERVE,
    SERVER,
    SHAPE,
    SHORT,
    Scripted,
    running,
)

from ultralab.engines.base import Client, Endpoint, Health
from ultralab.engines.clients.unable import Unable
from ultralab.engines.host import Loaded, Request, loaded
from ultralab.engines.options import LoadOptions
from ultralab.engines.types import Advance, ModelFile
from ultralab.kernel.errors import EngineDied, EngineFailed
from ultralab.memory import open_ledger
from ultralab.system import clock
from ultralab.system.process import identify

HASTY = replace(CALM, load=4, silence=1, ending=0.5)
PIDS = "open({pids!r}, 'a').write(f'{{os.getpid()}}\\n')\n"


def gone(folder: Path) -> bool:
    """Whether all who wrote their pid are gone."""
    pids = [int(line) for line in (folder / "pids").read_text().split()]
    return bool(pids) and [pid for pid in pids if identify(pid) is not None] == []


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("time.sleep(60)", "the model was not ready, and its process said nothing for 1 s."),
        ("sys.stdout.write('half'); sys.stdout.flush(); time.sleep(60)", "and its process said nothing for 1 s."),
        ("print(json.dumps({'event': 'ready'})[:-1], flush=True); time.sleep(60)", "and its process said nothing"),
        ("os.close(1); time.sleep(60)", "The engine's process for the model closed its output before it was ready."),
        (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
            "and its process said nothing for 1 s.",
        ),
        ("os.kill(os.getpid(), 19)", "and its process said nothing for 1 s."),
        ("while True: print('garbage' * 1000)", "and its process said nothing for 1 s."),
        ("while True: print(json.dumps({'event': 'progress', 'share': 0.1}))", "and its process said nothing for 1 s."),
        ("if os.fork(): time.sleep(60)\nopen(pids, 'a').write(f'{os.getpid()}\\n'); time.sleep(60)", "said nothing"),
        ("while True: sys.stderr.write('still at it\\n'); time.sleep(0.2)", "the model was not ready within 4 s."),
    ],
)
def test_who_does_not_become_ready_is_ended(program: str, message: str, tmp_path: Path) -> None:
    pids = str(tmp_path / "pids")
    program = f"{READY}pids = {pids!r}\n{PIDS.format(pids=pids)}{program}"
    begun = clock.monotonic()
    with pytest.raises(EngineFailed) as caught, running(Scripted(program), tmp_path, HASTY):
        pass
    assert clock.monotonic() - begun < 10
    assert message in caught.value.message
    assert f"The engine's log: {tmp_path / 'engine.log'}" in caught.value.hint
    assert not isinstance(caught.value, EngineDied)
    assert gone(tmp_path)


def test_a_log_that_grows_is_a_sign_of_life(tmp_path: Path) -> None:
    program = f"{READY}\nfor _ in range(8): sys.stderr.write('.'); time.sleep(0.25)\n{SERVE}time.sleep(60)"
    with running(Scripted(program), tmp_path, HASTY) as model:
        assert model.alive()


def test_who_dies_leaving_somebody_who_holds_its_output(tmp_path: Path) -> None:
    program = f"{READY}\nif os.fork() == 0: os.setsid(); time.sleep(4); os._exit(0)\nos._exit(3)"
    begun = clock.monotonic()
    with pytest.raises(EngineDied, match=r"\(exit status 3\)"), running(Scripted(program), tmp_path):
        pass
    assert clock.monotonic() - begun < 3


def test_the_last_words_of_this_run_alone_are_told_and_lead_to_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_text("an earlier run\n" * 3)
    said = ["ggml_backend: starting", "", "\x1b[31munable to allocate CPU buffer", "failed to load model"]
    program = f"{READY}\nsys.stderr.write({chr(10).join(said)!r}); sys.stderr.flush(); os.abort()"
    with pytest.raises(EngineDied) as caught, running(Scripted(program), tmp_path):
        pass
    assert caught.value.message == (
        "The engine's process for the model ended unexpectedly (killed by signal 6). The last lines of its log: "
        "ggml_backend: starting / \N{REPLACEMENT CHARACTER}[31munable to allocate CPU buffer / failed to load model"
    )
    assert caught.value.hint.startswith("There was not enough memory: take a smaller context")
    assert caught.value.data == {"log": str(tmp_path / "engine.log"), "status": 134}


def test_long_last_words_are_cut(tmp_path: Path) -> None:
    program = f"{READY}\nfor n in range(300): sys.stderr.write(str(n) + 'x' * 300 + chr(10))\nsys.exit(2)"
    with pytest.raises(EngineDied) as caught, running(Scripted(program), tmp_path):
        pass
    assert caught.value.message.endswith(" / 299" + "x" * 300)
    assert len(caught.value.message) < 550


# While it serves.


def server(folder: Path, **health: float) -> Scripted:
    state = folder / "health"
    say(state, **health)
    return Scripted(f"HEALTH = {str(state)!r}\n{SERVER}")


def say(state: Path, **health: float) -> None:
    half = state.with_suffix(".half")
    half.write_text(json.dumps({"busy": 0, "stalled": 0.0, **health}))
    half.replace(state)


def threads(before: list[threading.Thread]) -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread not in before)


def test_who_is_well_is_left_alone(tmp_path: Path) -> None:
    before = threading.enumerate()
    with running(server(tmp_path, busy=1, stalled=0.5), tmp_path, SHORT) as model:
        clock.sleep(1.5)
        assert (model.alive(), model.why(), model.version) == (True, "", "server 1")
        assert threads(before) == ["ultralab-engine-events", "ultralab-engine-watch"]
    assert threads(before) == []


@pytest.mark.parametrize("how", ["stopped", "stalled", "silent"])
def test_who_stops_answering_is_ended_and_a_blocked_client_hears_of_it(how: str, tmp_path: Path) -> None:
    seen: list[Loaded] = []

    def work() -> None:
        with running(server(tmp_path), tmp_path, SHORT) as model:
            seen.append(model)
            if how == "stopped":
                os.kill(model.pid, signal.SIGSTOP)
            elif how == "stalled":
                say(tmp_path / "health", busy=1, stalled=5)
            else:
                (tmp_path / "health").unlink()
            model.client.tokenize("block")

    begun = clock.monotonic()
    with pytest.raises(EngineDied) as caught:
        work()
    assert clock.monotonic() - begun < 8
    reason = "was at work and did not go on for 1 s" if how == "stalled" else "did not answer for 1 s"
    assert caught.value.message.startswith(f"the model {reason}; ")
    assert "The last lines of its log: " in caught.value.message
    assert "Try again" in caught.value.hint
    assert identify(seen[0].pid) is None
    assert (seen[0].alive(), reason in seen[0].why()) == (False, True)


def test_a_short_absence_is_forgiven(tmp_path: Path) -> None:
    with running(server(tmp_path), tmp_path, SHORT) as model:
        for _ in range(2):
            os.kill(model.pid, signal.SIGSTOP)
            clock.sleep(0.7)
            os.kill(model.pid, signal.SIGCONT)
            clock.sleep(0.6)
        assert model.alive()


def test_who_dies_while_nobody_asks_is_known_to_be_dead(tmp_path: Path) -> None:
    with running(server(tmp_path), tmp_path, SHORT) as model:
        os.kill(model.pid, signal.SIGKILL)
        deadline = clock.monotonic() + 5
        while model.alive() and clock.monotonic() < deadline:
            clock.sleep(0.02)
        assert "killed by signal 9" in model.why()


def test_a_refusal_is_passed_on_at_once(tmp_path: Path) -> None:
    asked: list[float] = []

    def work() -> None:
        with running(server(tmp_path), tmp_path) as model:
            asked.append(clock.monotonic())
            model.client.tokenize("other")

    with pytest.raises(EngineFailed, match=r"^refused$") as caught:
        work()
    assert not isinstance(caught.value, EngineDied)
    assert clock.monotonic() - asked[0] < 0.9


def test_what_is_no_answer_comes_with_the_log_and_another_engines_error_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()

    def work() -> None:
        unlucky = Scripted(f"{READY}sys.stderr.write('muttering\\n'); sys.stderr.flush()\n{SERVE}time.sleep(60)")
        with running(server(tmp_path), tmp_path), running(unlucky, tmp_path / "inner") as model:
            model.client.tokenize("x")

    with pytest.raises(EngineFailed, match="/x cannot be reached") as caught:
        work()
    assert not isinstance(caught.value, EngineDied)
    assert caught.value.message.count("The last lines of its log: ") == 1
    assert caught.value.message.endswith("muttering")
    assert caught.value.data["log"] == str(tmp_path / "inner" / "engine.log")
    assert caught.value.hint.endswith(f"The engine's log: {tmp_path / 'inner' / 'engine.log'}")


def test_a_name_that_is_no_text_can_be_held_and_shown(tmp_path: Path) -> None:
    named = Request(ModelFile(tmp_path / "m", "b\udcffd", "gguf", SHAPE), LoadOptions())
    with (
        pytest.raises(EngineDied, match="for b\N{REPLACEMENT CHARACTER}d ended unexpectedly"),
        loaded(Scripted("pass"), named, ledger=open_ledger(tmp_path, 1), log=tmp_path / "log", patience=CALM),
    ):
        pass


def test_who_denies_its_secret_is_given_time_to_die(tmp_path: Path) -> None:
    leaving = SERVER.replace("else 400)", "else 401); __import__('threading').Timer(0.3, os._exit, (9,)).start()")
    say(tmp_path / "health")

    def work() -> None:
        with running(Scripted(f"HEALTH = {str(tmp_path / 'health')!r}\n{leaving}"), tmp_path) as model:
            model.client.tokenize("leave")

    with pytest.raises(EngineDied, match=r"\(exit status 9\)"):
        work()


def test_an_engine_that_cannot_tell_its_health_is_watched_by_its_process(tmp_path: Path) -> None:
    def unable(_endpoint: Endpoint) -> Client:
        return Unable()

    before = threading.enumerate()
    with running(Scripted(f"{READY}{SERVE}time.sleep(60)", talks=unable), tmp_path, SHORT) as model:
        clock.sleep(0.5)
        assert (model.alive(), threads(before)) == (True, ["ultralab-engine-events"])
        os.kill(model.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(model.child.guard.pid)] if model.child else [], timeout=5)
        assert not model.alive()


# Servers that are not ours.


@dataclass
class Elsewhere:
    """A model in somebody's server. ``there``: it answers."""

    there: bool = True
    closed: list[str] = field(default_factory=list)

    def models(self) -> tuple[str, ...]:
        return ("model",)

    def open(self, advance: Advance) -> Endpoint:
        return Endpoint("http://elsewhere", "", "model")

    def footprint(self) -> int:
        return 7

    def version(self) -> str:
        return "elsewhere 1"

    def close(self) -> None:
        self.closed.append("closed")
        raise RuntimeError("it should not have")


@dataclass
class ElsewhereClient(Unable):
    """Answers as long as the server is there."""

    server: Elsewhere

    def health(self, timeout: float) -> Health:
        if not self.server.there:
            raise EngineFailed("cannot be reached")
        return Health(0, 0)

    def tokenize(self, text: str) -> tuple[int, ...]:
        raise EngineFailed("no answer")


@pytest.mark.parametrize("there", [True, False])
def test_an_error_of_a_server_that_went_away_says_so(there: bool, tmp_path: Path) -> None:
    elsewhere = Elsewhere()
    attached = Scripted(attachment=elsewhere, talks=lambda _endpoint: ElsewhereClient(elsewhere))

    def work() -> None:
        with running(attached, tmp_path) as model:
            assert (model.alive(), model.pid, model.footprint(), model.version) == (True, 0, 7, "elsewhere 1")
            elsewhere.there = there
            assert model.alive() is there
            model.client.tokenize("x")

    with pytest.raises(EngineFailed) as caught:
        work()
    gone_away = "The server that has the model went away: http://elsewhere. "
    assert caught.value.message == ("" if there else gone_away) + "no answer"
    assert elsewhere.closed == ["closed"]
