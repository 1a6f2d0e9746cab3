"""A bounded log of exact bytes: what is written, what is kept, and what is known to be missing."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.system import segments as naming
from ultralab.system.output import Gap, Writer, read, segments, tail_offset, total

KIB = 1024


def pieces(folder: Path, start: int = 0, end: int | None = None) -> list[bytes | Gap]:
    """What read gives, neighbouring blocks joined."""
    found: list[bytes | Gap] = []
    for piece in read(folder, start, end):
        if isinstance(piece, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def written(folder: Path, data: bytes, limit: int, step: int = 10_000) -> Writer:
    writer = Writer(folder, limit)
    for start in range(0, len(data), step):
        writer.write(data[start : start + step])
    writer.close()
    return writer


def on_disk(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_size) for path in folder.iterdir())


def test_below_the_limit_every_byte_is_there(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3_000_001)
    writer = written(tmp_path, data, 8_000_000)
    assert (writer.total, writer.lost) == (len(data), 0)
    assert total(tmp_path) == len(data)
    assert pieces(tmp_path) == [data]
    assert on_disk(tmp_path) == [
        ("output-00000000000000000000.log", 2_000_000),
        ("output-00000000000002000000.log", 1_000_001),
    ]
    assert [(begin, path.name, size) for begin, path, size in segments(tmp_path)] == [
        (0, "output-00000000000000000000.log", 2_000_000),
        (2_000_000, "output-00000000000002000000.log", 1_000_001),
    ]


def test_over_the_limit_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(1_000_000)
    writer = written(tmp_path, data, 64 * KIB)
    part = 16 * KIB
    newest = 1_000_000 // part * part
    assert (writer.total, writer.lost) == (1_000_000, 0)
    assert on_disk(tmp_path) == [
        (naming.name(0), part),
        (naming.name(newest - 2 * part), part),
        (naming.name(newest - part), part),
        (naming.name(newest), 1_000_000 - newest),
    ]
    kept = newest - 2 * part
    assert pieces(tmp_path) == [data[:part], Gap(part, kept - part), data[kept:]]
    assert pieces(tmp_path, 100, kept + 7) == [data[100:part], Gap(part, kept - part), data[kept : kept + 7]]
    assert pieces(tmp_path, part + 5) == [Gap(part + 5, kept - part - 5), data[kept:]]
    assert pieces(tmp_path, 20_000, 30_000) == [Gap(20_000, 10_000)]
    assert pieces(tmp_path, kept + 3, kept + 5) == [data[kept + 3 : kept + 5]]


def test_the_limit_holds_at_every_moment(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 20_000)
    largest = 0
    for number in range(500):
        writer.write(bytes(number % 997))
        largest = max(largest, sum(size for _begin, _path, size in segments(tmp_path)))
    writer.close()
    assert 15_000 < largest <= 20_000


def test_a_limit_that_is_too_small_counts_as_four_small_segments(tmp_path: Path) -> None:
    writer = written(tmp_path, bytes(100_000), 0)
    assert writer.total == 100_000
    assert sum(size for _name, size in on_disk(tmp_path)) <= 4 * naming.SMALLEST
    assert len(on_disk(tmp_path)) == 4


def test_nothing_written_leaves_no_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 64 * KIB)
    writer.write(b"")
    writer.close()
    writer.close()
    assert (writer.total, on_disk(tmp_path), pieces(tmp_path), total(tmp_path)) == (0, [], [], 0)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert (segments(tmp_path / "none"), total(tmp_path / "none"), pieces(tmp_path / "none")) == ([], 0, [])
    writer = Writer(tmp_path / "none", 64 * KIB)
    writer.write(b"lost")
    writer.close()
    assert (writer.total, writer.lost) == (4, 4)


def test_ranges_beyond_what_is_there(tmp_path: Path) -> None:
    written(tmp_path, b"0123456789", 64 * KIB)
    assert pieces(tmp_path, 4, 10**9) == [b"456789"]
    assert [pieces(tmp_path, 10), pieces(tmp_path, 99), pieces(tmp_path, 5, 5), pieces(tmp_path, 7, 3)] == [[]] * 4
    assert pieces(tmp_path, -5, 3) == [b"012"]


def test_other_files_are_no_segments(tmp_path: Path) -> None:
    written(tmp_path, b"abc", 64 * KIB)
    for name in ("output-1.log", "output-0000000000000000000x.log", "begun.json", "output-00000000000000000009.txt"):
        (tmp_path / name).write_bytes(b"no")
    assert [begin for begin, _path, _size in segments(tmp_path)] == [0]
    assert [naming.offset(name) for name in (naming.name(0), naming.name(7 * 10**18), "output-.log", "", "x" * 31)] == [
        0,
        7 * 10**18,
        None,
        None,
        None,
    ]


def test_a_segment_that_vanishes_while_it_is_read_becomes_a_gap(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(16 * KIB)
    written(tmp_path, data, 16 * KIB)
    reading = read(tmp_path)
    assert next(reading) == data[: 4 * KIB]
    for begin in (4 * KIB, 12 * KIB):
        (tmp_path / naming.name(begin)).unlink()
    assert list(reading) == [Gap(4 * KIB, 4 * KIB), data[8 * KIB : 12 * KIB], Gap(12 * KIB, 4 * KIB)]


def test_reading_beside_the_writer_is_true_at_every_moment(tmp_path: Path) -> None:
    """Every four bytes say where they stand; whatever a reader sees is in its place, or a gap."""
    data = b"".join(number.to_bytes(4, "big") for number in range(500_000))
    writer = Writer(tmp_path, 128 * KIB)
    done = threading.Event()

    def write() -> None:
        for start in range(0, len(data), 4096):
            writer.write(data[start : start + 4096])
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    rounds = 0
    while not done.is_set() or rounds == 0:
        position = 0
        for piece in read(tmp_path):
            if isinstance(piece, Gap):
                assert piece.offset == position
                position += piece.length
            else:
                assert piece == data[position : position + len(piece)]
                position += len(piece)
        rounds += 1
    thread.join()
    writer.close()
    assert pieces(tmp_path)[-1] == data[-len(pieces(tmp_path)[-1]) :]  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 9000), max_size=30), st.integers(0, 40_000))
def test_whatever_is_written_is_there_or_known_to_be_missing(sizes: list[int], limit: int) -> None:
    folder = Path(os.environ["ULTRALAB_STATE"]) / "log"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = random.Random(4).randbytes(sum(sizes))
    writer = Writer(folder, limit)
    position = 0
    for size in sizes:
        writer.write(data[position : position + size])
        position += size
    writer.close()
    assert (writer.total, writer.lost) == (len(data), 0)
    rebuilt = b"".join(
        data[piece.offset : piece.offset + piece.length] if isinstance(piece, Gap) else piece for piece in read(folder)
    )
    assert rebuilt == data
    assert sum(size for _name, size in on_disk(folder)) <= max(limit, 4 * naming.SMALLEST)


# A disk that refuses.


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """No file of this process may grow beyond ``limit`` bytes."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_what_is_refused_is_counted_and_the_rest_stands_in_its_place(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 64 * KIB)
    with file_size_limit(3000):
        writer.write(b"a" * 5000)
    writer.write(b"b" * 10)
    with file_size_limit(0):
        writer.write(b"c" * 100)
        writer.write(b"d" * 100)
    writer.write(b"e" * 5)
    writer.close()
    assert (writer.total, writer.lost) == (5215, 2200)
    assert on_disk(tmp_path) == [(naming.name(0), 3000), (naming.name(5000), 10), (naming.name(5210), 5)]
    assert pieces(tmp_path) == [b"a" * 3000, Gap(3000, 2000), b"b" * 10, Gap(5010, 200), b"e" * 5]


def test_a_lost_beginning_is_a_gap(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 64 * KIB)
    with file_size_limit(0):
        writer.write(b"a" * 5000)
    writer.write(b"b")
    writer.close()
    assert pieces(tmp_path) == [Gap(0, 5000), b"b"]
    assert tail_offset(tmp_path, 1) == 0


def test_a_disk_that_is_full_by_turns_makes_few_files(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 1024 * KIB)
    for _ in range(300):
        writer.write(b"x" * 10)
        with file_size_limit(0):
            writer.write(b"y")
    writer.close()
    assert (writer.total, writer.lost) == (3300, 300)
    assert len(on_disk(tmp_path)) <= 64
    assert pieces(tmp_path)[0] == b"x" * 10


FULL = """
import subprocess, sys
from pathlib import Path
from ultralab.system.output import Gap, Writer, read
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
filler = place / "filler"
filler.write_bytes(bytes(40_960))
writer = Writer(place, 1_000_000)
writer.write(b"a" * 30_000)
before = (writer.total, writer.lost)
writer.write(b"b" * 10)
filler.unlink()
writer.write(b"c" * 20)
writer.close()
print(before[0], 0 < before[1] < 30_000, writer.total, writer.lost == before[1] + 10)
found = list(read(place))
print(found[0] == b"a" * (30_000 - before[1]), found[1] == Gap(30_000 - before[1], before[1] + 10), found[2:])
"""

OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:

    def test_a_full_disk(tmp_path: Path) -> None:
        answer = subprocess.run(
            [*OWN_MOUNTS, sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert answer.stdout.splitlines() == [
            "30000 True 30030 True",
            "True True [b'cccccccccccccccccccc']",
        ], answer.stderr


# The last lines.


def naive(data: bytes, lines: int) -> int:
    parts = data.splitlines(keepends=True) if b"\r" not in data else []
    return len(data) - sum(len(part) for part in parts[len(parts) - min(lines, len(parts)) :])


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_the_last_lines(tmp_path: Path, ending: bytes) -> None:
    data = b"\n".join(b"line %d" % number for number in range(2000)) + ending
    written(tmp_path, data, 1024 * KIB)
    for lines in (0, 1, 2, 1999, 2000, 2001, 10**6):
        assert tail_offset(tmp_path, lines) == naive(data, lines)


@given(st.lists(st.sampled_from([b"\n", b"a", b"bc\n", b"\n\n"]), max_size=12), st.integers(0, 8))
def test_the_last_lines_of_anything(parts: list[bytes], lines: int) -> None:
    folder = Path(os.environ["ULTRALAB_STATE"]) / "log"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = b"".join(parts)
    written(folder, data, 1024 * KIB, 1)
    assert tail_offset(folder, lines) == naive(data, lines)


def test_the_last_lines_over_many_segments(tmp_path: Path) -> None:
    data = b"".join(b"%06d\n" % number for number in range(100_000))
    written(tmp_path, data, 2_000_000)
    for lines in (1, 50_000, 99_999):
        assert tail_offset(tmp_path, lines) == len(data) - 7 * lines


def test_the_last_lines_of_what_is_not_kept_whole(tmp_path: Path) -> None:
    data = b"".join(b"%06d\n" % number for number in range(100_000))
    written(tmp_path, data, 40_000)
    assert tail_offset(tmp_path, 1000) == len(data) - 7000
    assert tail_offset(tmp_path, 10**6) == 0


def test_the_last_lines_of_nothing_and_of_no_lines(tmp_path: Path) -> None:
    assert tail_offset(tmp_path, 5) == 0
    written(tmp_path, bytes(300_000), 1024 * KIB)
    assert (tail_offset(tmp_path, 5), tail_offset(tmp_path, 0)) == (0, 300_000)


def test_a_gibibyte_is_bounded_and_its_end_is_exact(tmp_path: Path) -> None:
    block = random.Random(5).randbytes(1024 * KIB)
    writer = Writer(tmp_path, 16 * 1024 * KIB)
    for _ in range(1024):
        writer.write(block)
    writer.close()
    assert (writer.total, writer.lost) == (1024**3, 0)
    assert sum(size for _name, size in on_disk(tmp_path)) == 16 * 1024 * KIB
    tail = hashlib.sha256(
        b"".join(piece for piece in read(tmp_path, 1024**3 - 8 * 1024 * KIB) if isinstance(piece, bytes))
    )
    assert tail.hexdigest() == hashlib.sha256(block * 8).hexdigest()
