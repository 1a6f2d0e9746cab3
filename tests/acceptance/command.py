"""Driving the installed command as a person would: a process of its own, a lab of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tests.gguf_maker import tiny_llama

ULTRALAB = Path(sys.executable).with_name("ultralab")
NOWHERE = "http://127.0.0.1:9/"  # the discard port: nobody listens there

TEXT = "The quick brown fox jumps over the lazy dog. " * 90

SPEC = """\
experiment: kinds_of_trouble
title: Trouble
model: {model}
engine: fake
variants: [Q8_0]
options: {{context: 8192}}
speed: {{prompt_tokens: 16, generated_tokens: 8, repeats: 2}}
quality: {{text: text.txt, tokens: {tokens}}}
trackers: []
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What ``--json`` printed."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error that ``--json`` printed, which is one line and the only one."""
        (line,) = self.err.splitlines()
        found: dict[str, Any] = json.loads(line)["error"]
        return found


def environment(**more: str) -> dict[str, str]:
    """A person's environment, without colours or a language that the machine may have."""
    dropped = ("LC_ALL", "LC_MESSAGES", "LANG", "COLUMNS", "FORCE_COLOR", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "LANG": "C.UTF-8", **more}


def ultralab(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> Done:
    """Run the command to its end; ``before`` stands before it on the command line."""
    done = subprocess.run(
        [*before, str(ULTRALAB), *map(str, arguments)],
        cwd=cwd,
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=280,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def start(*arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command in a process group of its own, as an interactive shell does."""
    return subprocess.Popen(
        [str(ULTRALAB), *map(str, arguments)],
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a started command."""
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


def make_lab(home: Path, *, tokens: int = 64) -> Path:
    """A lab with a tiny model and an experiment file for the fake engine; the file's path."""
    assert ultralab("init", home, "--lang", "en").status == 0
    files = home.parent / f"{home.name} files"
    files.mkdir()
    model = tiny_llama(files / "tiny.gguf", context=8192)
    pulled = ultralab("models", "pull", model, "--name", "tiny", "--home", home, "--json")
    assert pulled.status == 0, pulled.err
    (files / "text.txt").write_text(TEXT)
    spec = files / "trouble.yaml"
    spec.write_text(SPEC.format(model="tiny", tokens=tokens))
    return spec


def runs_of(home: Path) -> list[tuple[str, str]]:
    """Variant and status of every recorded run, in the order of the experiments."""
    found = []
    for path in sorted(home.glob("experiments/*/*/experiment.json")):
        record = json.loads(path.read_text())
        for run in record["runs"]:
            read = json.loads((path.parent / "runs" / run / "run.json").read_text())
            found.append((read["variant"], read["status"]))
    return found


def statuses_of(home: Path) -> list[str]:
    """The status of every recorded experiment."""
    return [json.loads(path.read_text())["status"] for path in sorted(home.glob("experiments/*/*/experiment.json"))]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def scoring(home: Path) -> bool:
    """Whether a run of the lab is in the middle of its quality measurement."""
    return any("running_nll" in path.read_text() for path in home.glob("experiments/*/*/runs/*/metrics.jsonl"))


def engines_below(pid: int) -> list[psutil.Process]:
    """The guards and engines that a command started."""
    return psutil.Process(pid).children(recursive=True)


def all_gone(processes: Sequence[psutil.Process], seconds: float = 12) -> bool:
    """Whether all of them end within a time (a guard waits five seconds before it kills)."""
    _gone, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """What a terminal does on Ctrl-C: the signal goes to the whole group."""
    os.killpg(process.pid, number)


def half_written(home: Path) -> list[str]:
    """Files that should not be there: parts, and whatever is left in the library's folder for unfinished things."""
    found = [*home.rglob("*.part"), *(home / "store" / "partial").rglob("*")]
    return sorted(str(path.relative_to(home)) for path in found)
