"""The process that serves, as its owner sees it: what it says, how it ends, and the fake's troubles."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from ultralab.engines.clients.served import ServedClient
from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.launch import REQUEST, launch
from ultralab.engines.types import Endpoint
from ultralab.kernel.errors import EngineFailed

FAKE = "ultralab.engines.fake.model:load"
SECRET = "only for this"


@contextmanager
def _child(folder: Path, content: object, load: str = FAKE) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    model, log = folder / "model", folder / "log"
    model.write_text(json.dumps(content))
    start = launch(load, model, LoadOptions(context=100), SECRET)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            start.argv, env={**os.environ, **start.environment}, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.communicate()


def _says(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    stream: IO[bytes] | None = process.stdout
    assert stream is not None
    found: dict[str, Any] = json.loads(stream.readline())
    return found


def test_a_launch_is_pure_and_hides_its_secret() -> None:
    one = launch("m:f", Path("/m"), LoadOptions(), SECRET, python="/p", environment={"A": "b"})
    assert one == launch("m:f", Path("/m"), LoadOptions(), SECRET, python="/p", environment={"A": "b"})
    assert one.argv == ("/p", "-m", "ultralab.engines.serving.child")
    assert (one.environment["A"], json.loads(one.environment[REQUEST])["secret"]) == ("b", SECRET)


def test_it_starts_serves_and_ends_at_once(tmp_path: Path) -> None:
    with _child(tmp_path, {}) as (process, log):
        started, progress, ready = (_says(process) for _number in range(3))
        assert (started["event"], started["pid"]) == ("started", process.pid)
        assert started["footprint"] > 1_000_000
        assert progress == {"event": "progress", "share": 0.5}
        assert (ready["event"], ready["version"].split()[0]) == ("ready", "fake")
        client = ServedClient(Endpoint(ready["url"], SECRET))
        assert client.chat([{"role": "user", "content": "a private matter"}], 100) == "You said: a private matter"
        client.close()
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert time.monotonic() - begun < 1
        assert log.read_bytes() == b""  # nothing of what was said


@pytest.mark.parametrize(
    ("content", "load", "reason"),
    [
        ({"fail_load": "no luck"}, FAKE, "no luck"),
        ({"fail_load": 5, "unheard": 1}, FAKE, "unknown trouble: unheard"),
        ({}, "ultralab.nothing:load", "No module named 'ultralab.nothing'"),
        ({}, "ultralab.engines.fake.model:nothing", "module 'ultralab.engines.fake.model' has no attribute 'nothing'"),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, content: Mapping[str, object], load: str, reason: str) -> None:
    with _child(tmp_path, content, load) as (process, _log):
        event = _says(process)
        while event["event"] in ("started", "progress"):
            event = _says(process)
        assert event == {"event": "failed", "reason": reason}
        assert process.wait(5) == 1


def test_it_ends_while_it_loads(tmp_path: Path) -> None:
    with _child(tmp_path, {"hang_load": 60}) as (process, _log):
        _says(process)
        _says(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_the_troubles_of_the_fake(tmp_path: Path) -> None:
    with _child(tmp_path, {"flood": 100_000, "ignore_term": True, "garbage": True}) as (process, log):
        event = _says(process)
        while event["event"] != "ready":
            event = _says(process)
        client = ServedClient(Endpoint(event["url"], SECRET))
        with pytest.raises(EngineFailed):
            client.tokenize("a")
        client.close()
        assert log.stat().st_size == 100_000
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)


def test_nothing_heavy_is_imported() -> None:
    """What the process imports is part of every model's memory, and of every start."""
    code = "import sys, ultralab.engines.serving.child, ultralab.engines.fake.model; print(*sys.modules)"
    names = set(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.decode().split())
    assert not names & {"httpx", "numpy", "pydantic", "rich", "click", "psutil", "jinja2", "asyncio", "mlx", "torch"}
