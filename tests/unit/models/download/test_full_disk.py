"""A disk that fills up while a download is under way: a real one, small, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Downloads 12 MB onto a disk of 16 MB while somebody else fills it; then once more, with space again.
_PROGRAM = """
import hashlib, os, random, subprocess, sys, threading, time
from pathlib import Path
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
sys.path.insert(0, sys.argv[2])
from tests.fault_server import Site, serve
from ultralab.kernel.errors import DiskFull
from ultralab.kernel.progress import SILENT
from ultralab.models.download import fetch, leftovers
from ultralab.models.sources.base import RemoteFile
content = random.Random(4).randbytes(12_000_000)
filler, into = place / "filler", place / "partial"

def fill():
    while site.sent < 3_000_000:
        time.sleep(0.005)
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(65_536))
        except OSError as error:
            met.append(error.errno)

met = []
with serve(Site(content, etag='"1"', rate=8_000_000)) as site:
    remote = RemoteFile("m.gguf", site.url, None, hashlib.sha256(content).hexdigest())
    other = threading.Thread(target=fill)
    other.start()
    try:
        fetch(remote, into, SILENT, connections=2)
    except DiskFull as error:
        print("full", bool(error.hint))
    other.join()
    print(*met)
    filler.unlink()
    (left,) = leftovers(into)
    site.rate = 0
    done = fetch(remote, into, SILENT, connections=2)
    print(done.sha256 == remote.sha256, left.have > 0, f"bytes={left.have}-8388607" in site.asked)
    print(sorted(path.suffix for path in into.iterdir()))
"""


def test_a_disk_that_fills_up_meanwhile_costs_nothing_that_arrived(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    root = Path(__file__).resolve().parents[4]
    command = ["unshare", "--mount", sys.executable, "-c", _PROGRAM, str(place), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("full True\n28\nTrue True True\n['.partial']\n", "")
