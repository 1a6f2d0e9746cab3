"""The process that measures how fast a Mac's GPU reads memory, with MLX. Prints one JSON object.

``{"bytes_per_second": …, "device": "…"}``. A process of its own: Metal can end the process that asks for it, and what MLX
took is back with the system when it has ended.
"""

from __future__ import annotations

import json
import sys

from ultralab.system import clock

_BYTES = 1 << 30
_SECONDS = 0.5


def main() -> int:
    """Measure. The argument is the number of bytes to read at once (1 GiB where there is none)."""
    import mlx.core as mx

    count = int(sys.argv[1]) if len(sys.argv) > 1 else _BYTES
    block = mx.ones((count // 4,), dtype=mx.uint32)
    mx.eval(block, mx.max(block))  # the pages are written and the kernel is compiled before anything is timed
    best, deadline = 0.0, clock.monotonic() + _SECONDS
    while best == 0.0 or clock.monotonic() < deadline:
        begun = clock.monotonic()
        mx.eval([mx.max(block) for _ in range(4)])
        best = max(best, 4 * block.nbytes / (clock.monotonic() - begun))
    print(json.dumps({"bytes_per_second": best, "device": str(mx.default_device())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
