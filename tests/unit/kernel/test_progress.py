"""The progress that nobody watches."""

from __future__ import annotations

import pytest

from ultralab.kernel.progress import SILENT, Progress


def work(progress: Progress, error: type[Exception] | None = None) -> str:
    with progress.step("label", 3, "items") as step:
        step.advance()
        step.advance(2.5)
        step.describe("nearly")
        with progress.step("inner") as inner:
            inner.advance(-1)
        progress.say("a sentence")
        if error:
            raise error
    return "done"


def test_silence_lets_work_and_errors_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert work(SILENT) == "done"
    with pytest.raises(ZeroDivisionError):
        work(SILENT, ZeroDivisionError)
    assert capsys.readouterr() == ("", "")
