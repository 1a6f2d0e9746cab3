"""The page about one job: on a terminal in lines that fit, for a program a line per fact."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ultralab.app.jobs import AttemptView, JobView
from ultralab.cli.jobs.page import draw, progress_lines
from ultralab.cli.jobs.views import view_data
from ultralab.jobs.store.attempts import Ended
from ultralab.jobs.types import Condition, Job, JobSpec, Needs
from ultralab.kernel.text import display_width
from ultralab.system.process import ProcessId

NOW = 1_795_420_800.0
FOLDER = Path("/lab/state/jobs/000017")
ENDED = Ended(
    fence=1, at=NOW - 5, status=137, signal=9, cause="timeout", problem="", seconds=7201.0, output_bytes=21,
    output_lost=0, left_behind=3, cpu_seconds=1.0, peak_rss_bytes=52_428_800,
)  # fmt: skip
ATTEMPT = AttemptView(fence=1, folder=FOLDER / "1", begun=NOW - 7206, ended=ENDED, output_bytes=21, worker=None)
OVER = JobView(
    job=Job(
        17,
        JobSpec(("python", "train.py", *("--word",) * 20), "/work", "train", needs=Needs(2**30, "exclusive")),
        Condition("failed", NOW - 7300, fence=1, started=NOW - 7206, ended=NOW - 5, status=137, cause="timeout"),
    ),
    waiting=None,
    attempts=(ATTEMPT,),
    progress=None,
    stopped=False,
    folder=FOLDER,
)


def _drawn(view: JobView, *, terminal: bool, width: int = 80) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, highlight=False, markup=False, no_color=True)
    draw(console, view, NOW)
    return out.getvalue().replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "").splitlines()


@pytest.mark.parametrize("width", [80, 60, 50])
def test_on_a_terminal_nothing_is_broken_inside_a_figure(width: int) -> None:
    lines = _drawn(OVER, terminal=True, width=width)
    assert max(map(display_width, lines)) <= width
    first = next(number for number, line in enumerate(lines) if line.startswith("Attempt 1"))
    pieces = [
        *("2 h 00 min", "exit 137 (took longer than allowed)", "peak 50.0 MiB", "output 21 B"),
        "processes ended that it left: 3",
    ]
    assert [sum(piece in line for line in lines[first:]) for piece in pieces] == [1] * len(pieces)


def test_for_a_program_there_is_a_line_per_fact() -> None:
    lines = _drawn(OVER, terminal=False, width=40)
    assert [line for line in lines if line != line.rstrip()] == []
    assert lines[0] == "train  17  failed"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        *("Command", "Folder", "Exit", "Kind", "Takes", "Submitted", "Started", "Ended", "Attempt 1", "Output"),
        str(FOLDER),
    ]
    assert {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines}["Exit"] == (
        "137 (took longer than allowed)"
    )
    assert "Takes      1.00 GiB of memory, GPU exclusive" in lines
    assert "Output     ultralab jobs logs 17" in lines


def test_a_running_job_says_nothing_of_its_logs() -> None:
    running = replace(OVER, job=replace(OVER.job, condition=Condition("running", NOW - 9, fence=1, started=NOW - 5)))
    attempts = (replace(ATTEMPT, ended=None, worker=ProcessId(4, "token")),)
    lines = _drawn(replace(running, attempts=attempts), terminal=False)
    assert [line for line in lines if "jobs logs" in line] == []


def test_the_command_of_a_running_job_as_data() -> None:
    attempts = (replace(ATTEMPT, ended=None, worker=ProcessId(4, "token")),)
    running = replace(OVER.job, condition=Condition("running", NOW - 9, fence=1, started=NOW - 5))
    data = json.loads(json.dumps(view_data(replace(OVER, job=running, attempts=attempts, stopped=True))))
    assert (data["worker"], data["stopped"]) == ({"pid": 4, "start": "token"}, True)
    assert data["now"] == "Its command is stopped (SIGSTOP). It goes on with: kill -CONT 4"
    assert (view_data(OVER)["worker"], view_data(OVER)["now"]) == (None, None)


@pytest.mark.parametrize("label", ["Downloading smollm2-135m-instruct-q4_1-and-more.gguf", "x", "实验" * 30])
def test_a_bar_loses_its_label_before_its_figures(label: str) -> None:
    step = {"label": label, "unit": "bytes", "total": 400 * 2**30, "done": 195.5 * 2**30, "detail": "d" * 30}
    (line,) = progress_lines({"steps": [{**step, "started": NOW - 7000, "ended": None}]}, NOW)
    figures = "49%  196 GiB/400 GiB  2 h 02 min left"
    assert (display_width(line) <= 80, figures in line, line.startswith(f"  {label[0]}")) == (True, True, True)
