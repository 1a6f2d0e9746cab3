"""The downloader on loopback against curl and against a bare httpx loop that hashes: seconds, and their ratios.

Usage: .venv/bin/python benchmarks/download.py [--megabytes 500] [--rounds 3]

The server is this script in a process of its own, and sends files by sendfile. Every side writes the bytes to a file and
knows their SHA-256 at the end (curl: sha256sum afterwards), so that they do the same work. Prints a row for a table.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from ultralab.kernel.progress import SILENT
from ultralab.models.download import fetch
from ultralab.models.sources.base import RemoteFile


class Handler(http.server.BaseHTTPRequestHandler):
    """One file, whole or in parts."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer by sendfile."""
        with Path(sys.argv[2]).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, end = (int(match[1]), min(size, int(match[2]) + 1)) if match else (0, size)
            self.send_response(206 if match else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(end - start))
            if match:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.end_headers()
            self.wfile.flush()
            while start < end:
                start += os.sendfile(self.connection.fileno(), stream.fileno(), start, end - start)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def serve() -> None:
    """The child: say the port, answer until killed."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


def main() -> int:
    """Measure, interleaved; the exit status."""
    parser = argparse.ArgumentParser(description="Measure the downloader.")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        digest = _fill(source, options.megabytes)
        server = subprocess.Popen([sys.executable, __file__, "serve", source], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/file"
            sides: dict[str, Callable[[], str]] = {
                "ultralab": lambda: _ours(url, digest, folder / "ours", 4),
                "ultralab, 1 connection": lambda: _ours(url, digest, folder / "one", 1),
                "bare httpx": lambda: _bare(url, folder / "bare"),
            }
            if shutil.which("curl"):
                sides["curl + sha256sum"] = lambda: _curl(url, folder / "curl")
            times = _measure(sides, digest, options.rounds)
        finally:
            server.kill()
            server.wait()
    best = {side: statistics.median(taken) for side, taken in times.items()}
    print(f"| {options.megabytes} MB from loopback | median s | MB/s | time of ultralab / this |\n|---|---|---|---|")
    for side, seconds in best.items():
        print(f"| {side} | {seconds:.2f} | {options.megabytes / seconds:.0f} | {best['ultralab'] / seconds:.2f} |")
    return 0


def _fill(path: Path, megabytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for _number in range(megabytes):
            piece = os.urandom(1_000_000)
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


def _measure(sides: dict[str, Callable[[], str]], digest: str, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _round in range(rounds):
        for side, work in sides.items():
            begun = time.perf_counter()
            found = work()
            times[side].append(time.perf_counter() - begun)
            if found != digest:
                raise SystemExit(f"{side}: wrong bytes")
    return times


def _ours(url: str, digest: str, into: Path, connections: int) -> str:
    staged = fetch(RemoteFile("file", url, None, digest), into, SILENT, connections=connections)
    staged.path.unlink()
    return staged.sha256


def _bare(url: str, target: Path) -> str:
    digest = hashlib.sha256()
    with httpx.Client(trust_env=False) as client, client.stream("GET", url) as answer, target.open("wb") as stream:
        for chunk in answer.iter_raw():
            stream.write(chunk)
            digest.update(chunk)
    target.unlink()
    return digest.hexdigest()


def _curl(url: str, target: Path) -> str:
    subprocess.run(["curl", "--silent", "--noproxy", "*", "--output", target, url], check=True)
    answer = subprocess.run(["sha256sum", target], check=True, capture_output=True, text=True)
    target.unlink()
    return answer.stdout.split()[0]


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve()
    else:
        raise SystemExit(main())
