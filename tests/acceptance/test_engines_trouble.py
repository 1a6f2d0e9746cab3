"""Engines in trouble, as a person meets it at ``ultralab generate``: one clear error in bounded time, nothing left.

What needs short patience (a child that hangs at start, or stops answering) is in ``tests/unit/engines/test_host_trouble``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from tests.acceptance.command import Done, environment, start, ultralab, wait_until
from tests.gguf_maker import SMALL_TENSORS, STR, entry, gguf_bytes, small_keys

from ultralab.engines.tiny import write_gguf
from ultralab.memory import held, holders, open_ledger

pytestmark = pytest.mark.alone

SOON = 20.0  # seconds: start, failure, end; a busy machine included


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    """No lab; temporary files in a folder of ours, whose name needs care."""
    (tmp_path / "临时 tmp 😀").mkdir()
    return environment(
        ULTRALAB_STATE=str(tmp_path / "state"),
        ULTRALAB_HOME=str(tmp_path / "no lab"),
        TMPDIR=str(tmp_path / "临时 tmp 😀"),
    )


def troubled(path: Path, **trouble: object) -> Path:
    """A model file that asks the fake engine for trouble."""
    asked = entry("fake.trouble", STR, json.dumps(trouble))
    path.write_bytes(gguf_bytes([asked, *small_keys()], SMALL_TENSORS))
    return path


def left(env: Mapping[str, str]) -> list[str]:
    """What still runs with this test's state, and what the ledger still holds."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ULTRALAB_STATE") == env["ULTRALAB_STATE"]:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return [*found, *(item.purpose for item in holders(open_ledger(Path(env["ULTRALAB_STATE"]), 10**12)))]


def generate(env: Mapping[str, str], model: Path, *more: str, before: tuple[str, ...] = ()) -> Done:
    """Ask for a few tokens; in bounded time, and nothing is left."""
    words = ("-p", "hello", "--max-tokens", "8", "--threads", "1", "--json", *more)
    begun = time.monotonic()
    done = ultralab("generate", model, *words, env=env, before=before)
    assert time.monotonic() - begun < SOON
    assert left(env) == []
    return done


@pytest.mark.parametrize(
    ("trouble", "message", "hint"),
    [
        ({"fail_load": "no luck"}, "问 题 could not be loaded: no luck", "The engine's log: "),
        (
            {"flood": 30_000_000, "fail_load": "no luck"},
            "could not be loaded: no luck. The last lines of its log: …",
            "The engine's log: ",
        ),
        ({"fail_load": "no luck", "ignore_term": True}, "could not be loaded: no luck", "The engine's log: "),
        ({"die_after": 1, "flood": 90}, "ended unexpectedly (killed by signal 9). The last lines of its log: flood", "memory"),
        ({"garbage": True}, "The engine does not answer: ", "The engine's log: "),
    ],
)  # fmt: skip
def test_a_bad_child(
    env: Mapping[str, str], tmp_path: Path, trouble: Mapping[str, object], message: str, hint: str
) -> None:
    done = generate(env, troubled(tmp_path / "问 题.gguf", **trouble), "--engine", "fake")
    assert done.status == 1
    assert message in done.error["message"]
    assert len(done.error["message"]) < 700
    assert hint in done.error["hint"]
    log = Path(done.error["hint"].partition("The engine's log: ")[2])
    assert log.is_relative_to(env["TMPDIR"])
    assert log.stat().st_size <= 16 * 1024 * 1024


def test_a_lab_keeps_the_newest_logs_of_what_failed(env: Mapping[str, str], tmp_path: Path) -> None:
    home = tmp_path / "实验 lab 😀"
    assert ultralab("init", home, env=env).status == 0
    logs = home / "state" / "engines"
    logs.mkdir(parents=True)
    for number in range(30):
        (logs / f"20200101_0000{number:02}_aaaa.log").write_text("an old one")
    model = troubled(tmp_path / "m.gguf", fail_load="no luck")
    done = generate(env, model, "--engine", "fake", "--home", str(home))
    kept = sorted(logs.iterdir())
    assert len(kept) == 20
    assert str(kept[-1]) in done.error["hint"]
    assert kept[0].name == "20200101_000011_aaaa.log"


def test_a_deaf_child_is_killed_and_a_good_end_leaves_no_log(env: Mapping[str, str], tmp_path: Path) -> None:
    done = generate(env, troubled(tmp_path / "m.gguf", ignore_term=True, flood=1000), "--engine", "fake")
    assert done.data["text"] == "You said"
    assert list(Path(env["TMPDIR"]).iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_waits_for_a_child_that_hangs_can_end_it(env: Mapping[str, str], tmp_path: Path, number: int) -> None:
    model = troubled(tmp_path / "m.gguf", hang_load=600, ignore_term=True)
    with start("generate", model, "-p", "x", "--engine", "fake", env=env) as process:
        wait_until(lambda: any("serving" in line for line in left(env)))
        process.send_signal(number)
        process.communicate(timeout=15)
    wait_until(lambda: left(env) == [], 3 if number == signal.SIGKILL else 0.5)


def test_an_engine_that_is_not_installed(env: Mapping[str, str], tmp_path: Path) -> None:
    done = generate(env, write_gguf(tmp_path / "m.gguf"), "--engine", "torch")
    assert done.status == 2
    assert done.error["hint"]


@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "tensor", "architecture", "part"])
def test_a_bad_file(env: Mapping[str, str], tmp_path: Path, harm: str) -> None:
    model = write_gguf(tmp_path / "坏 bad 😀.gguf")
    data = model.read_bytes()
    if harm == "missing":
        model.unlink()
    elif harm == "empty":
        model.write_bytes(b"")
    elif harm == "cut":
        model.write_bytes(data[:-40_000])
    elif harm == "tensor":
        model.write_bytes(data.replace(b"blk.0.attn_norm.weight", b"blk.0.attn_nrom.weight"))
    elif harm == "architecture":
        model.write_bytes(data.replace(b"llama", b"lamma"))
    else:
        model = model.rename(tmp_path / "m-00001-of-00002.gguf")
    done = generate(env, model, "--engine", "llamacpp")
    assert done.status in (1, 2)
    assert done.error["hint"], done.error
    if harm not in ("architecture", "part"):
        assert model.name in done.error["message"] or model.stem in done.error["message"]


def test_out_of_memory_while_loading(env: Mapping[str, str], smollm2: Path) -> None:
    """A limit of the system's on each process: the model is mapped, its cache finds no place any more."""
    limited = (sys.executable, "-c", LIMITED, str(600_000_000))
    done = generate(env, smollm2, "--context", "8192", "--kv", "f32", before=limited)
    assert done.status == 1
    assert "could not be loaded" in done.error["message"]
    assert "There was not enough memory: take a smaller context" in done.error["hint"]


LIMITED = (
    "import os, resource, sys\nlimit = int(sys.argv[1])\nresource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def test_the_ledger_refuses_before_anything_starts(env: Mapping[str, str], tmp_path: Path) -> None:
    ledger = open_ledger(Path(env["ULTRALAB_STATE"]), 10**15)
    with held(ledger, 10**14, "somebody's model"):
        words = ("generate", write_gguf(tmp_path / "m.gguf"), "-p", "x", "--json")
        done = ultralab(*words, env=env)
    assert done.status == 1
    assert "are free" in done.error["message"]
    assert f"process {os.getpid()} (somebody's model)" in done.error["hint"]
    assert left(env) == []
