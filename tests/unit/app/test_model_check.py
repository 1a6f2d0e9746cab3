"""selftest of the models' disk and of the keychain, on this machine."""

from __future__ import annotations

from pathlib import Path

from ultralab.app.lab import Lab
from ultralab.app.model_check import model_checks
from ultralab.settings import Settings


def test_equal_files_share_their_bytes_and_nothing_stays(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab 实验室", Settings())
    found = {check.name: check.run() for check in model_checks(lab)}
    assert found["models.sharing"].verdict == "pass"
    assert found["models.sharing"].detail in ("by reflink", "by hardlink")
    assert found["secrets.keychain"].verdict == "skip"
    assert list(lab.library.partial.iterdir()) == []
