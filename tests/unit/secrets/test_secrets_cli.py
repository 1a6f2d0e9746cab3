"""``ultralab secrets``, as a person types it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from tests.acceptance.command import ULTRALAB, Done, environment, ultralab

VALUE = "hf_do-not-show-this"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ULTRALAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ULTRALAB_HOME", str(tmp_path / "no lab"))
    return tmp_path / "state"


def piped(*arguments: str, given: str) -> Done:
    done = subprocess.run(
        [str(ULTRALAB), "secrets", *arguments],
        input=given,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_set_list_forget(state: Path) -> None:
    assert ultralab("secrets", "list").out == "No secrets are kept.\n"
    done = piped("set", "hf", given=f"{VALUE}\n")
    assert (done.status, done.out, done.err) == (0, "hf is kept (file).\n", "")
    assert json.loads((state / "config/secrets.json").read_text())["secrets"] == {"hf": VALUE}
    shown = ultralab("secrets", "list")
    assert ("hf" in shown.out, VALUE in shown.out) == (True, False)
    assert ultralab("secrets", "list", "--json").data == [{"name": "hf", "store": "file"}]
    assert piped("set", "github", "--json", given="x").data == {"name": "github", "store": "file", "note": ""}
    assert ultralab("secrets", "forget", "hf", "--json").data == {"name": "hf", "stores": ["file"]}
    gone = ultralab("secrets", "forget", "hf", "--json")
    assert (gone.status, gone.error["kind"]) == (2, "NotFound")


def test_a_value_is_no_argument(state: Path) -> None:
    done = ultralab("secrets", "set", "hf", VALUE)
    assert (done.status, state.exists()) == (2, False)


def test_nothing_given(state: Path) -> None:
    done = ultralab("secrets", "set", "hf", "--json")
    assert (done.status, done.error["kind"]) == (2, "RequestError")


def test_a_person_types_it_unseen(state: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(ULTRALAB), "secrets", "set", "hf"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(),
        start_new_session=True,
    )
    os.close(slave)
    seen = b""
    while b"not shown): " not in seen:
        seen += os.read(master, 1024)
    os.write(master, f"{VALUE}\n".encode())
    while b"is kept" not in seen:
        seen += os.read(master, 1024)
    assert process.wait(timeout=30) == 0
    os.close(master)
    assert VALUE.encode() not in seen
    assert json.loads((state / "config/secrets.json").read_text())["secrets"] == {"hf": VALUE}


def test_a_lab_s_setting_holds(state: Path, tmp_path: Path) -> None:
    (tmp_path / "no lab").mkdir()
    (tmp_path / "no lab/lab.toml").write_text('[secrets]\nstore = "keychain"\n')
    done = piped("set", "hf", "--json", given=VALUE)
    assert (done.status, done.error["kind"], VALUE in done.err) == (2, "Unsupported", False)
