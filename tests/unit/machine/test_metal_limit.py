"""The probe of Metal, where there is no Metal."""

import sys

from ultralab.machine import macos
from ultralab.system import process


def test_without_metal_the_probe_ends_with_a_reason_and_no_figure() -> None:
    answer = process.run(macos.METAL_LIMIT, check=False)
    if sys.platform == "darwin":
        assert answer.status == 0
        return
    assert (answer.status, answer.stdout) == (1, "")
    assert "CoreGraphics" in answer.stderr
    assert macos.read_metal_limit() == 0
