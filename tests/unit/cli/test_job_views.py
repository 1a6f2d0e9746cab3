"""How jobs look: rows that fit, commands that can be pasted, progress of which nothing is believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from ultralab.cli.detach import again
from ultralab.cli.frame import Command, Request
from ultralab.cli.jobs.page import progress_lines, shell_line
from ultralab.cli.jobs.views import json_rows, lines, to_data
from ultralab.jobs.types import Condition, Dependency, Job, JobSpec, Needs, State
from ultralab.kernel.text import display_width
from ultralab.system.clock import local_iso
from ultralab.system.process import ProcessId

DAY = 86_400.0
NOW = 1_795_420_800.0


def _job(number: int, name: str = "train", state: State = "queued", **condition: Any) -> Job:
    return Job(number, JobSpec(("true",), "/", name), Condition(state, NOW - 90, **condition))


def test_a_list_has_a_line_per_job() -> None:
    jobs = [
        _job(7),
        _job(8, "bench", "running", started=NOW - 5, fence=1),
        _job(12, "x", "failed", started=NOW - 5, ended=NOW - 4, status=137),
    ]
    assert lines(jobs, NOW, 80) == [
        " Job  Name   State    Prio  Memory  Waited/ran  Exit",
        " ───────────────────────────────────────────────────",
        "   7  train  queued      0       –  1 min 30 s     –",
        "   8  bench  running     0       –      5.00 s     –",
        "  12  x      failed      0       –      1.00 s   137",
    ]


@pytest.mark.parametrize("name", ["a" * 300, "实验" * 50, "\x1b[31m\n" * 40, "🧪" * 60, ""], ids=range(5))
@pytest.mark.parametrize("width", [80, 100, 40])
def test_no_line_of_a_list_is_too_wide(name: str, width: int) -> None:
    jobs = [_job(1, name), _job(10**9, name, "cancelling", started=NOW - 400 * DAY)]
    shown = lines(jobs, NOW, width)
    least = 77  # what the columns need beside a name of twelve
    assert max(display_width(line) for line in shown) <= max(width, least)
    assert all(line.isprintable() for line in shown)


def test_a_clock_that_went_backwards_shows_no_negative_time() -> None:
    assert lines([_job(1)], NOW - DAY, 80)[2].split()[-2:] == ["ms", "–"]


def test_rows_of_json_are_the_main_keys_of_a_job() -> None:
    spec = JobSpec(
        ("a", "b"), "/x", 'quo"te\n实验', needs=Needs(5, "shared", 6, network=True), after=(Dependency(1, "end"),)
    )
    job = Job(2, spec, Condition("running", NOW, supervisor=ProcessId(3, "token")))
    data = {**to_data(job), "argv": ["a", "b"]}
    keys = (
        *("id", "state", "name", "kind", "owner", "priority", "argv", "memory", "gpu", "schedule"),
        *("submitted", "started", "ended", "attempts", "status", "cause"),
    )
    row = {key: data[key] for key in keys}
    assert json.loads(json_rows([job, job])) == [row, row]
    assert (json_rows([job, job]).count("\n"), json_rows([])) == (3, "[]")
    assert data["supervisor"] == {"pid": 3, "start": "token"}


@pytest.mark.parametrize(
    "words",
    [
        ("it's", 'a "b"', "", " ", "$HOME", "`id`", "*", "a\\b"),
        ("a\nb\tc\r", "\x1b[31m\x07\x7f", "mixed 'quote' \n \\ end", "\u202e\u200b"),
        ("实验", "🧪", os.fsdecode(b"not utf-8 \xff\xfe\n1")),
    ],
    ids=["quotes", "control", "unicode"],
)
def test_a_command_line_can_be_pasted_and_does_nothing_to_a_terminal(words: tuple[str, ...]) -> None:
    line = shell_line(("printf", "%s\\0", *words))
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"".join(os.fsencode(word) + b"\0" for word in words)


def test_progress_as_text() -> None:
    steps = [
        {"label": "Pull", "unit": "bytes", "total": 10, "done": 10, "started": NOW - 9, "ended": NOW - 3},
        {"label": "Make", "unit": "", "total": None, "done": 0, "started": NOW - 3, "ended": NOW - 2, "failed": True},
        {
            "label": "Measure",
            "unit": "items",
            "total": 8,
            "done": 2,
            "started": NOW - 2,
            "ended": None,
            "detail": "two",
        },
        {"label": "Wait", "unit": "", "total": None, "done": 0, "started": NOW - 1, "ended": None},
    ]
    progress = {"steps": steps, "updated": NOW + 10}
    assert progress_lines(progress, NOW) == [
        "  ✓ Pull  6.00 s",
        "  ✗ Make  1.00 s",
        "  Measure  █████░░░░░░░░░░░░░░░  25%  2/8  6.00 s left  two",
        "  … Wait  1.00 s",
    ]
    assert progress_lines(progress, NOW, under_way_only=True) == progress_lines(progress, NOW)[2:]
    assert progress_lines(progress, NOW, live=False)[2:] == [
        "  Measure  █████░░░░░░░░░░░░░░░  25%  2/8  two",
        "  … Wait  11.0 s",
    ]


@pytest.mark.parametrize(
    "progress",
    [
        {},
        {"steps": None},
        {"steps": "text"},
        {"steps": [None, 3, "x", []]},
        {"steps": [{"label": ["\x1b[2J"], "total": "8", "done": {}, "started": [], "ended": "x", "detail": 5}]},
        {"steps": [{"label": "\x1b[2J" * 99, "total": 1e308, "done": -1e308, "started": 1e300}]},
        {"steps": [{"label": "x", "total": float("nan"), "done": float("inf"), "started": True}]},
        {"steps": [{"label": "实验" * 99, "total": 3, "done": 9, "started": 0, "unit": "bytes", "detail": "长" * 99}]},
    ],
)
def test_nonsense_in_a_progress_file_is_left_out(progress: dict[str, Any]) -> None:
    shown = progress_lines(progress, NOW)
    assert all(line.isprintable() and display_width(line) <= 110 for line in shown)
    assert len(shown) <= 1


def test_the_words_that_run_a_command_once_more(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    @click.command("verb", cls=Command)
    @click.argument("file", type=click.Path(path_type=Path))
    @click.argument("rest", nargs=-1)
    @click.option("--detach", is_flag=True)
    @click.option("--fast", is_flag=True)
    @click.option("--size", type=int)
    @click.option("--tag", multiple=True)
    @click.pass_context
    def verb(context: click.Context, /, **_given: Any) -> None:
        seen.append(again(context, context.ensure_object(Request)))

    @click.group()
    def root() -> None:
        pass

    root.add_command(verb)
    for words in (
        ["verb", "--detach", "--fast", "--size", "3", "--tag", "a", "--tag", "b", "x.yaml", "--json"],
        ["verb", "--detach", "--lang", "zh_CN", str(tmp_path), "--", "-1"],
    ):
        root.main(args=words, standalone_mode=False, obj=Request())
    assert seen == [
        ["verb", "--fast", "--size", "3", "--tag", "a", "--tag", "b", str(Path.cwd() / "x.yaml")],
        ["verb", "--lang", "zh_CN", "--", str(tmp_path), "-1"],
    ]


@pytest.mark.parametrize("moment", [0.0 + 2 * 366 * DAY, NOW, NOW + 899.9, NOW + 0.25 * DAY, 4e9])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe"])
def test_a_moment_as_the_clock_of_a_zone_shows_it(moment: float, zone: str) -> None:
    code = (
        "from datetime import datetime, UTC; from ultralab.system.clock import local_iso\n"
        f"for step in range(0, 86400 * 400, 86400 * 7 + 901):\n"
        f"    at = {moment} + step\n"
        "    assert local_iso(at) == datetime.fromtimestamp(int(at), UTC).astimezone().isoformat(), at\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(local_iso(moment)) == 25
