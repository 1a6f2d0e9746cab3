"""Fifty dropped SSH connections during jobs: none is affected, and every log is complete to the byte."""

from __future__ import annotations

import getpass
import hashlib
import os
import random
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.acceptance.command import ULTRALAB, wait_until
from tests.acceptance.job_lab import all_over, daemon, make_job_lab, rows

from ultralab.app import jobs as verbs
from ultralab.jobs.store.record import attempt_folder
from ultralab.system import output

DROPS = 50
LINES = 400

# Prints what can be told beforehand, a little at a time, with bytes that are not text.
SPEAKER = """
import sys, time
number = int(sys.argv[1])
for line in range(400):
    sys.stdout.buffer.write(b"%d:%d:\\xff\\x00" % (number, line) + b"x" * (line % 97) + b"\\n")
    sys.stdout.buffer.flush()
    if line % 20 == 0:
        time.sleep(0.05)
"""


def spoken(number: int) -> bytes:
    """What the speaker prints."""
    lines = (b"%d:%d:\xff\x00" % (number, line) + b"x" * (line % 97) + b"\n" for line in range(LINES))
    return b"".join(lines)


@dataclass(frozen=True)
class Server:
    """An sshd of this test, and how its client calls it."""

    process: psutil.Process
    client: tuple[str, ...]


def free_port() -> int:
    """A port of the loopback that nobody has."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real OpenSSH server on the loopback, with keys of its own, for the user who runs the tests."""
    found = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert found, "this test needs a real sshd: install the package openssh-server"
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    port = free_port()
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path / 'user.pub'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nMaxStartups 100\n"
    )
    with suppress(PermissionError):
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([found, "-D", "-E", tmp_path / "sshd.log", "-f", config])
    client = (
        *("ssh", "-F", "none", "-p", str(port), "-i", str(tmp_path / "user"), "-o", "BatchMode=yes"),
        *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "LogLevel=ERROR"),
        f"{getpass.getuser()}@127.0.0.1",
    )
    try:
        wait_until(lambda: subprocess.run([*client, "true"], check=False, capture_output=True).returncode == 0, 20)
        yield Server(psutil.Process(process.pid), client)
    finally:
        process.terminate()
        process.wait(10)


def drop(server: Server, session: subprocess.Popen[bytes]) -> None:
    """Cut the connection at both ends, without a word."""
    for process in server.process.children(recursive=False):
        with suppress(psutil.NoSuchProcess):
            for member in [process, *process.children(recursive=True)]:
                if member.name().startswith("sshd"):
                    member.kill()
    session.kill()
    session.wait(10)
    assert session.stdout is not None
    session.stdout.close()


@pytest.mark.slow
def test_dropped_connections(tmp_path: Path, server: Server) -> None:
    lab = make_job_lab(tmp_path / "lab 实验", parallel="3")
    script = tmp_path / "speaker.py"
    script.write_text(SPEAKER)
    chance = random.Random(20261123)

    state = os.environ["ULTRALAB_STATE"]

    def session_of(number: int) -> None:
        submit = (
            ULTRALAB,
            "jobs",
            "submit",
            "--home",
            lab.home,
            "--name",
            f"drop-{number}",
            "--",
            sys.executable,
            "-u",
        )
        attach = (ULTRALAB, "jobs", "attach", f"drop-{number}", "--home", lab.home)
        line = f"{shlex.join(map(str, (*submit, script, number)))} && {shlex.join(map(str, attach))}"
        session = subprocess.Popen(
            [*server.client, f"env ULTRALAB_STATE={shlex.quote(state)} sh -c {shlex.quote(line)}"],
            stdout=subprocess.PIPE,
        )
        assert session.stdout is not None
        first = session.stdout.readline()
        assert first, f"session {number} said nothing"
        time.sleep(chance.uniform(0.0, 0.9))
        drop(server, session)

    for number in range(DROPS // 2):  # nobody serves: a drain schedules
        session_of(number)
    with daemon(lab):
        for number in range(DROPS // 2, DROPS):
            session_of(number)
        wait_until(lambda: all_over(lab), 60)

    jobs = rows(lab)
    assert len(jobs) == DROPS
    for number, job in enumerate(jobs):
        assert (job.spec.name, job.state, job.condition.fence) == (f"drop-{number}", "succeeded", 1)
        parts = list(output.read(attempt_folder(verbs.jobs_folder(lab.home), job.id, 1)))
        whole = b"".join(part for part in parts if isinstance(part, bytes))
        assert hashlib.sha256(whole).hexdigest() == hashlib.sha256(spoken(number)).hexdigest()
