"""Tokens per second through the seam against the bare library's own server, interleaved.

    .venv/bin/python benchmarks/engine_overhead.py MODEL.gguf [MLX_FOLDER] [--pairs 20] [--tokens 96]

Both sides have the same model loaded with the same options and answer the same prompts greedily with the same number of
tokens (an answer may end by itself): one through ``engines.host`` and the engine's client, the other (``xllamacpp.Server``, ``mlx_lm.server``) through a
plain ``httpx`` client. Without a folder, MLX takes ultralab's own tiny model. Exits 1 where the lower end of the 95 %
interval of the ratio (median of the pairs, bootstrap) is below 0.97.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine_bare import (
    interleaved,
    interval,
    machine,
    mlx_server_process,
    plain_client,
    plain_stream,
    request_for,
    xllamacpp_process,
)

from ultralab.engines import engine
from ultralab.engines.base import Ask
from ultralab.engines.host import loaded
from ultralab.memory import open_ledger

LIMIT: Final = 0.97
TEXT: Final = "Counting goes like this: one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve,"
BARE: Final = {"llamacpp": xllamacpp_process, "mlx": mlx_server_process}


def measure(name: str, model: Path, pairs: int, tokens: int, folder: Path) -> list[tuple[float, float]]:
    """Tokens per second of each pair: through the seam, and bare."""
    request = request_for(name, model, threads=1)
    ledger, log = open_ledger(folder, 10**15), folder / f"{name}.log"
    with (
        loaded(engine(name), request, ledger=ledger, log=log) as running,
        BARE[name](model, 1) as address,
        plain_client(address) as bare,
    ):
        counts: dict[int, int] = {}

        def _speed(number: int, made: int, begun: float) -> float:
            seconds = time.perf_counter() - begun
            if made < tokens // 4 or counts.setdefault(number, made) != made:
                raise SystemExit(f"{name} gave {made} tokens, then {counts.get(number)}: not comparable")
            return made / seconds

        def ours(number: int) -> float:
            begun = time.perf_counter()
            *_, last = running.client.stream(Ask(prompt=f"{number}. {TEXT}", max_tokens=tokens))
            made = last.timings.generated_tokens if last.timings else 0
            return _speed(number, made, begun)

        def theirs(number: int) -> float:
            begun = time.perf_counter()
            return _speed(number, plain_stream(bare, f"{number}. {TEXT}", tokens), begun)

        interleaved(2, ours, theirs)  # both warm
        return interleaved(pairs, ours, theirs)


@contextmanager
def models(arguments: argparse.Namespace) -> Iterator[dict[str, Path]]:
    """The model of each engine."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"llamacpp": arguments.gguf}
        if arguments.mlx is None:
            from ultralab.engines import tiny

            arguments.mlx = Path(folder) / "tiny"
            tiny.write_hf(arguments.mlx)
        found["mlx"] = arguments.mlx
        yield {name: path for name, path in found.items() if name in arguments.only}


def main() -> int:
    """Measure and print a row for each engine; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf", type=Path)
    parser.add_argument("mlx", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--only", nargs="+", default=["llamacpp", "mlx"])
    arguments = parser.parse_args()
    lowest = 1.0
    print("| date | machine | engine | model | pairs | seam tok/s | bare tok/s | ratio (95 % interval) |")
    print("|---|---|---|---|---|---|---|---|")
    with models(arguments) as chosen, tempfile.TemporaryDirectory() as folder:
        for name, model in chosen.items():
            pairs = measure(name, model, arguments.pairs, arguments.tokens, Path(folder))
            middle, low, high = interval([ours / theirs for ours, theirs in pairs])
            lowest = min(lowest, low)
            ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
            row = f"{machine()} | {name} | {model.stem} | {len(pairs)} | {ours:.1f} | {theirs:.1f}"
            print(f"| {row} | {middle:.3f} ({low:.3f} to {high:.3f}) |", flush=True)
    return 0 if lowest >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
