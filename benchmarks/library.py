"""The library's store against its limits: looking over 5,000 blobs, hashing, and reading nothing of what is unchanged.

Each ratio has both sides interleaved in one run. Prints the figures and a row for ``benchmarks/README.md``; exits 1 where
a limit is passed. Run it by ``make bench``; under a minute.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from huggingface_hub import scan_cache_dir

from ultralab.models.library import Library, rebuild
from ultralab.models.records import write_record
from ultralab.models.store.hashing import hashes_of
from ultralab.models.store.scanning import scan
from ultralab.models.types import ModelFile, ModelRecord

MODELS: Final = 500
FILES: Final = 10
FEW_MODELS: Final = 50
MANY_FILES: Final = 100
RUNS: Final = 15
BIG_FILES: Final = 8
BIG: Final = 128 * 1024 * 1024
MOST_SCANDIR: Final = 2.0
LEAST_HUB: Final = 5.0
LEAST_HASHING: Final = 0.9


def make_library(home: Path, models: int = MODELS, parts: int = FILES) -> Library:
    """So many models of so many small files each, as :func:`ultralab.models.library.add` leaves them, but quicker."""
    library = Library(home)
    library.blobs.mkdir(parents=True)
    for number in range(models):
        files = []
        for part in range(parts):
            content = f"{number} {part}".encode() * 8
            sha256 = hashlib.sha256(content).hexdigest()
            (library.blobs / sha256).write_bytes(content)
            (library.blobs / sha256).chmod(0o444)
            files.append(ModelFile(f"model-{part + 1:05d}-of-{parts:05d}.safetensors", len(content), sha256))
        write_record(library.metadata, record(f"model-{number}", tuple(files)))
    return library


def record(name: str, files: tuple[ModelFile, ...]) -> ModelRecord:
    """A record with what the store needs."""
    return ModelRecord(
        name=name, variant="bf16", title=name, family=name, format="safetensors", architecture="llama", parameters=1,
        quantization="BF16", bits_per_weight=16.0, context=1, licence="mit", source="path:/x", source_url="",
        added="2026-11-23T00:00:00+00:00", added_by="bench", files=files,
    )  # fmt: skip


def make_hub_cache(folder: Path) -> None:
    """As many repositories and files in the layout of huggingface_hub's cache (its guide "Manage the cache")."""
    for number in range(MODELS):
        repository = folder / f"models--org--model-{number}"
        revision = hashlib.sha1(repository.name.encode()).hexdigest()
        snapshot = repository / "snapshots" / revision
        for made in (snapshot, repository / "blobs", repository / "refs"):
            made.mkdir(parents=True)
        (repository / "refs" / "main").write_text(revision)
        for part in range(FILES):
            content = f"{number} {part}".encode() * 8
            sha256 = hashlib.sha256(content).hexdigest()
            (repository / "blobs" / sha256).write_bytes(content)
            (snapshot / f"model-{part + 1:05d}-of-{FILES:05d}.safetensors").symlink_to(f"../../blobs/{sha256}")


def bare_scandir(folder: str) -> int:
    """Nothing but listing: how many entries there are."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            count += 1
            if entry.is_dir(follow_symlinks=False):
                count += bare_scandir(entry.path)
    return count


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(
    first: Callable[[], object], second: Callable[[], object], runs: int
) -> tuple[list[float], list[float]]:
    """Seconds of each run of both, one after the other so that both meet the same disturbances."""
    pairs = [(seconds(first), seconds(second)) for _run in range(runs)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def spread(values: list[float]) -> str:
    """``123 ms (118 to 140)``: median, least and most."""
    return f"{statistics.median(values) * 1000:.1f} ms ({min(values) * 1000:.1f} to {max(values) * 1000:.1f})"


def require_noticed(library: Library) -> None:
    """A rescan that is quick because it does not look would be no rescan: each harm must be seen."""
    blobs = sorted(library.blobs.iterdir())
    links = sorted(library.tree.rglob("*.safetensors"))
    changed, touched, lost, unlinked = blobs[0], blobs[1], blobs[2], links[-1]
    changed.chmod(0o644)
    changed.write_bytes(b"x")
    os.utime(touched, ns=(0, touched.stat().st_mtime_ns + 1))
    lost.unlink()
    unlinked.unlink()
    (library.blobs / ("f" * 64)).write_bytes(b"new")
    seen = scan(library)
    assert set(seen.changed) == {changed, touched}, seen
    assert set(seen.missing) == {lost, unlinked}, seen
    assert seen.unknown == (library.blobs / ("f" * 64),), seen


def bench_scan(place: Path) -> tuple[float, float]:
    """Ratios: rescan over scandir, scan_cache_dir over rescan."""
    library = make_library(place / "lab")
    rebuild(library)
    make_hub_cache(place / "hub")
    store = str(library.home / "store")
    time.sleep(3)  # times of a moment ago are not trusted
    assert scan(library).clean
    assert scan(library).blobs == MODELS * FILES
    bare_scandir(store)
    ours, bare = interleaved(lambda: scan(library), lambda: bare_scandir(store), RUNS)
    again, hub = interleaved(lambda: scan(library), lambda: scan_cache_dir(place / "hub"), 5)
    require_noticed(library)
    by_scandir = statistics.median(ours) / statistics.median(bare)
    by_hub = statistics.median(hub) / statistics.median(again)
    print(f"rescan of {MODELS * FILES} blobs      {spread(ours)}")
    print(f"bare recursive scandir    {spread(bare)}")
    print(f"ratio of the medians      {by_scandir:.2f} (limit {MOST_SCANDIR})")
    print(f"scan_cache_dir            {spread(hub)}, rescan beside it {spread(again)}")
    print(f"ratio of the medians      {by_hub:.1f} (at least {LEAST_HUB})")
    return by_scandir, by_hub


def told_scan(place: Path) -> None:
    """The same where few models have very many files each, with no limit: a rescan asks each blob for size and time,
    which costs about 2 µs, and there are few folders for ``scandir`` to spend its time on. What cannot be had without
    asking is not left out to have a better figure.
    """
    library = make_library(place / "lab-of-many-parts", FEW_MODELS, MANY_FILES)
    rebuild(library)
    store = str(library.home / "store")
    time.sleep(3)  # times of a moment ago are not trusted
    assert scan(library).clean
    assert scan(library).blobs == FEW_MODELS * MANY_FILES
    ours, bare = interleaved(lambda: scan(library), lambda: bare_scandir(store), RUNS)
    blobs = sorted(path.name for path in library.blobs.iterdir())
    folder = os.open(library.blobs, os.O_RDONLY | os.O_DIRECTORY)
    asked = [seconds(lambda: [os.stat(name, dir_fd=folder) for name in blobs]) for _run in range(RUNS)]
    os.close(folder)
    print(f"{FEW_MODELS} models of {MANY_FILES} files    {spread(ours)}, scandir {spread(bare)}")
    print(f"of that: os.stat of each  {spread(asked)}")
    print(
        f"ratio of the medians      {statistics.median(ours) / statistics.median(bare):.2f} (no limit: many-part models)"
    )


def bytes_read() -> int:
    """What this process has read so far, by proc(5), ``rchar``; 0 where there is no such file."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(lines[1])


def bench_hashing(place: Path) -> tuple[float, int]:
    """Ratio of the speed to that of sha256sum on as many processors; bytes read of unchanged files."""
    library = Library(place / "lab-of-big-files")
    files = [place / f"big-{number}" for number in range(BIG_FILES)]
    block = os.urandom(1024 * 1024)
    for path in files:
        path.write_bytes(block * (BIG // len(block)))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    listed = b"\0".join(os.fsencode(path) for path in files)
    command = ("xargs", "-0", "-n", "1", "-P", str(os.cpu_count()), "sha256sum")

    def ours() -> None:
        for suffix in ("", "-wal", "-shm"):
            library.knowledge.with_name(library.knowledge.name + suffix).unlink(missing_ok=True)
        hashes_of(library, files)

    def theirs() -> None:
        subprocess.run(command, input=listed, check=True, stdout=subprocess.DEVNULL)

    ours()
    mine, other = interleaved(ours, theirs, 4)
    ratio = statistics.median(other) / statistics.median(mine)
    before = bytes_read()
    assert len(hashes_of(library, files)) == BIG_FILES
    read = bytes_read() - before
    total = BIG_FILES * BIG / 2**20
    print(f"hashing {total:.0f} MiB          {spread(mine)}, {total / statistics.median(mine):.0f} MiB/s")
    print(f"sha256sum on {os.cpu_count()} processors {spread(other)}, {total / statistics.median(other):.0f} MiB/s")
    print(f"ratio of the speeds       {ratio:.2f} (at least {LEAST_HASHING})")
    print(f"unchanged: bytes read     {read} of {BIG_FILES * BIG} (the cache itself; limit 1 MiB)")
    return ratio, read


def machine() -> str:
    """What it ran on: system, architecture, processors, Python."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def main() -> int:
    """Measure and print; the exit status."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-library-") as folder:
        by_scandir, by_hub = bench_scan(Path(folder))
        told_scan(Path(folder))
        hashing, read = bench_hashing(Path(folder))
    today = dt.datetime.now(tz=dt.UTC).date()
    print(f"\n| {today} | {machine()} | {by_scandir:.2f} | {by_hub:.1f} | {hashing:.2f} | {read} |")
    kept = by_scandir <= MOST_SCANDIR and by_hub >= LEAST_HUB and hashing >= LEAST_HASHING and read <= 2**20
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
