"""kill -9 of a download at random moments: what is handed over is right, nearly nothing is fetched twice, nothing stays."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.fault_server import Site, serve

from ultralab.models.download import key_of, leftovers
from ultralab.models.download.blocks import BLOCK
from ultralab.models.sources.base import RemoteFile

SEED = 20261123

# Fetches one file, and moves it away as a caller does; says what it got.
CHILD = """
import json, sys
from pathlib import Path
from ultralab.kernel.progress import SILENT
from ultralab.models.download import fetch
from ultralab.models.sources.base import RemoteFile
url, sha256, into, target = sys.argv[1:]
print("begins", flush=True)
got = fetch(RemoteFile("file.gguf", url, None, sha256), Path(into), SILENT)
got.path.replace(target)
print(json.dumps([got.size, got.sha256]), flush=True)
"""


def killed_downloads(folder: Path, size: int, kills: int, rate: float, *, hashed: bool) -> dict[str, int]:
    """Download a file again and again until so many downloads were killed; the figures, all checked."""
    chance = random.Random(SEED)
    content = chance.randbytes(size)
    digest = hashlib.sha256(content).hexdigest()
    done = published = worst = again = 0
    into, target = folder / "partial", folder / "published"
    with serve(Site(content, etag='"v1"', rate=rate)) as site:
        remote = RemoteFile("file.gguf", site.url, None, digest if hashed else "")
        while done < kills or published == 0:
            killed_here, before = 0, site.sent
            while True:
                limit = site.sent + chance.randrange(size // 4) if done < kills else None
                if not one_download(site, remote, into, target, limit):
                    break
                done += 1
                killed_here += 1
            assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
            assert list(into.iterdir()) == []
            assert leftovers(into) == ()
            extra = site.sent - before - size
            assert extra <= killed_here * BLOCK
            target.unlink()
            published += 1
            again += extra
            worst = max(worst, extra // max(1, killed_here))
    return {"kills": done, "published": published, "fetched_again": again, "worst_mean_per_kill": worst}


def one_download(site: Site, remote: RemoteFile, into: Path, target: Path, limit: int | None) -> bool:
    """Run one child, killed when the server has sent ``limit`` bytes in all; whether it was killed before it had published."""
    argv = [sys.executable, "-c", CHILD, remote.url, remote.sha256, str(into), str(target)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begins\n"
        if limit is not None:
            while site.sent < limit and child.poll() is None:
                time.sleep(0.001)
            child.send_signal(signal.SIGKILL)
        said = child.stdout.read()
        status = child.wait(120)
    if said:
        size, digest = json.loads(said)
        assert (size, digest) == (target.stat().st_size, hashlib.sha256(target.read_bytes()).hexdigest())
    else:
        assert status == -signal.SIGKILL
    if not said and target.exists():  # killed between publishing and saying so
        return False
    if not said:
        assert {path.stem for path in into.glob("*")} <= {key_of(remote)}
    return not said


@pytest.mark.slow  # a kill test
@pytest.mark.parametrize("hashed", [True, False])
def test_eight_kills_of_forty_megabytes(tmp_path: Path, hashed: bool) -> None:
    figures = killed_downloads(tmp_path, 40_000_000, 8, 10e6, hashed=hashed)
    print(figures)
    assert figures["kills"] == 8


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rate", [20e6, 0.0])
def test_fifty_kills_of_two_hundred_megabytes(tmp_path: Path, rate: float) -> None:
    figures = killed_downloads(tmp_path, 200_000_000, 50, rate, hashed=True)
    print(
        f"\n200 MB at {4 * rate / 1e6 or 'full'} MB/s, block {BLOCK}: {figures}, a kill costs {figures['fetched_again'] / figures['kills'] / BLOCK:.2f} blocks"
    )
    assert figures["kills"] == 50
