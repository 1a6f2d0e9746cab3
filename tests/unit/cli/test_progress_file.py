"""Progress as data, seen from inside and, with a real command, from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.command import environment, finish, make_lab, scoring, start, ultralab, wait_until

from ultralab.cli.frame import Request
from ultralab.cli.progress import progress_for
from ultralab.cli.progress_file import Recorded
from ultralab.kernel.progress import SILENT


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def without_moments(found: dict[str, Any]) -> dict[str, Any]:
    """The file's content, moments replaced by what must hold of them."""
    assert time.time() - 60 < found["updated"] <= time.time()
    for step in found["steps"]:
        assert found["updated"] - 60 < step.pop("started") <= (step["ended"] or found["updated"]) <= found["updated"]
        step["ended"] = step["ended"] is not None
    return {name: value for name, value in found.items() if name != "updated"}


def step_of(label: str, **more: object) -> dict[str, object]:
    told = {"label": label, "unit": "", "total": None, "done": 0, "detail": "", "ended": True, "failed": False}
    return {**told, **more}


def test_a_step_is_told_while_it_lasts_and_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    progress = Recorded(path, SILENT)
    progress.say("模型 ✓")
    with progress.step("download", 10, "bytes") as step:
        step.advance(3)
        step.describe("part 1")
        lasting = step_of("download", unit="bytes", total=10, done=3, detail="part 1", ended=False)
        # Nothing happens after this: the change that came too soon must reach the file by itself.
        wait_until(lambda: without_moments(read(path))["steps"] == [lasting], 10)
        step.advance(7)
    assert without_moments(read(path)) == {
        "version": 1,
        "steps": [step_of("download", unit="bytes", total=10, done=10, detail="part 1")],
        "said": ["模型 ✓"],
    }
    assert [item.name for item in tmp_path.iterdir()] == ["progress.json"]


def test_the_keys_are_what_is_documented(tmp_path: Path) -> None:
    with Recorded(tmp_path / "p", SILENT).step("x"):
        pass
    found = read(tmp_path / "p")
    assert list(found) == ["version", "updated", "steps", "said"]
    assert list(found["steps"][0]) == ["label", "unit", "total", "done", "detail", "started", "ended", "failed"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nested_steps_and_one_that_fails(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "progress.json"
    progress = Recorded(path, SILENT)

    def work() -> None:
        with progress.step("outer"):
            with progress.step("inner", 2, "items") as inner:
                inner.advance()
            assert [step["ended"] is None for step in read(path)["steps"]] == [True, False]
            with progress.step("bad"):
                raise error

    with pytest.raises(error):
        work()
    assert without_moments(read(path))["steps"] == [
        step_of("outer", failed=True),
        step_of("inner", unit="items", total=2, done=1),
        step_of("bad", failed=True),
    ]


def test_the_last_steps_and_sentences_are_kept_and_a_lasting_step_too(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    progress = Recorded(path, SILENT)
    with progress.step("outer"):
        for number in range(150):
            progress.say(f"sentence {number}")
            with progress.step(f"step {number}"):
                pass
        found = read(path)
        assert [step["label"] for step in found["steps"]] == ["outer", *(f"step {number}" for number in range(51, 150))]
        assert found["said"] == [f"sentence {number}" for number in range(130, 150)]


def test_it_is_written_at_most_four_times_a_second(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    progress = Recorded(path, SILENT)
    seen = set()
    with progress.step("long", 1e9) as step:
        begun = time.monotonic()
        while time.monotonic() - begun < 1.2:
            step.advance()
            seen.add(read(path)["updated"])
        lasted = time.monotonic() - begun
    assert 2 <= len(seen) <= 2 + lasted * 4


def _folder_gone(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def _file_is_a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.mark.parametrize("trouble", [_folder_gone, _file_is_a_folder])
def test_what_cannot_be_written_never_stops_the_work(tmp_path: Path, trouble: Callable[[Path], None]) -> None:
    path = tmp_path / "attempt" / "progress.json"
    path.parent.mkdir()
    progress = Recorded(path, SILENT)
    trouble(path)
    with progress.step("work", 1) as step:
        progress.say("on")
        step.advance()
    left = sorted(item.name for item in tmp_path.rglob("*"))
    assert left == (["attempt", "progress.json"] if trouble is _file_is_a_folder else [])


def test_a_disk_that_takes_only_a_part_leaves_the_old_state() -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path; from ultralab.cli.progress_file import Recorded;"
        "from ultralab.kernel.progress import SILENT; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "path = Path(sys.argv[1]); progress = Recorded(path, SILENT);\n"
        "with progress.step('small'): pass\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))\n"
        "for number in range(9):\n with progress.step('x' * 300): pass\n"
    )
    whole = Path(os.environ["ULTRALAB_STATE"]) / "progress.json"
    done = subprocess.run([sys.executable, "-c", program, str(whole)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [step["label"] for step in read(whole)["steps"]] == ["small"]  # the old state, whole
    assert [item.name for item in whole.parent.iterdir()] == ["progress.json"]


def test_a_text_that_no_encoding_has_is_told_too(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    with Recorded(path, SILENT).step("caf\udce9") as step:
        step.advance(float("inf"))  # is no JSON: that writing is left out
        step.describe("x")
        step.advance(-float("inf"))
    assert read(path)["steps"][0]["label"] == "caf\udce9"


def test_what_is_said_last_is_written_before_the_end(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ultralab.cli.progress_file import Recorded;"
        "from ultralab.kernel.progress import SILENT; progress = Recorded(Path(sys.argv[1]), SILENT);\n"
        "with progress.step('x'): pass\n"
        "progress.say('done')"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "p")], check=True)
    assert read(tmp_path / "p")["said"] == ["done"]


@pytest.mark.parametrize(
    ("request_", "printed"), [(Request(), True), (Request(quiet=True), False), (Request(json=True), False)]
)
def test_the_variable_adds_a_file_and_lines_stay(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request_: Request,
    printed: bool,
) -> None:
    monkeypatch.setenv("ULTRALAB_PROGRESS", str(tmp_path / "p"))
    with progress_for(request_).step("Work", 1):
        pass
    assert without_moments(read(tmp_path / "p"))["steps"] == [step_of("Work", total=1)]
    captured = capsys.readouterr()
    assert (captured.out, "✓ Work" in captured.err) == ("", printed)


def test_an_experiment_tells_its_progress_while_it_runs(tmp_path: Path) -> None:
    home, path = tmp_path / "lab", tmp_path / "progress.json"
    spec = make_lab(home)
    env = environment(ULTRALAB_PROGRESS=str(path))
    process = start("experiments", "run", spec, "--home", home, env=env)
    wait_until(lambda: path.exists() and any(step["ended"] is None for step in read(path)["steps"]))
    whole = 0
    while process.poll() is None:
        read(path)  # whole at every moment
        whole += 1
    done = finish(process)
    assert done.status == 0, done.err
    found = read(path)
    assert whole > 0
    assert all(step["ended"] is not None and not step["failed"] for step in found["steps"])
    shown = [line.split("✓ ")[1].rsplit("  ", 1)[0] for line in done.err.splitlines() if "✓ " in line]
    assert len(shown) > 3
    assert sorted(shown) == sorted(step["label"] for step in found["steps"])


def test_a_command_whose_progress_cannot_be_written_succeeds(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    assert ultralab("init", home).status == 0
    done = ultralab("machine", "--json", env=environment(ULTRALAB_PROGRESS=str(tmp_path / "nowhere" / "p")))
    assert (done.status, done.err) == (0, "")
    assert not (tmp_path / "nowhere").exists()


def test_an_interrupted_command_says_so_in_the_file(tmp_path: Path) -> None:
    home, path = tmp_path / "lab", tmp_path / "progress.json"
    spec = make_lab(home)
    text = spec.parent / "text.txt"
    text.write_text(text.read_text() * 20)
    spec.write_text(spec.read_text().replace("tokens: 64", "tokens: 7000"))
    process = start("run", spec, "--home", home, "--quiet", env=environment(ULTRALAB_PROGRESS=str(path)))
    wait_until(lambda: scoring(home))
    process.terminate()
    assert finish(process).status == 130
    steps = read(path)["steps"]
    assert [step["ended"] is not None for step in steps] == [True] * len(steps)
    assert sum(step["failed"] for step in steps) == 1
