"""The units' texts, as launchd and systemd read them."""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.daemon.units import LABEL, command_line, lab_of, launchd_plist, systemd_unit

ODD = 'a b "q" \\n %h 100% $HOME ${HOME} \'s; 王 🙂'


def words(line: str) -> list[str]:
    """What systemd makes of a command line of quoted words: systemd.syntax(7), systemd.unit(5), systemd.service(5)."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    assert " ".join(f'"{word}"' for word in found) == line
    plain = []
    for number, word in enumerate(found):
        unescaped = re.sub(r"\\(.)", r"\1", word)
        assert not re.search(r"(?<!%)(%%)*%(?!%)", unescaped), "a specifier"
        expanded = unescaped.replace("%%", "%")
        if number:
            assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", expanded), "a variable"
            expanded = expanded.replace("$$", "$")
        plain.append(expanded)
    return plain


def test_the_property_list_of_launchd() -> None:
    text = launchd_plist(
        ("/opt/a b/python", "-m", "ultralab.cli", "serve", "--home", ODD), LABEL, "ada", Path("/Users/ada"),
        Path("/Users/ada/ultralab/state/serve.log"), {"PATH": "/usr/bin"},
    )  # fmt: skip
    assert plistlib.loads(text) == {
        "Label": "org.ultralab.serve",
        "ProgramArguments": ["/opt/a b/python", "-m", "ultralab.cli", "serve", "--home", ODD],
        "UserName": "ada",
        "WorkingDirectory": "/Users/ada",
        "EnvironmentVariables": {"HOME": "/Users/ada", "USER": "ada", "LOGNAME": "ada", "PATH": "/usr/bin"},
        "RunAtLoad": True,
        "KeepAlive": True,
        "AbandonProcessGroup": True,
        "ProcessType": "Interactive",
        "ThrottleInterval": 10,
        "StandardOutPath": "/Users/ada/ultralab/state/serve.log",
        "StandardErrorPath": "/Users/ada/ultralab/state/serve.log",
    }
    assert lab_of(text) == ODD


UNIT = """\
# Written by: ultralab serve --install
# Lab: /srv/my lab 100%
[Unit]
Description=ultralab, serving /srv/my lab 100%%
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
RequiresMountsFor="/srv/my lab 100%%"

[Service]
Type=exec
ExecStart="/opt/$x/python" "serve" "--home" "/srv/my lab 100%%" "$$x"
User=ada
WorkingDirectory=~
Environment="PATH=/a b:/usr/bin"
Environment="ULTRALAB_STATE=/100%%/$x/\\"q\\""
Restart=always
RestartSec=2
KillMode=process
TimeoutStopSec=30
OOMPolicy=continue
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


def test_the_unit_of_systemd() -> None:
    lab = Path("/srv/my lab 100%")
    program = ("/opt/$x/python", "serve", "--home", str(lab), "$x")
    text = systemd_unit(program, "ada", lab, {"PATH": "/a b:/usr/bin", "ULTRALAB_STATE": '/100%/$x/"q"'})
    assert text == UNIT
    assert lab_of(text.encode()) == str(lab)


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])), min_size=1))
def test_every_word_reaches_the_program_as_it_is(program: list[str]) -> None:
    assert words(command_line(tuple(program))) == program


@pytest.mark.parametrize("path", ["/srv/with\\backslash", '/srv/with"quote'])
def test_a_path_that_not_every_systemd_reads_has_no_mount(path: str) -> None:
    text = systemd_unit(("/bin/true", "--home", path), "root", Path(path), {})
    assert "RequiresMountsFor" not in text
    assert lab_of(text.encode()) == path


@pytest.mark.parametrize(
    "content",
    [b"", b"[Unit]\n", b"\xff\xfe", b"<?xml", b'<?xml version="1.0"?><plist><dict/></plist>', plistlib.dumps([1])],
)
def test_a_file_that_is_none_of_ours_serves_no_lab(content: bytes) -> None:
    assert lab_of(content) == ""


def test_the_keepers_own_programs_accept_the_units(tmp_path: Path) -> None:
    """With systemd-analyze or plutil where there is one; everywhere by reading the file as its format says."""
    folder = tmp_path / "my $lab 100% 王 🙂"
    folder.mkdir()
    program = shutil.copy2("/bin/sh", folder / "python")
    unit = systemd_unit((str(program), "--home", str(folder), ODD), "root", folder, {"PATH": "/usr/bin", "X": ODD})
    path = tmp_path / "ultralab.service"
    path.write_text(unit)
    (line,) = [one.removeprefix("ExecStart=") for one in unit.splitlines() if one.startswith("ExecStart=")]
    assert words(line) == [str(program), "--home", str(folder), ODD]
    if judge := shutil.which("systemd-analyze"):
        done = subprocess.run([judge, "verify", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    listed = tmp_path / f"{LABEL}.plist"
    listed.write_bytes(launchd_plist((str(program), ODD), LABEL, "root", folder, folder / "log", {"X": ODD}))
    assert plistlib.loads(listed.read_bytes())["ProgramArguments"] == [str(program), ODD]
    if judge := shutil.which("plutil"):
        assert subprocess.run([judge, "-lint", listed], check=False).returncode == 0
