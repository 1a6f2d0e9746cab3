"""Waking the scheduler through a FIFO."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path

from ultralab.jobs.wake import WAKE, heard, listening, poke

POKER = """
import sys, time
from pathlib import Path
from ultralab.jobs.wake import poke
sys.stdin.readline()
print(poke(Path(sys.argv[1])), flush=True)
"""


def test_nobody_listens(tmp_path: Path) -> None:
    assert not poke(tmp_path)
    with listening(tmp_path):
        pass
    assert (tmp_path / WAKE).exists()
    assert not poke(tmp_path)


def test_a_poke_wakes_at_once_and_only_once(tmp_path: Path) -> None:
    with listening(tmp_path) as ear:
        poker = subprocess.Popen(
            [sys.executable, "-c", POKER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert poker.stdin is not None
        poker.stdin.write("\n")
        poker.stdin.flush()
        assert ear.wait(20)
        out, _err = poker.communicate(timeout=20)
        assert out == "True\n"
        assert not ear.wait(0.01)


def test_many_pokes_are_one_even_when_the_fifo_is_full(tmp_path: Path) -> None:
    with listening(tmp_path) as ear:
        assert all(poke(tmp_path) for _ in range(100_000))
        while ear.wait(0):
            pass
        assert poke(tmp_path)
        assert ear.wait(1)


def test_waiting_ends_in_time(tmp_path: Path) -> None:
    with listening(tmp_path) as ear:
        begun = time.monotonic()
        assert not ear.wait(0.05)
        assert 0.04 < time.monotonic() - begun < 5
        assert not ear.wait(-1)


def test_a_file_in_its_place_is_replaced(tmp_path: Path) -> None:
    (tmp_path / WAKE).write_text("a copied lab")
    assert not poke(tmp_path)
    with listening(tmp_path):
        assert stat.S_ISFIFO((tmp_path / WAKE).stat().st_mode)


def test_of_two_who_listen_the_second_finds_nothing_and_does_not_mind(tmp_path: Path) -> None:
    with listening(tmp_path) as first, listening(tmp_path) as second:
        assert heard(tmp_path)
        assert poke(tmp_path)
        assert [first.wait(5), second.wait(0.01)] == [True, False]
    assert not heard(tmp_path)
