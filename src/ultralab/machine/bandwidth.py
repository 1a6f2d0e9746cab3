"""A short copy test: how fast this machine's CPU moves memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from ultralab.kernel.language import N_
from ultralab.kernel.units import MIB
from ultralab.machine.types import UNKNOWN_BANDWIDTH, Bandwidth
from ultralab.system import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Block = np.ndarray[Any, np.dtype[np.uint64]]
    Pair = tuple[Block, Block]

METHOD: Final = N_("a short copy test on this machine; bytes read and bytes written both count")

_MOST_BYTES: Final = 384 * MIB
_LEAST_BYTES: Final = 128 * MIB
_SHARE_OF_MEMORY: Final = 16
_MOST_THREADS: Final = 32
_MOST_PASSES: Final = 8
_PASS_SECONDS: Final = 0.04
_TOUCH_SECONDS: Final = 0.2
_BUDGET_SECONDS: Final = 0.45
_CLOCK_SECONDS: Final = 1e-4  # shorter than any honest pass
_SLICE: Final = MIB // 8  # elements of 8 bytes


def measured_bandwidth(threads: int, memory_bytes: int) -> Bandwidth:
    """Bytes per second that ``threads`` threads reach together when they copy blocks with ``numpy.copyto``.

    Counted as STREAM's Copy does: a copied byte is one byte read and one byte written (McCalpin, "STREAM: Sustainable
    Memory Bandwidth"; what a cache may read in order to write is not counted). The best of up to eight passes, after
    every page was written once. Takes about half a second and at most 384 MiB (a sixteenth of the memory on small
    machines), which is freed at the end. Basis ``unknown`` where no memory can be had for it.
    """
    import numpy as np

    count = max(1, min(threads, _MOST_THREADS))
    each = block_bytes(count, memory_bytes) // 8
    try:
        pairs = [(np.empty(each, np.uint64), np.empty(each, np.uint64)) for _ in range(count)]
    except MemoryError:
        return UNKNOWN_BANDWIDTH
    return Bandwidth(_best_rate(pairs), "measured", METHOD)


def block_bytes(threads: int, memory_bytes: int) -> int:
    """Bytes of one block (each thread has two), a multiple of a page."""
    total = min(_MOST_BYTES, memory_bytes // _SHARE_OF_MEMORY)
    return max(MIB, total // (2 * threads) // 4096 * 4096)


def _best_rate(pairs: Sequence[Pair]) -> float:
    """Bytes read and written per second by all threads together, in the fastest pass.

    A pass repeats the copy until it is long against the time that threads need to start together; the first pass, of
    one copy, tells how often that is.
    """
    import numpy as np

    start_line = threading.Barrier(len(pairs) + 1)
    finish_line = threading.Barrier(len(pairs) + 1)
    touched: list[int] = []
    spans: list[tuple[float, float]] = []
    rounds, length = 1, 0
    least = _LEAST_BYTES // (2 * 8 * len(pairs))

    def work(source: Block, target: Block) -> None:
        touched.append(_touch(source, target, least, begun + _TOUCH_SECONDS))
        finish_line.wait()
        while True:
            start_line.wait()
            if not rounds:
                return
            started = clock.monotonic()
            for _ in range(rounds):
                np.copyto(target[:length], source[:length])
            spans.append((started, clock.monotonic()))
            finish_line.wait()

    def timed_pass() -> float:
        spans.clear()
        start_line.wait()
        finish_line.wait()
        # From the threads' own clocks: this one may wake up late, when the others are done already.
        seconds = max(ended for _, ended in spans) - min(started for started, _ in spans)
        return max(seconds, _CLOCK_SECONDS) / rounds

    begun = clock.monotonic()
    workers = [threading.Thread(target=work, args=pair, daemon=True) for pair in pairs]
    for worker in workers:
        worker.start()
    finish_line.wait()
    length = min(touched)
    passes = [timed_pass()]
    rounds = max(1, round(_PASS_SECONDS / passes[0]))
    while len(passes) <= _MOST_PASSES and clock.monotonic() < begun + _BUDGET_SECONDS:
        passes.append(timed_pass())
    rounds = 0
    start_line.wait()
    for worker in workers:
        worker.join()
    return 2 * 8 * length * len(pairs) / min(passes)


def _touch(source: Block, target: Block, least: int, deadline: float) -> int:
    """Write both blocks, slice by slice, until the deadline, but ``least`` elements; how many were written in both.

    A page that nobody wrote to takes no memory, and reading it measures nothing. On a virtual machine the first write
    can be so slow that the blocks have to stay smaller than they might be; never so small that a cache holds them.
    """
    done = 0
    while done < len(source) and (done < least or clock.monotonic() < deadline):
        source[done : done + _SLICE] = 1
        target[done : done + _SLICE] = 2
        done = min(done + _SLICE, len(source))
    return done
