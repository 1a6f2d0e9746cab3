"""Secrets in a real file, and through a keychain of the documented shape."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ultralab.kernel.errors import (
    FileAccess,
    FileDamaged,
    NotFound,
    RequestError,
    ToolFailed,
    UltralabError,
    Unsupported,
)
from ultralab.secrets import Kept, Secrets, doctor_checks, forget, names, read, token_for, write

VALUE = "hf_do-not-show-this"


class Keychain:
    """What ``keyring`` documents: get, set and delete; a locked one raises, with the value in its words."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def _require_open(self, told: str = "") -> None:
        if self.locked:
            raise RuntimeError(f"Can't store password on keychain: (-25308, {told})")

    def get_password(self, service_name: str, username: str) -> str | None:
        self._require_open()
        return self.held.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self._require_open(password)
        self.held[service_name, username] = password

    def delete_password(self, service_name: str, username: str) -> None:
        self._require_open()
        del self.held[service_name, username]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def in_file(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "配置", "file", None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_in_the_file(in_file: Secrets) -> None:
    assert (read(in_file, "hf"), names(in_file)) == ("", {})
    assert write(in_file, "hf", VALUE) == Kept("file")
    assert write(in_file, "my.server_1", "s3") == Kept("file")
    assert (read(in_file, "hf"), read(in_file, "my.server_1")) == (VALUE, "s3")
    assert names(in_file) == {"hf": "file", "my.server_1": "file"}
    assert (mode(in_file.folder), mode(in_file.file.path)) == (0o700, 0o600)
    write(in_file, "hf", "new")
    assert read(in_file, "hf") == "new"
    assert forget(in_file, "hf") == ("file",)
    assert (read(in_file, "hf"), names(in_file)) == ("", {"my.server_1": "file"})
    with pytest.raises(NotFound, match="no secret hf"):
        forget(in_file, "hf")
    assert sorted(path.name for path in in_file.folder.iterdir() if not path.name.endswith(".lock")) == ["secrets.json"]


def test_a_folder_that_was_open_is_closed(in_file: Secrets) -> None:
    in_file.folder.mkdir(mode=0o755)
    write(in_file, "hf", VALUE)
    assert mode(in_file.folder) == 0o700


@pytest.mark.parametrize("given", [0o644, 0o640, 0o602, 0o606])
def test_a_file_that_others_can_read_is_refused(in_file: Secrets, given: int) -> None:
    write(in_file, "hf", VALUE)
    in_file.file.path.chmod(given)
    before = in_file.file.path.read_bytes()
    for verb in (
        lambda: read(in_file, "hf"),
        lambda: write(in_file, "hf", "x"),
        lambda: forget(in_file, "hf"),
        lambda: names(in_file),
    ):
        with pytest.raises(FileAccess, match="Others can read") as caught:
            verb()
        assert f"chmod 600 {in_file.file.path}" in caught.value.hint.replace("'", "")
    assert in_file.file.path.read_bytes() == before
    (check,) = doctor_checks(in_file)
    assert (check.run().verdict, "chmod 600" in check.run().hint) == ("fail", True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": 2, "secrets": {}}',
        b'{"schema": 1, "secrets": {"hf": 5}}',
        b"\xff",
        b"[" * 99_999,
        b" " * 2_000_000,
    ],
)
def test_a_file_that_cannot_be_understood_is_kept_and_not_quoted(in_file: Secrets, content: bytes) -> None:
    write(in_file, "hf", VALUE)
    in_file.file.path.write_bytes(content)
    for verb in (lambda: read(in_file, "hf"), lambda: write(in_file, "hf", VALUE)):
        with pytest.raises(FileDamaged) as caught:
            verb()
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
    assert in_file.file.path.read_bytes() == content


def test_a_file_that_is_none(in_file: Secrets) -> None:
    in_file.folder.mkdir(mode=0o700)
    os.mkfifo(in_file.file.path, 0o600)
    with pytest.raises(FileAccess, match="not a regular file"):
        read(in_file, "hf")
    in_file.file.path.unlink()
    in_file.file.path.mkdir()
    with pytest.raises(FileAccess):
        read(in_file, "hf")


@pytest.mark.parametrize("name", ["", "HF", "a b", "../x", "a/b", "x" * 101, "令牌", "a\n"])
def test_names_that_are_none(in_file: Secrets, name: str) -> None:
    for verb in (lambda: read(in_file, name), lambda: write(in_file, name, "x"), lambda: forget(in_file, name)):
        with pytest.raises(RequestError, match="cannot be the name"):
            verb()


@pytest.mark.parametrize("value", ["", " x", "x\n", f"{VALUE}\nsecond", f"{VALUE}\x1b", VALUE * 9999])
def test_values_that_are_none(in_file: Secrets, value: str) -> None:
    with pytest.raises(RequestError) as caught:
        write(in_file, "hf", value)
    assert VALUE not in caught.value.message + caught.value.hint + repr(caught.value.data)
    assert names(in_file) == {}


def test_the_keychain_comes_first(tmp_path: Path) -> None:
    keychain = Keychain()
    write(Secrets(tmp_path, "file", keychain), "hf", "old")
    secrets = Secrets(tmp_path, "auto", keychain)
    assert (read(secrets, "hf"), names(secrets)) == ("old", {"hf": "file"})
    assert write(secrets, "hf", VALUE) == Kept("keychain")
    assert (read(secrets, "hf"), names(secrets)) == (VALUE, {"hf": "keychain"})
    assert keychain.held == {("ultralab", "hf"): VALUE}
    assert VALUE not in "".join(path.read_text() for path in tmp_path.iterdir() if path.is_file())
    assert forget(secrets, "hf") == ("keychain",)
    assert (keychain.held, read(secrets, "hf"), names(secrets)) == ({}, "", {})


def test_a_locked_keychain_leaves_the_file(tmp_path: Path) -> None:
    keychain = Keychain()
    secrets = Secrets(tmp_path, "auto", keychain)
    write(secrets, "hf", "older")
    keychain.locked = True
    kept = write(secrets, "hf", VALUE)
    assert (kept.store, str(tmp_path / "secrets.json") in kept.note, VALUE in kept.note) == ("file", True, False)
    assert read(secrets, "hf") == VALUE
    keychain.locked = False
    assert (read(secrets, "hf"), names(secrets)) == (VALUE, {"hf": "file"}), "not the older one in the keychain"
    assert forget(secrets, "hf") == ("keychain", "file")
    assert read(secrets, "hf") == ""


def test_a_locked_keychain_that_was_chosen_says_so(tmp_path: Path) -> None:
    keychain = Keychain()
    secrets = Secrets(tmp_path, "keychain", keychain)
    write(secrets, "hf", VALUE)
    keychain.locked = True
    for verb in (lambda: read(secrets, "hf"), lambda: write(secrets, "hf", VALUE), lambda: forget(secrets, "hf")):
        with pytest.raises(ToolFailed, match="keychain cannot be used now") as caught:
            verb()
        seen: BaseException | None = caught.value
        while seen is not None:
            assert VALUE not in str(seen)
            seen = seen.__cause__ or seen.__context__
    assert read(secrets, "github") == "", "a name that is not in it is not asked for"


def test_no_keychain(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no keychain"):
        write(Secrets(tmp_path, "keychain", None), "hf", VALUE)
    assert write(Secrets(tmp_path, "auto", None), "hf", VALUE) == Kept("file")


def test_nothing_shows_a_value(in_file: Secrets) -> None:
    write(in_file, "hf", VALUE)
    assert VALUE not in repr(in_file) + repr(in_file.file) + repr(names(in_file)) + repr(write(in_file, "hf", VALUE))


def test_whose_token_comes_first(in_file: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [token_for(in_file, realm) for realm in ("github", "modelscope", "ollama")] == ["", "", ""]
    for realm in ("hf", "github", "modelscope"):
        write(in_file, realm, f"kept-{realm}")
    assert [token_for(in_file, realm) for realm in ("hf", "github", "modelscope")] == [
        "kept-hf",
        "kept-github",
        "kept-modelscope",
    ]
    for variable in ("HF_TOKEN", "GH_TOKEN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.setenv(variable, f" {variable}\n")
    assert [token_for(in_file, realm) for realm in ("hf", "github", "modelscope")] == [
        "HF_TOKEN",
        "GH_TOKEN",
        "MODELSCOPE_API_TOKEN",
    ]
    monkeypatch.setenv("GITHUB_TOKEN", "first")
    assert token_for(in_file, "github") == "first"


@pytest.mark.parametrize("bad", ["hf_se\ncret", "hf_se cret", "密码secret"])
def test_what_no_header_can_carry_is_refused_unsaid(
    in_file: Secrets, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", bad)
    with pytest.raises(RequestError, match="HF_TOKEN") as caught:
        token_for(in_file, "hf")
    assert "cret" not in f"{caught.value} {caught.value.hint} {caught.value.data}"


def test_the_hub_s_own_login_comes_last(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_from_login\n")
    program = (
        "from pathlib import Path; from ultralab.secrets import *;"
        f"s = Secrets(Path({str(tmp_path / 's')!r}), 'file', None); first = token_for(s, 'hf');"
        "write(s, 'hf', 'kept'); print(first, token_for(s, 'hf'))"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**own, "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("hf_from_login kept\n", "")


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ultralab.secrets import Secrets, write;"
        "s = Secrets(Path(sys.argv[1]), 'file', None);"
        "[write(s, f'{sys.argv[2]}.{n}', 'v') for n in range(10)]"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "s"), who]) for who in "abc"]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert len(names(Secrets(tmp_path / "s", "file", None))) == 30


def test_doctor(in_file: Secrets) -> None:
    (check,) = doctor_checks(in_file)
    assert check.run().verdict == "pass"
    write(in_file, "hf", VALUE)
    assert (check.run().verdict, VALUE in check.run().detail) == ("pass", False)
    in_file.folder.chmod(0o750)
    assert (check.run().verdict, "chmod 700" in check.run().hint) == ("warn", True)
    in_file.file.path.write_text(json.dumps({"secrets": VALUE}))
    assert (check.run().verdict, VALUE in check.run().detail) == ("fail", False)


def test_the_file_of_another_user_is_refused(tmp_path: Path) -> None:
    from ultralab.secrets.file import require_private

    path = tmp_path / "secrets.json"
    path.touch(mode=0o600)
    status = list(path.stat())
    status[4] = os.geteuid() + 1  # st_uid
    with pytest.raises(FileAccess, match="belongs to another user"):
        require_private(path, os.stat_result(status))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UltralabError) as caught:
        write(Secrets(tmp_path / "file" / "x", "file", None), "hf", VALUE)
    assert VALUE not in caught.value.message
