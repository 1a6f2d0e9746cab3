"""Measures what reading a model's header costs: mutants, a large vocabulary, the giant SafeTensors header.

    .venv/bin/python benchmarks/headers.py

Every figure of memory is a process's own. Where another library reads the same file, both read in turn in one run and
the ratio is printed. The giant is measured in processor time, which other work on the machine does not change. Prints a Markdown table; exits with 1 if a limit is broken. About a minute.
"""

from __future__ import annotations

import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.gguf_maker import ARR, F32, I32, SMALL_TENSORS, STR, gguf_bytes, small_keys  # noqa: E402
from tests.unit.models.formats.mutants import in_a_process  # noqa: E402

MUTANTS = 20_000
VOCABULARY = 262_144
GIANT = 1_300_000
ROUNDS = 5

GIANT_CHILD = """
import sys, time
from pathlib import Path
from ultralab.kernel.errors import Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import Limits
from ultralab.models.formats.safetensors import FORMAT
def held():
    status = Path("/proc/self/status")
    if not status.exists():
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
path, limit = Path(sys.argv[1]), int(sys.argv[2])
before, begun = held(), time.process_time()
try:
    said = FORMAT.read_header(from_path(path, Limits(tensors=limit))).shape.parameters
except Unsupported as error:
    said = error.message + " " + error.hint
print(time.process_time() - begun, held() - before, said, sep="\\t")
"""
THEIR_CHILD = """
import sys, time, resource
from safetensors import safe_open
begun = time.process_time()
with safe_open(sys.argv[1], "np") as stream:
    count = len(list(stream.keys()))
print(time.process_time() - begun, count, sep="\\t")
"""

Row = tuple[str, str, str, bool]


def main() -> int:
    """Measure everything; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [*_mutants(), *_vocabulary(Path(folder)), *_usual(Path(folder)), *_giant(Path(folder))]
    print("| what | measured | limit | |\n|---|---|---|---|")
    for what, measured, limit, kept in rows:
        print(f"| {what} | {measured} | {limit} | {'ok' if kept else 'BROKEN'} |")
    return 0 if all(row[3] for row in rows) else 1


def _mutants() -> list[Row]:
    found = in_a_process(str(MUTANTS), "7")
    told = f"{found.accepted} read, {found.refused} refused"
    return [
        (f"{MUTANTS} mutants: crashes", f"{len(found.crashes)} ({told})", "0", not found.crashes),
        ("slowest mutant", f"{found.slowest:.3f} s", "1 s", found.slowest < 1),
        ("memory growth over all", f"{found.growth / 1e6:.1f} MB", "100 MB", found.growth < 100e6),
    ]


def _vocabulary(folder: Path) -> list[Row]:
    """A GGUF header with tokens, scores, types and merges of a vocabulary of 262,144, here and in ``gguf``."""
    from gguf import GGUFReader

    from ultralab.models.bundles import from_path
    from ultralab.models.formats.gguf import FORMAT

    def texts(key: str, words: list[str]) -> bytes:
        raw = b"".join(struct.pack("<Q", len(word)) + word.encode() for word in words)
        return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IIQ", ARR, STR, len(words)) + raw

    def numbers(key: str, kind: int, code: str) -> bytes:
        raw = struct.pack(f"<{VOCABULARY}{code}", *range(VOCABULARY))
        return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IIQ", ARR, kind, VOCABULARY) + raw

    keys = [key for key in small_keys() if b"tokenizer.ggml.tokens" not in key]
    keys += [
        texts("tokenizer.ggml.tokens", [f"token{at}" for at in range(VOCABULARY)]),
        texts("tokenizer.ggml.merges", [f"to ken{at}" for at in range(2 * VOCABULARY)]),
        numbers("tokenizer.ggml.scores", F32, "f"),
        numbers("tokenizer.ggml.token_type", I32, "i"),
    ]
    path = folder / "vocabulary.gguf"
    path.write_bytes(gguf_bytes(keys, SMALL_TENSORS))
    ours, theirs = _in_turn(lambda: FORMAT.read_header(from_path(path)), lambda: GGUFReader(path), rounds=1)
    return [
        (f"GGUF, {VOCABULARY} tokens", f"{ours:.3f} s", "1 s", ours < 1),
        ("the same in gguf.GGUFReader", f"{theirs:.3f} s ({theirs / ours:.1f} × ours)", "-", True),
    ]


def _usual(folder: Path) -> list[Row]:
    """A SafeTensors header of 20,000 tensors, here and in the library (which is written in Rust)."""
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from ultralab.models.bundles import from_path
    from ultralab.models.formats.safetensors import FORMAT

    path = folder / "usual.safetensors"
    save_file({f"model.layers.{at}.mlp.weight": np.zeros(1, np.float16) for at in range(20_000)}, path)

    def library() -> None:
        with safe_open(path, "np") as stream:
            list(stream.keys())

    ours, theirs = _in_turn(lambda: FORMAT.read_header(from_path(path)), library, rounds=ROUNDS)
    return [
        (
            "SafeTensors, 20,000 tensors",
            f"{ours:.3f} s ({ours / theirs:.1f} × safe_open's {theirs:.3f} s)",
            "1 s",
            ours < 1,
        )
    ]


def _giant(folder: Path) -> list[Row]:
    path = folder / "giant.safetensors"
    text = ",".join(
        f'"l.{at:07d}.w":{{"dtype":"U8","shape":[1],"data_offsets":[{at},{at + 1}]}}' for at in range(GIANT)
    )
    header = f"{{{text}}}".encode()
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)))
        stream.write(header)
        stream.write(bytes(GIANT))
    size = f"{len(header) / 1e6:.0f} MB, {GIANT} tensors"
    refused = _child(GIANT_CHILD, path, "262144")
    read = _child(GIANT_CHILD, path, "2000000")
    theirs = float(_child(THEIR_CHILD, path)[0])
    at_once = float(refused[0])
    seconds, held = float(read[0]), int(read[1])
    return [
        (
            f"SafeTensors header of {size}",
            f"{at_once:.3f} s: {refused[2][-110:]}",
            "1 s, refused",
            at_once < 1 and "models.max_tensors" in refused[2],
        ),
        ("… with the limit raised", f"{seconds:.1f} s", "8 s", seconds <= 8 and read[2] == str(GIANT)),
        ("… memory", f"{held / 1e6:.0f} MB", "150 MB", held <= 150e6),
        ("the same in safe_open", f"{theirs:.1f} s ({theirs / seconds:.1f} × ours)", "-", True),
    ]


def _in_turn(ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _round in range(rounds):
        for measured, taken in zip((ours, theirs), times, strict=True):
            begun = time.perf_counter()
            measured()
            taken.append(time.perf_counter() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


def _child(program: str, *arguments: str | Path) -> list[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.rstrip("\n").split("\t")


if __name__ == "__main__":
    raise SystemExit(main())
