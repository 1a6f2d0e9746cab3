"""What is read from an engine's standard output, and how a host bears with what is not meant for it."""

from __future__ import annotations

import io
import queue
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engines.scripted_engine import READY, SERVE, Scripted, running

from ultralab.engines import engine, events
from ultralab.engines.base import Availability, Timings
from ultralab.engines.checks import doctor_checks
from ultralab.engines.events import Event, parse
from ultralab.kernel.errors import EngineDied, EngineFailed, UnknownChoice, Unsupported
from ultralab.kernel.progress import Unit
from ultralab.system.process import identify


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"event": "started", "pid": 7, "version": "v 1", "footprint": 9}', Event("started", 7, "v 1", 9)),
        (b'{"event": "progress", "share": 1}\r\n', Event("progress", share=1.0)),
        (b'{"event": "ready", "url": "http://127.0.0.1:1", "more": []}', Event("ready", url="http://127.0.0.1:1")),
        (b'{"event": "failed", "reason": "\\u4e0d"}', Event("failed", reason="不")),
        (b'{"event": "progress", "share": Infinity}', Event("progress", share=1.0)),
        (b'{"event": "progress", "share": NaN}', Event("progress", share=0.0)),
        (b"", None),
        (b"loading...", None),
        (b"\xff\xfe\x00", None),
        (b"[1, 2]", None),
        (b'"ready"', None),
        (b'{"event": "other"}', None),
        (b'{"event": ["ready"]}', None),
        (b'{"event": "progress", "share": "half"}', None),
        (b'{"event": "progress", "share": [1]}', None),
        (b'{"event": "started", "pid": null}', None),
        (b'{"event": "started", "pid": 1e999}', None),
        (b"[" * 200_000, None),
        (b"9" * 200_000, None),
    ],
)
def test_parse(line: bytes, event: Event | None) -> None:
    assert parse(line) == event


@given(st.binary())
def test_no_line_can_break_the_reader(line: bytes) -> None:
    assert parse(line) is None


@given(st.floats(0, 1), st.text())
def test_what_is_said_is_heard(share: float, reason: str) -> None:
    with redirect_stdout(io.StringIO()) as said:
        events.emit("progress", share=share)
        events.emit("failed", reason=reason)
    first, second = said.getvalue().splitlines(keepends=True)
    assert parse(first.encode()) == Event("progress", share=share)
    assert parse(second.encode()) == Event("failed", reason=reason)


@dataclass
class Watcher:
    """Collects what a step tells."""

    advanced: list[float] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    left: bool = False

    def step(self, label: str, total: float | None = None, unit: Unit = "") -> Watcher:
        self.labels.append(label)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.left = True

    def advance(self, amount: float = 1) -> None:
        self.advanced.append(amount)

    def describe(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass


def attempt(program: str, folder: Path, watcher: Watcher | None = None) -> None:
    """Load and leave again."""
    with running(Scripted(program), folder, progress=watcher or Watcher()):
        pass


@pytest.mark.parametrize(
    "noise",
    [
        "print('x' * 5_000_000)",  # one line longer than any buffer
        "[print('banner', n) for n in range(20_000)]",
        "sys.stdout.buffer.write(b'\\xff\\x00' * 100_000 + b'\\n')",
        'print(\'{"event": "progress", "share": "x"}\'); print(\'[\' * 60_000)',
    ],
)
def test_stray_output_before_and_after_does_not_matter(noise: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = f"{READY}{noise}\n{SERVE}{noise}\nopen({str(done)!r}, 'w').write('all said'); time.sleep(60)"
    with running(Scripted(program), tmp_path) as model:
        waiting: queue.Queue[None] = queue.Queue()
        for _ in range(1000):
            if done.exists() and done.read_text():
                break
            with pytest.raises(queue.Empty):
                waiting.get(timeout=0.01)
        assert done.read_text() == "all said"  # nobody's pipe was full
    assert identify(model.pid) is None


def test_progress_reaches_the_watcher_and_never_goes_back(tmp_path: Path) -> None:
    watcher = Watcher()
    shares = "".join(f"print(json.dumps({{'event': 'progress', 'share': {share}}}))\n" for share in (0.25, 0.1, 0.5))
    attempt(f"{READY}{shares}{SERVE}time.sleep(60)", tmp_path, watcher)
    assert watcher.labels == ["Loading the model"]
    assert watcher.advanced == [0.25, 0.0, 0.25, 0.5]
    assert watcher.left


@pytest.mark.parametrize(
    ("program", "status", "ending"),
    [
        ("pass", 0, "exit status 0"),
        (READY + "raise SystemExit(4)", 4, "exit status 4"),
        (READY + "os.kill(os.getpid(), 11)", 139, "killed by signal 11"),
    ],
)
def test_a_process_that_ends_before_it_is_ready(program: str, status: int, ending: str, tmp_path: Path) -> None:
    with pytest.raises(EngineDied) as caught:
        attempt(program, tmp_path)
    assert caught.value.message == f"The engine's process for the model ended unexpectedly ({ending})."
    assert caught.value.hint == f"The engine's log: {tmp_path / 'engine.log'}"
    assert caught.value.data == {"log": str(tmp_path / "engine.log"), "status": status}


def test_a_reason_is_passed_on_without_its_tricks(tmp_path: Path) -> None:
    program = READY + "print(json.dumps({'event': 'failed', 'reason': 'bad\\x1b[2Jmodel'})); sys.exit(1)"
    with pytest.raises(EngineFailed) as caught:
        attempt(program, tmp_path)
    assert caught.value.message == "the model could not be loaded: bad\N{REPLACEMENT CHARACTER}[2Jmodel"


def test_an_engine_that_cannot_run_here_starts_nothing(tmp_path: Path) -> None:
    ill = Scripted("pass", Availability("", "there is no GPU", "Buy one."))
    with pytest.raises(Unsupported) as caught, running(ill, tmp_path):
        pass
    assert caught.value.message == "The engine scripted cannot run here: there is no GPU"
    assert (caught.value.hint, caught.value.data) == ("Buy one.", {"engine": "scripted"})
    assert not (tmp_path / "engine.log").exists()


def test_a_dead_address_is_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    def work() -> None:
        with running(Scripted(f"{READY}{SERVE}time.sleep(60)"), tmp_path) as model:
            model.client.tokenize("x")

    with pytest.raises(EngineFailed, match="/x cannot be reached") as caught:
        work()
    assert not isinstance(caught.value, EngineDied)


def test_rates_of_no_time_are_zero() -> None:
    assert (Timings(0, 5, 0.0, 5, 0.0).prefill_tok_s, Timings(0, 5, 0.0, 5, 0.0).decode_tok_s) == (0.0, 0.0)
    assert (Timings(0, 5, 10.0, 4, 8.0).prefill_tok_s, Timings(0, 5, 10.0, 5, 8.0).decode_tok_s) == (500.0, 500.0)
    assert Timings(0, 5, 10.0, 1, 0.001).decode_tok_s == 0.0  # what llama.cpp says of a single token


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(UnknownChoice) as caught:
        engine("lamacpp")
    assert caught.value.message == "Unknown engine: 'lamacpp'."
    assert "llamacpp" in caught.value.hint


def test_the_doctor_asks_every_engine() -> None:
    found = {check.name: check.run().verdict for check in doctor_checks()}
    assert found["engines.fake"] == "pass"
    assert found["engines.llamacpp"] == "pass"
