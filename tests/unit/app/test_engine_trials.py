"""Trying engines: a log that an error names is there to be read; an engine of other formats is not called broken."""

from __future__ import annotations

from pathlib import Path

from ultralab.app.engine_trials import _tried, try_engines
from ultralab.app.lab import Lab
from ultralab.engines.fake import Fake
from ultralab.kernel.progress import SILENT
from ultralab.settings import Settings
from ultralab.settings.schema import EngineSettings

BROKEN = """#!/bin/sh
if [ "$1" = --version ]; then echo "version: 9 (x)" >&2; exit 0; fi
echo "E out of luck" >&2
exit 3
"""


class Words(Fake):
    """Loads what nobody here can write."""

    name = "words"
    formats = frozenset({"words"})


def test_the_log_that_a_failure_names_is_kept(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.write_text(BROKEN)
    program.chmod(0o755)
    lab = Lab(tmp_path / "none", Settings(engines=EngineSettings(llama_server=str(program))))
    (found,) = try_engines(lab, ("llamacpp",), SILENT)
    assert found["status"] == "failed"
    assert "out of luck" in found["detail"]
    log = Path(found["hint"].rpartition("The engine's log: ")[2])
    assert "out of luck" in log.read_text()
    log.unlink()
    log.parent.rmdir()


def test_an_engine_of_other_formats_is_not_tried(tmp_path: Path) -> None:
    found = _tried(Lab(tmp_path, Settings()), Words(), tmp_path, SILENT)
    assert found["status"] == "missing"
