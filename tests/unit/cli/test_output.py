"""What is printed is text: nothing in a title, a path or a foreign message is taken for markup."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from ultralab.cli.frame import Request
from ultralab.cli.outcome import report
from ultralab.cli.output import console, pairs, table
from ultralab.cli.progress import Drawn, progress_for
from ultralab.kernel.errors import Failure, InvalidSpec
from ultralab.kernel.text import display_width

UNFORESEEN = """\
Error: Something unforeseen happened: ZeroDivisionError: x
  → This is a fault of ultralab. Please report it with the output of the same command and --verbose.
"""
TEXT = "[/bold] [red]x :smile:"


def test_tables_and_pairs_show_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("A")
    rows.add_row(TEXT)
    out = console()
    out.print(rows)
    out.print(pairs([(TEXT, TEXT)]))
    out.print(TEXT, style="bold")
    assert capsys.readouterr().out.count(TEXT) == 4


def test_progress_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress = progress_for(Request())
    with progress.step(TEXT, 2, "items") as step:
        step.advance()
    progress.say(TEXT)
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count(TEXT)) == ("", 2)


def test_a_long_label_gives_way_to_rate_and_time() -> None:
    """A bar is drawn at once, and what it shows of a download fits beside it."""
    screen = io.StringIO()
    drawn = Drawn(Console(file=screen, width=80, force_terminal=True, color_system=None), bars=True)
    with drawn.step("Downloading 下载 " + "a-very-long-name-" * 8, 100 << 30, "bytes") as step:
        for _block in range(4):
            step.advance(10 << 30)
            time.sleep(0.02)  # a rate needs two moments
    lines = [line for line in re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", screen.getvalue()) if "GiB/s" in line]
    assert lines
    assert all("40.0/100.0 GiB" in line and "…" in line and display_width(line) <= 80 for line in lines[-1:])


def test_quiet_and_json_show_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    for request in (Request(quiet=True), Request(json=True)):
        with progress_for(request).step("x", 1) as step:
            step.advance()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Failure(TEXT, hint=TEXT), 1, f"Error: {TEXT}\n  → {TEXT}\n"),
        (InvalidSpec("a.yaml", "wrong", field="b", line=3), 2, "Error: a.yaml:3: b: wrong\n"),
        (KeyboardInterrupt(), 130, "Error: Interrupted.\n"),
        (SystemExit(5), 5, ""),
        (SystemExit("words"), 1, ""),
        (
            ZeroDivisionError("x"),
            1,
            UNFORESEEN,
        ),
    ],
)
def test_errors_become_a_message_a_hint_and_a_status(
    error: BaseException, status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error, Request(), as_json=False) == status
    assert capsys.readouterr() == ("", text)


def test_verbose_shows_where_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(Failure("x"), Request(verbose=True), as_json=False) == 1
    assert "ultralab.kernel.errors.Failure: x" in capsys.readouterr().err
