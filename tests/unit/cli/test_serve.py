"""``ultralab serve`` as a person gives it. Nothing here installs anything: that would be this machine's own service."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.acceptance.command import environment, finish, start, ultralab

from ultralab.daemon.units import lab_of
from ultralab.setup.tree import create_lab
from ultralab.system import presence

KEEPER, UNIT = (
    ("launchd", Path("/Library/LaunchDaemons/org.ultralab.serve.plist"))
    if sys.platform == "darwin"
    else ("systemd", Path("/etc/systemd/system/ultralab.service"))
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    create_lab(tmp_path / "my lab")
    return tmp_path / "my lab"


def test_a_dry_run_prints_the_unit_and_nothing_else(home: Path) -> None:
    plain = ultralab("serve", "--install", "--dry-run", "--home", home)
    assert (plain.status, plain.err, lab_of(plain.out.encode())) == (0, "", str(home))
    env = environment(ULTRALAB_STATE=str(home / "machine"))
    done = ultralab("serve", "--install", "--dry-run", "--home", home, "--json", env=env)
    assert done.status == 0
    content = done.data["content"]
    assert {name: value for name, value in done.data.items() if name != "content"} == {
        "keeper": KEEPER,
        "path": str(UNIT),
        "home": str(home),
        "user": home.owner(),
        "written": False,
    }
    assert str(home / "machine") in content


def test_a_folder_gets_the_unit_and_loses_it(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    printed = ultralab("serve", "--install", "--dry-run", "--home", home).out
    done = ultralab("serve", "--install", "--root", folder, "--home", home)
    assert (done.status, done.out, done.err) == (0, f"Written: {folder / UNIT.name}\n", "")
    assert (folder / UNIT.name).read_text() == printed
    create_lab(tmp_path / "other")
    other = ultralab("serve", "--uninstall", "--root", folder, "--home", tmp_path / "other", "--json")
    assert (other.status, other.error["kind"]) == (2, "AlreadyExists")
    removed = ultralab("serve", "--uninstall", "--root", folder, "--home", home, "--json")
    assert removed.data == {"keeper": KEEPER, "path": str(folder / UNIT.name), "home": str(home), "removed": True}
    again = ultralab("serve", "--uninstall", "--root", folder, "--home", home)
    assert (again.status, again.out) == (0, f"Nothing to do: there is no {folder / UNIT.name}.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--install", "--uninstall"), "--install and --uninstall exclude each other."),
        (("--dry-run",), "--dry-run belongs to --install."),
    ],
)
def test_options_that_make_no_sense_together(home: Path, options: tuple[str, ...], message: str) -> None:
    done = ultralab("serve", *options, "--home", home)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"Error: {message}\n")


def test_without_a_lab_there_is_nothing_to_serve(tmp_path: Path) -> None:
    for options in ((), ("--install", "--dry-run"), ("--uninstall",)):
        done = ultralab("serve", *options, "--home", tmp_path / "no", "--json")
        assert (done.status, done.error["kind"]) == (2, "NotFound")


@pytest.mark.parametrize("as_json", [False, True])
def test_it_says_when_it_is_ready_and_ends_when_told(home: Path, as_json: bool) -> None:
    process = start("serve", "--home", home, *(["--json"] if as_json else []))
    assert process.stdout is not None
    line = process.stdout.readline()
    said = json.loads(line)["said"] if as_json else line
    assert str(home) in said
    found = presence.present(home / "state" / "daemon.json")
    assert found is not None
    assert found.pid == process.pid
    second = ultralab("serve", "--home", home, "--json")
    assert (second.status, second.error["kind"], second.error["data"]["pid"]) == (1, "Busy", process.pid)
    process.terminate()
    assert finish(process).status == 0
    assert presence.present(home / "state" / "daemon.json") is None
